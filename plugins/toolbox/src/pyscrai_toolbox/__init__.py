"""Tools that need nothing from outside: `calculator`, `dice`, `notes` and `world`."""
