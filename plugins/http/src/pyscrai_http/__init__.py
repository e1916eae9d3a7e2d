"""The tools `http` and `openapi`: requests to web APIs."""
