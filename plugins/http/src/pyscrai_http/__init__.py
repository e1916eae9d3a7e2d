"""Tools from web APIs: `http` and `openapi`."""
