"""Check read and write access to the archive's files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.store import permissions
from archiver.verify.findings import VerifyReport

#: Entries of the archive's root that others may read. Some are missing in a sound archive.
_READABLE_FILE_NAMES = ("index.db", "state.db", "replica.db", "lock", "daemon.lock")
_READABLE_FOLDER_NAMES = ("spool", "canary", "documents", "set-aside")
#: Part of the path of every folder with content objects.
_CONTENT_OBJECTS_FOLDER = "/lfs/objects"
#: Mode bits of write access for the group or for all users.
_WRITABLE_BY_GROUP_OR_ALL = 0o022
#: Mode bits of write access for the group, or of any access for all users. The group may read.
_WRITABLE_BY_GROUP_OR_OPEN_TO_ALL = 0o027
#: Mode bits of any access for anybody but the owner.
_OPEN_TO_GROUP_OR_ALL = 0o077


def check_access_modes(root: Path, report: VerifyReport) -> None:
    """Report every file of the archive at ``root`` that too many users can read or write (A061).

    Only the owner may write. Only the owner and the reading group, which the configuration names, may enter the
    root and the folder of the keys. Only the owner may read the signing key. Content objects are left out: their
    modes have the code A052.

    Raises OSError if ``root`` does not exist.
    """
    # Strings, not Path objects: creating a Path for every file would take as long as hashing a gigabyte.
    root_path = os.fspath(root)
    mode_check = _ModeCheck(root_path, report)
    mode_check.check_path(root_path, _WRITABLE_BY_GROUP_OR_OPEN_TO_ALL)
    mode_check.check_path(f"{root_path}/keys", _WRITABLE_BY_GROUP_OR_OPEN_TO_ALL)
    mode_check.check_path(f"{root_path}/keys/signing_key", _OPEN_TO_GROUP_OR_ALL)
    # Write access to the spool changes what is archived. Write access to an index changes what is displayed.
    for entry_name in (*_READABLE_FILE_NAMES, *_READABLE_FOLDER_NAMES):
        mode_check.check_path(f"{root_path}/{entry_name}", _WRITABLE_BY_GROUP_OR_ALL)
    for folder, _, file_names in os.walk(f"{root_path}/archive.git"):
        mode_check.check_path(folder, _WRITABLE_BY_GROUP_OR_ALL)
        if _CONTENT_OBJECTS_FOLDER not in folder:
            for file_name in file_names:
                mode_check.check_path(f"{folder}/{file_name}", _WRITABLE_BY_GROUP_OR_ALL)


class _ModeCheck:
    """Reports files that too many users can access. The owner of the archive's root must own every file."""

    def __init__(self, root: str, report: VerifyReport) -> None:
        """Read the owner of ``root``; findings go to ``report``. Raises OSError if ``root`` does not exist."""
        self._root = root
        self._report = report
        self._owner_uid = os.lstat(root).st_uid

    def check_path(self, path: str, forbidden_bits: int) -> None:
        """Report ``path`` if its mode has any of ``forbidden_bits``, or if its owner differs from the root's.

        A folder is also reported if it has an access-control list. A missing path is not reported. The mode of a
        symbolic link does not count, because the kernel ignores it.
        """
        try:
            file_status = os.lstat(path)
        except OSError:
            # The file never existed, or a writer removed it after the listing. Nobody can read a missing file.
            return
        mode_bits = stat.S_IMODE(file_status.st_mode)
        is_too_open = mode_bits & forbidden_bits and not stat.S_ISLNK(file_status.st_mode)
        if is_too_open or file_status.st_uid != self._owner_uid:
            detail = LazyMessage("mode {mode}, owner {uid}", mode=f"{mode_bits:04o}", uid=file_status.st_uid)
            self._report_path(path, detail)
        elif stat.S_ISDIR(file_status.st_mode) and permissions.has_acl(path):
            self._report_path(path, LazyMessage("it has an access control list"))

    def _report_path(self, path: str, detail: LazyMessage) -> None:
        """Add a finding about ``path``, displayed relative to the folder that contains the archive."""
        display_name = os.path.relpath(path, os.path.dirname(self._root))
        self._report.add_finding("A061", display_name, detail)
