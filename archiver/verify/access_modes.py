"""Checking who can read and write the archive's files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.store import permissions
from archiver.verify.findings import VerifyReport

_FILES = ("index.db", "state.db", "replica.db", "lock", "daemon.lock")
_FOLDERS = ("spool", "canary", "documents", "set-aside")
# Bits of a mode that a file must not have.
_WRITABLE_BY_OTHERS = 0o022
_READABLE_BEYOND_GROUP = 0o027
_NOT_PRIVATE = 0o077


def check_permissions(root: Path, report: VerifyReport) -> None:
    """Check that only the owner writes, only the reading group reads as well, and the key is the owner's alone."""
    root_path = os.fspath(root)
    mode_check = _ModeCheck(root_path, report)
    mode_check.check(root_path, _READABLE_BEYOND_GROUP)
    mode_check.check(f"{root_path}/keys", _READABLE_BEYOND_GROUP)
    mode_check.check(f"{root_path}/keys/signing_key", _NOT_PRIVATE)
    # Write access to the spool or to an index decides what is archived, or what is displayed.
    for name in (*_FILES, *_FOLDERS):
        mode_check.check(f"{root_path}/{name}", _WRITABLE_BY_OTHERS)
    # Strings: pathlib would take as long as hashing a gigabyte.
    for folder, _, file_names in os.walk(f"{root_path}/archive.git"):
        mode_check.check(folder, _WRITABLE_BY_OTHERS)
        if "/lfs/objects" not in folder:
            # The modes of content objects have a finding of their own.
            for file_name in file_names:
                mode_check.check(f"{folder}/{file_name}", _WRITABLE_BY_OTHERS)


class _ModeCheck:
    """Compares mode and owner of files with those of the archive's folder."""

    def __init__(self, root: str, report: VerifyReport) -> None:
        self._root = root
        self._report = report
        self._owner_uid = os.lstat(root).st_uid

    def check(self, path: str, forbidden_bits: int) -> None:
        """Report a path with one of the forbidden bits, of another owner, or with an access-control list."""
        try:
            status = os.lstat(path)
        except OSError:
            # A writer removed it since it was listed; a missing file is no open file.
            return
        mode = stat.S_IMODE(status.st_mode)
        is_too_open = mode & forbidden_bits and not stat.S_ISLNK(status.st_mode)
        if is_too_open or status.st_uid != self._owner_uid:
            self._report_path(path, LazyMessage("mode {mode}, owner {uid}", mode=f"{mode:04o}", uid=status.st_uid))
        elif stat.S_ISDIR(status.st_mode) and permissions.has_acl(path):
            self._report_path(path, LazyMessage("it has an access-control list"))

    def _report_path(self, path: str, detail: LazyMessage) -> None:
        display_name = os.path.relpath(path, os.path.dirname(self._root))
        self._report.add_finding("A061", display_name, detail)
