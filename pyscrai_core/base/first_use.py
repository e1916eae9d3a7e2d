"""Files that take effect because they lie where a person works, such as settings: the first time is said."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def state_folder() -> Path:
    """Where a user's approvals are kept, and which files were used; nothing that they are about is in it."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return Path(state) / "pyscrai"


def first_use(path: Path) -> bool:
    """Whether a file, such as a store that was found, was never used by this user; from now on it was."""
    name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()
    try:
        folder = state_folder() / "used"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / name).touch(0o600, exist_ok=False)
    except OSError:
        return False  # it was, or nothing can be kept, so that each time would be the first
    return True
