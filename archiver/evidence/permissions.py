"""Checking who may read and write the archive's files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from archiver.evidence.findings import Report


def check_permissions(root: Path, report: Report) -> None:
    """Only the owner writes, only the reading group reads beside the owner, and nobody sees the key."""
    owner = os.lstat(root).st_uid
    _check(root, root, 0o027, owner, report)
    _check(root / "keys", root, 0o027, owner, report)
    _check(root / "keys" / "signing_key", root, 0o077, owner, report)
    for folder, folders, files in os.walk(root / "archive.git"):
        if Path(folder).name == "objects" and Path(folder).parent.name == "lfs":
            # The objects themselves are looked at one by one, with their own number.
            files.clear()
        _check(Path(folder), root, 0o022, owner, report)
        for name in files:
            _check(Path(folder, name), root, 0o022, owner, report)
        folders[:] = [name for name in folders if len(name) == 2 or not Path(folder, name).is_symlink()]


def _check(path: Path, root: Path, too_much: int, owner: int, report: Report) -> None:
    try:
        status = os.lstat(path)
    except OSError:
        return
    mode = stat.S_IMODE(status.st_mode)
    if (mode & too_much and not stat.S_ISLNK(status.st_mode)) or status.st_uid != owner:
        report.add("A061", path.relative_to(root.parent), f"mode {mode:04o}, owner {status.st_uid}")
