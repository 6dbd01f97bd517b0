"""Check who can read and write the archive's files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.store import permissions
from archiver.verify.findings import VerifyReport

#: Entries of the archive's root that others may read. Some are missing in a sound archive.
_FILE_NAMES = ("index.db", "state.db", "replica.db", "lock", "daemon.lock")
_FOLDER_NAMES = ("spool", "canary", "documents", "set-aside")
#: Mode bits of write access for the group or for all users.
_WRITABLE_BY_OTHERS = 0o022
#: Mode bits of write access for the group, or of any access for all users. The group may read.
_READABLE_BEYOND_GROUP = 0o027
#: Mode bits of any access for anybody but the owner.
_NOT_PRIVATE = 0o077


def check_permissions(root: Path, report: VerifyReport) -> None:
    """Report every file of the archive at ``root`` that too many users can read or write, as A061.

    Only the owner may write. Only the owner and the reading group may enter the root and the folder of the keys.
    Only the owner may read the signing key. The modes of content objects have a code of their own, A052.

    Raises OSError if ``root`` does not exist.
    """
    # Text instead of Path: pathlib would take as long for this walk as hashing a gigabyte.
    root_path = os.fspath(root)
    mode_check = _ModeCheck(root_path, report)
    mode_check.check(root_path, _READABLE_BEYOND_GROUP)
    mode_check.check(f"{root_path}/keys", _READABLE_BEYOND_GROUP)
    mode_check.check(f"{root_path}/keys/signing_key", _NOT_PRIVATE)
    # Write access to the spool changes what is archived. Write access to an index changes what is displayed.
    for name in (*_FILE_NAMES, *_FOLDER_NAMES):
        mode_check.check(f"{root_path}/{name}", _WRITABLE_BY_OTHERS)
    for folder, _, file_names in os.walk(f"{root_path}/archive.git"):
        mode_check.check(folder, _WRITABLE_BY_OTHERS)
        if "/lfs/objects" not in folder:
            for file_name in file_names:
                mode_check.check(f"{folder}/{file_name}", _WRITABLE_BY_OTHERS)


class _ModeCheck:
    """Reports files that too many users can access. The owner of the archive's root must own every file."""

    def __init__(self, root: str, report: VerifyReport) -> None:
        """Note the owner of ``root``; findings go to ``report``.  Raises OSError if ``root`` does not exist."""
        self._root = root
        self._report = report
        self._owner_uid = os.lstat(root).st_uid

    def check(self, path: str, forbidden_bits: int) -> None:
        """Report ``path`` if its mode has one of ``forbidden_bits``, or if its owner is not that of the root.

        A folder is also reported if it has an access-control list. A missing path is not reported. The mode of a
        symbolic link does not count, because the kernel ignores it.
        """
        try:
            status = os.lstat(path)
        except OSError:
            # The file never existed, or a writer removed it after it was listed. Nobody can read a missing file.
            return
        mode = stat.S_IMODE(status.st_mode)
        is_too_open = mode & forbidden_bits and not stat.S_ISLNK(status.st_mode)
        if is_too_open or status.st_uid != self._owner_uid:
            self._report_path(path, LazyMessage("mode {mode}, owner {uid}", mode=f"{mode:04o}", uid=status.st_uid))
        elif stat.S_ISDIR(status.st_mode) and permissions.has_acl(path):
            self._report_path(path, LazyMessage("it has an access-control list"))

    def _report_path(self, path: str, detail: LazyMessage) -> None:
        """Add a finding that names ``path`` relative to the folder which contains the archive."""
        display_name = os.path.relpath(path, os.path.dirname(self._root))
        self._report.add_finding("A061", display_name, detail)
