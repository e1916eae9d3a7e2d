"""Files and folders of one user alone: stores, logs and exports hold what agents said.

The variable `PYSCRAI_UMASK` lets others in, in octal as the shell's `umask` has it: 027 lets the group read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import ConfigError


def is_private(path: Path) -> bool:
    """Whether a folder or a file is this user's and nobody else can write it."""
    if not hasattr(os, "getuid"):  # on Windows, permissions are another matter
        return True
    found = path.stat()
    if found.st_uid != os.getuid() or found.st_mode & stat.S_IWOTH:
        return False
    # Where there is an access list, the mode of the group is what anybody on the list may do at most.
    return not found.st_mode & stat.S_IWGRP or (_is_own_group(found.st_gid) and not _has_list(path))


def _is_own_group(group: int) -> bool:
    """Whether it is the group that many systems give each user, and nobody else is in it."""
    import grp
    import pwd

    if not group == os.getgid() == os.getuid():
        return False
    try:
        others = bool(grp.getgrgid(group).gr_mem)
    except KeyError:  # it has no name, and so no list of members
        others = False
    # A user's first group does not list them.
    return not others and all(user.pw_gid != group or user.pw_uid == os.getuid() for user in pwd.getpwall())


def _has_list(path: Path) -> bool:
    """Whether an access list says more than the mode about who may write."""
    if not hasattr(os, "getxattr"):  # only on Linux are lists attributes
        return False
    try:
        return bool(os.getxattr(path, "system.posix_acl_access"))
    except OSError:  # there is none, or the file system has none
        return False


def umask() -> int:
    """The permissions that are taken away. Raises `ConfigError`."""
    given = os.environ.get("PYSCRAI_UMASK", "077")
    try:
        mask = int(given, 8)
    except ValueError:
        mask = -1
    if not 0 <= mask <= 0o777:
        raise ConfigError(
            f"PYSCRAI_UMASK: {given!r} is no umask; expected octal digits, such as 077 (the owner alone) or "
            "027 (the group may read)"
        )
    return mask


@contextmanager
def private_files() -> Iterator[None]:
    """Let all files that are made meanwhile, by whatever library, be the user's alone."""
    before = os.umask(umask())
    try:
        yield
    finally:
        os.umask(before)


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing."""
    if not path.is_dir():
        make_folder(path.parent)
        path.mkdir(exist_ok=True)
        path.chmod(0o777 & ~umask())


def make_file(path: Path) -> None:
    """Make an empty file, unless there is one."""
    mode = 0o666 & ~umask()
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
    except FileExistsError:
        return
    path.chmod(mode)
