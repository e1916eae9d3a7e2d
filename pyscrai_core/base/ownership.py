"""Who can write a file or a folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def is_private(path: Path) -> bool:
    """Whether a folder or a file is this user's and nobody else can write it."""
    found = path.stat()
    # The group that many systems give each user has no other members.
    own_group = found.st_gid == os.getgid() == os.getuid()
    others = stat.S_IWOTH if own_group else stat.S_IWOTH | stat.S_IWGRP
    return found.st_uid == os.getuid() and not found.st_mode & others
