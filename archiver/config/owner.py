"""Decide whether an ``archiver.toml`` in the current folder can be trusted if the user did not name it.

The file decides which archive a command works on. In a shared folder such as /tmp, any user may have written it.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
import tomllib
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archiver.errors import ConfigError, LazyMessage

#: The extended attribute that holds a file's access control list.
_ACL_ATTRIBUTE = "system.posix_acl_access"
#: The settings of a thousand filings take about 100 KB. Without a limit, a planted file could exhaust the memory
#: of root's command.
_MAX_FILE_BYTES = 1 << 20


class FoundFile(NamedTuple):
    """A configuration file that was found and read, with the facts that decide whether it can be trusted."""

    path: Path
    #: At most ``_MAX_FILE_BYTES``; empty for anything but a regular file.
    data: bytes
    #: From the same descriptor as ``data``: the file that was read is the file that is judged.
    stat_result: os.stat_result
    #: The user who owns the symbolic link at ``path``; None if ``path`` is not a link.
    link_owner_uid: int | None
    #: True if the file has an access control list, which may let further users write.
    has_acl: bool

    def check_trust(self) -> None:
        """Raise ConfigError if an untrusted user may have written the file, or placed it at ``path``."""
        if reason := self._find_distrust_reason(self._trusted_uids()):
            raise ConfigError(
                "{path} was not used: {reason}. Nothing was changed. Inspect the file, then name it with "
                "--config, or become the owner (chown) and only writer (chmod 644) of the file.",
                path=Path(os.path.abspath(self.path)),
                reason=reason,
            )

    def _trusted_uids(self) -> set[int]:
        """Return the ids of the users whom the caller trusts.

        Root trusts only root. Any other user trusts themselves, root, and the owner of the archive that the file
        names.
        """
        caller_uid = os.geteuid()
        if caller_uid == 0:
            return {0}
        trusted_uids = {0, caller_uid}
        # If the file has no usable archive.path, nobody else is trusted. The loader reports that problem.
        with suppress(OSError, ValueError, KeyError, TypeError):
            archive_path = tomllib.loads(self.data.decode("utf-8"))["archive"]["path"]
            trusted_uids.add(os.stat(self.path.parent / os.fsdecode(archive_path.encode("utf-8"))).st_uid)
        return trusted_uids

    def _find_distrust_reason(self, trusted_uids: Collection[int]) -> LazyMessage | None:
        """Return the reason not to trust the file; None if it can be trusted.

        Checks its type, its owner, the owner of a link to it, the other users who can write to it, and hard links.
        """
        file_mode = self.stat_result.st_mode
        if not stat.S_ISREG(file_mode):
            return LazyMessage("it is not a regular file")
        if self.stat_result.st_uid not in trusted_uids:
            return LazyMessage("it belongs to {owner}", owner=_user_name(self.stat_result.st_uid))
        if self.link_owner_uid is not None and self.link_owner_uid not in trusted_uids:
            return LazyMessage("it is a link that belongs to {owner}", owner=_user_name(self.link_owner_uid))
        if file_mode & stat.S_IWOTH:
            return LazyMessage("everyone can write to it")
        # With an access control list, the group's permission bits are the upper limit for all users in the list.
        if file_mode & stat.S_IWGRP and (
            self.has_acl or _sole_member_uid(self.stat_result.st_gid) not in trusted_uids
        ):
            return LazyMessage("the group {group} can write to it", group=_group_name(self.stat_result.st_gid))
        # In a shared folder, any user may place a hard link to a file that a trusted user meant for other folders.
        if (
            self.stat_result.st_nlink > 1
            and self.link_owner_uid is None
            and _is_shared(self.path.parent, trusted_uids)
        ):
            return LazyMessage("it is a hard link that another user may have placed here")
        return None


def open_found_file(path: Path) -> FoundFile:
    """Read the file at ``path``, and collect from the same open file the facts that decide on trust.

    Raises OSError if the file cannot be opened or read.
    """
    # O_PATH with O_NOFOLLOW opens a link itself, so that the owner of the link is known.
    path_fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        entry_stat = os.fstat(path_fd)
        is_link = stat.S_ISLNK(entry_stat.st_mode)
        # Read the link through the descriptor, because another link may have replaced it by now.
        target_path = path.parent / os.readlink("", dir_fd=path_fd) if is_link else path
    finally:
        os.close(path_fd)
    # Without O_NONBLOCK, opening a pipe that has no writer would block the caller. With O_NOCTTY, a terminal does
    # not become the terminal of this process. O_NOFOLLOW refuses a link that has replaced the file by now.
    open_flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    file_fd = os.open(target_path, open_flags if is_link else open_flags | os.O_NOFOLLOW)
    # os.read and not open(), because open() reports a folder by the number of the descriptor.
    try:
        file_stat = os.fstat(file_fd)
        file_bytes = os.read(file_fd, _MAX_FILE_BYTES) if stat.S_ISREG(file_stat.st_mode) else b""
        return FoundFile(
            path=path,
            data=file_bytes,
            stat_result=file_stat,
            link_owner_uid=entry_stat.st_uid if is_link else None,
            has_acl=_has_acl(file_fd),
        )
    finally:
        os.close(file_fd)


def _has_acl(file_fd: int) -> bool:
    """Return True if an open file has an access control list."""
    try:
        os.getxattr(file_fd, _ACL_ATTRIBUTE)
    except OSError:
        # The file has no list, or its filesystem does not support lists.
        return False
    return True


def _is_shared(folder: Path, trusted_uids: Collection[int]) -> bool:
    """Return True if an untrusted user may create entries in ``folder``. Raises OSError."""
    folder_stat = os.stat(folder)
    is_open_to_group = (
        folder_stat.st_mode & stat.S_IWGRP and _sole_member_uid(folder_stat.st_gid) not in trusted_uids
    )
    return folder_stat.st_uid not in trusted_uids or bool(folder_stat.st_mode & stat.S_IWOTH or is_open_to_group)


def _sole_member_uid(gid: int) -> int | None:
    """Return the id of the user whose private group has the id ``gid``; None if the group is not private.

    A private group has the name of its user, is the user's primary group, and has no other members.
    """
    try:
        private_group = grp.getgrgid(gid)
        named_user = pwd.getpwnam(private_group.gr_name)
    except KeyError:
        # The id has no name, or no user has the name of the group: other users may be members.
        return None
    if named_user.pw_gid != gid or not {*private_group.gr_mem} <= {private_group.gr_name}:
        return None
    # gr_mem does not list the users whose primary group this is.
    other_uids = {account.pw_uid for account in pwd.getpwall() if account.pw_gid == gid} - {named_user.pw_uid}
    return None if other_uids else named_user.pw_uid


def _user_name(uid: int) -> str:
    """Return the user's name for a message; "uid NUMBER" without an entry in the user database."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group_name(gid: int) -> str:
    """Return the group's name for a message; "gid NUMBER" without an entry in the group database."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
