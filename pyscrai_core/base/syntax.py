"""Python's parser is used by one thread at a time."""

import threading

#: Held by whatever makes a syntax tree: in CPython 3.11, of two threads that do so, one may fail.
LOCK = threading.RLock()
