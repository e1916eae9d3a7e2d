"""Which code is the kernel's own, so that a fault in any other is a plugin's."""

from __future__ import annotations

from types import FrameType

#: The kernel's package, and those of the libraries below it.
PACKAGES = ("pyscrai_core", "pyscrai_answers", "pyscrai_language", "pyscrai_records")


def is_own(frame: FrameType) -> bool:
    """Whether the code of the kernel runs in this frame of a traceback."""
    return str(frame.f_globals.get("__name__")).partition(".")[0] in PACKAGES
