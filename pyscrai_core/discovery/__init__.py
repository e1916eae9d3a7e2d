"""Finding and loading plugins: what a host is made of."""
