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


def tell_first_uses(start: Path, ignored: Path | None, settings: Path | None, store: Path | None) -> None:
    """Say which files take effect in the folder `start` without having been named, and which do not."""
    # Imported here: the help of a command reads settings too, and says nothing.
    from .log import logger

    def shown(path: Path) -> str:
        return str(path.relative_to(start) if path.is_relative_to(start) else path)

    if ignored:
        logger.warning("{} is not used: others can write it", shown(ignored))
    if settings and first_use(settings):
        logger.warning("settings are taken from {}, for the first time", shown(settings))
    if store and os.path.exists(store) and first_use(store):
        logger.warning("runs are kept in {}, which was there, for the first time", shown(store))
