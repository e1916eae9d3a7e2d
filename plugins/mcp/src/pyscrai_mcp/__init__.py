"""Tools from servers that speak the Model Context Protocol."""
