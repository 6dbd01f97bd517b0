"""Decide on trust in an ``archiver.toml`` found in the current folder, named by nobody.

Its author decides which archive a command works on, and anybody may be the author in a shared folder.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tomllib
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from archiver.errors import ConfigError, LazyMessage

_ACL = "system.posix_acl_access"
#: A thousand filings take some 100 KB. Without a limit, a planted file could fill the memory of root's command.
_MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """An opened file: ``data`` and ``stat_result`` come from the same descriptor."""

    path: Path
    data: bytes
    stat_result: os.stat_result
    #: The user id that owns the link to the file; None if there is no link.
    link_owner: int | None
    has_acl: bool

    def check_trust(self) -> None:
        """Refuse a file with other possible authors; raises ConfigError."""
        if reason := self._find_distrust(self._trusted_users()):
            raise ConfigError(
                "{path} is not used: {reason}. Nothing was changed. Look at it first; then name it with --config, "
                "or make it yours (chown) and writable by nobody else (chmod 644).",
                path=Path(os.path.abspath(self.path)),
                reason=reason,
            )

    def _trusted_users(self) -> set[int]:
        """Return user ids: root trusts nobody else; others also root, and the owner of the archive in the file."""
        caller_uid = os.geteuid()
        if caller_uid == 0:
            return {0}
        trusted_uids = {0, caller_uid}
        # A file without a usable path is refused later, with a message of its own.
        with suppress(OSError, ValueError, KeyError, TypeError):
            archive_path = tomllib.loads(self.data.decode("utf-8"))["archive"]["path"]
            trusted_uids.add(os.stat(self.path.parent / os.fsdecode(archive_path.encode("utf-8"))).st_uid)
        return trusted_uids

    def _find_distrust(self, trusted_uids: Collection[int]) -> LazyMessage | None:
        """Return the reason not to trust the file, or None: look at type, owners, other writers and links."""
        file_mode = self.stat_result.st_mode
        if not stat.S_ISREG(file_mode):
            return LazyMessage("it is not a regular file")
        if self.stat_result.st_uid not in trusted_uids:
            return LazyMessage("it belongs to {owner}", owner=_user_name(self.stat_result.st_uid))
        if self.link_owner is not None and self.link_owner not in trusted_uids:
            return LazyMessage("it is a link that belongs to {owner}", owner=_user_name(self.link_owner))
        if file_mode & stat.S_IWOTH:
            return LazyMessage("everybody may write it")
        # With an access list, the group's bits are the upper limit for every user in the list.
        if file_mode & stat.S_IWGRP and (
            self.has_acl or _only_member(self.stat_result.st_gid) not in trusted_uids
        ):
            return LazyMessage("the group {group} may write it", group=_group_name(self.stat_result.st_gid))
        if (
            self.stat_result.st_nlink > 1
            and self.link_owner is None
            and _is_shared(self.path.parent, trusted_uids)
        ):
            return LazyMessage("it has another name elsewhere, and others may have put this one here")
        return None


def open_found_file(path: Path) -> FoundFile:
    """Open ``path`` once, to read the very file whose owner is checked.  Raises OSError."""
    path_fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        entry_stat = os.fstat(path_fd)
        is_link = stat.S_ISLNK(entry_stat.st_mode)
        # Read the open link: another link may have taken the place meanwhile.
        target_path = path.parent / os.readlink("", dir_fd=path_fd) if is_link else path
    finally:
        os.close(path_fd)
    # O_NONBLOCK: a pipe must not keep the caller waiting.
    open_flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    file_fd = os.open(target_path, open_flags if is_link else open_flags | os.O_NOFOLLOW)
    # Not open(), which refuses folders with an error that names the descriptor's number.
    try:
        file_stat = os.fstat(file_fd)
        file_bytes = os.read(file_fd, _MAX_FILE_BYTES) if stat.S_ISREG(file_stat.st_mode) else b""
        return FoundFile(path, file_bytes, file_stat, entry_stat.st_uid if is_link else None, _has_acl(file_fd))
    finally:
        os.close(file_fd)


def _has_acl(descriptor: int) -> bool:
    try:
        os.getxattr(descriptor, _ACL)
    except OSError:
        # The file has no access list, or the filesystem has none at all.
        return False
    return True


def _is_shared(folder: Path, trusted_uids: Collection[int]) -> bool:
    """Return True if users beyond the trusted ones may put names into ``folder``."""
    folder_stat = os.stat(folder)
    is_group_writable = folder_stat.st_mode & stat.S_IWGRP and _only_member(folder_stat.st_gid) not in trusted_uids
    return folder_stat.st_uid not in trusted_uids or bool(folder_stat.st_mode & stat.S_IWOTH or is_group_writable)


def _only_member(gid: int) -> int | None:
    """Return the user id whose private group this is: of the same name, and without other members."""
    try:
        private_group = grp.getgrgid(gid)
        named_user = pwd.getpwnam(private_group.gr_name)
    except KeyError:
        # An id without a name, or a group that is named like no user: members may join at any time.
        return None
    if named_user.pw_gid != gid or not {*private_group.gr_mem} <= {private_group.gr_name}:
        return None
    # A primary group does not list its users as members.
    other_uids = {account.pw_uid for account in pwd.getpwall() if account.pw_gid == gid} - {named_user.pw_uid}
    return None if other_uids else named_user.pw_uid


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
