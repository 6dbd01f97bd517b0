"""Checking who may read and write the archive's files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from archiver.store import permissions
from archiver.verify.findings import VerifyReport

_FILES = ("index.db", "state.db", "replica.db", "lock", "daemon.lock")
_FOLDERS = ("spool", "canary", "documents", "set-aside")


def check_permissions(root: Path, report: VerifyReport) -> None:
    """Only the owner writes, only the reading group reads beside the owner, and nobody sees the key."""
    top = os.fspath(root)
    check = _Check(top, report)
    check.look(top, 0o027)
    check.look(f"{top}/keys", 0o027)
    check.look(f"{top}/keys/signing_key", 0o077)
    # Whoever writes to the spool or to an index decides what is archived, or shown.
    for name in (*_FILES, *_FOLDERS):
        check.look(f"{top}/{name}", 0o022)
    # Strings: pathlib would take as long as hashing a gigabyte.
    for folder, _, files in os.walk(f"{top}/archive.git"):
        check.look(folder, 0o022)
        if "/lfs/objects" not in folder:
            # Content objects are looked at one by one, with their own number.
            for name in files:
                check.look(f"{folder}/{name}", 0o022)


class _Check:
    def __init__(self, root: str, report: VerifyReport) -> None:
        self._root = root
        self._report = report
        self._owner = os.lstat(root).st_uid

    def look(self, path: str, too_much: int) -> None:
        try:
            status = os.lstat(path)
        except OSError:
            return
        mode = stat.S_IMODE(status.st_mode)
        if (mode & too_much and not stat.S_ISLNK(status.st_mode)) or status.st_uid != self._owner:
            self._add(path, f"mode {mode:04o}, owner {status.st_uid}")
        elif stat.S_ISDIR(status.st_mode) and permissions.has_list(path):
            self._add(path, "it has an access-control list")

    def _add(self, path: str, detail: str) -> None:
        shown = os.path.relpath(path, os.path.dirname(self._root))
        self._report.add("A061", shown, detail)
