"""Whether an ``archiver.toml`` that nobody named, but that lies in the current folder, may be believed.

Whoever wrote it decides which archive a command works on, and a shared folder is no place to find that out.
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

from archiver.errors import ConfigProblem, Phrase

_ACL = "system.posix_acl_access"
_LARGEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file as it was opened: ``data`` comes from the very descriptor that ``status`` describes."""

    path: Path
    data: bytes
    status: os.stat_result
    #: Who made the link by which it was found; None: there is none.
    link_owner: int | None
    has_acl: bool

    def check(self) -> None:
        """Refuse what somebody else may have written or put there; raises ConfigProblem."""
        if reason := self._distrust(self._trusted()):
            raise ConfigProblem(
                "{path} is not used: {reason}. Nothing was changed. Look at it first; then name it with --config, "
                "or make it yours (chown) and writable by nobody else (chmod 644).",
                path=Path(os.path.abspath(self.path)),
                reason=reason,
            )

    def _trusted(self) -> set[int]:
        """Root trusts nobody else; others also trust root, and whoever owns the archive that it names."""
        caller = os.geteuid()
        if caller == 0:
            return {0}
        trusted = {0, caller}
        with suppress(OSError, ValueError, KeyError, TypeError):
            named = tomllib.loads(self.data.decode("utf-8"))["archive"]["path"]
            trusted.add(os.stat(self.path.parent / os.fsdecode(named.encode("utf-8"))).st_uid)
        return trusted

    def _distrust(self, trusted: Collection[int]) -> Phrase | None:
        mode = self.status.st_mode
        if not stat.S_ISREG(mode):
            return Phrase("it is not a regular file")
        if self.status.st_uid not in trusted:
            return Phrase("it belongs to {owner}", owner=_user(self.status.st_uid))
        if self.link_owner is not None and self.link_owner not in trusted:
            return Phrase("it is a link that belongs to {owner}", owner=_user(self.link_owner))
        if mode & stat.S_IWOTH:
            return Phrase("everybody may write it")
        # Where there are more entries than three, the group's bits are the most that any of them may.
        if mode & stat.S_IWGRP and (self.has_acl or _only_member(self.status.st_gid) not in trusted):
            return Phrase("the group {group} may write it", group=_group(self.status.st_gid))
        if self.status.st_nlink > 1 and self.link_owner is None and _is_shared(self.path.parent, trusted):
            return Phrase("it has another name elsewhere, and others may have put this one here")
        return None


def open_found(path: Path) -> FoundFile:
    """Open ``path`` once; what is judged is what is read.  Raises OSError."""
    held = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        itself = os.fstat(held)
        is_link = stat.S_ISLNK(itself.st_mode)
        # The link in hand: by now another one may lie there under its name.
        target = path.parent / os.readlink("", dir_fd=held) if is_link else path
    finally:
        os.close(held)
    # Nor may a pipe keep the caller waiting.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
    descriptor = os.open(target, flags if is_link else flags | os.O_NOFOLLOW)
    # Not open(): it takes no folder, and says so with the descriptor's number for a name.
    try:
        status = os.fstat(descriptor)
        data = os.read(descriptor, _LARGEST_BYTES) if stat.S_ISREG(status.st_mode) else b""
        return FoundFile(path, data, status, itself.st_uid if is_link else None, _has_acl(descriptor))
    finally:
        os.close(descriptor)


def _has_acl(descriptor: int) -> bool:
    try:
        os.getxattr(descriptor, _ACL)
    except OSError:
        return False
    return True


def _is_shared(folder: Path, trusted: Collection[int]) -> bool:
    """Whether somebody else may put names into ``folder``."""
    status = os.stat(folder)
    open_to_group = status.st_mode & stat.S_IWGRP and _only_member(status.st_gid) not in trusted
    return status.st_uid not in trusted or bool(status.st_mode & stat.S_IWOTH or open_to_group)


def _only_member(gid: int) -> int | None:
    """The user whose private group this is: of the same name, and without other members."""
    try:
        group = grp.getgrgid(gid)
        user = pwd.getpwnam(group.gr_name)
    except KeyError:
        return None
    if user.pw_gid != gid or not {*group.gr_mem} <= {group.gr_name}:
        return None
    # A user's primary group does not list that user.
    return (
        None if any(each.pw_gid == gid and each.pw_uid != user.pw_uid for each in pwd.getpwall()) else user.pw_uid
    )


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return f"gid {gid}"
