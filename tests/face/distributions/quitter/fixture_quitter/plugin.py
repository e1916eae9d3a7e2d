"""Ends the program when it is imported, as a module without a `__main__` guard may do."""

import sys

sys.exit(3)
