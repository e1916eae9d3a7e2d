"""Tools that need no network and no key."""
