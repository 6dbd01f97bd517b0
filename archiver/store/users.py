"""Identify users by the kernel's number and the password database's name, and recognize the archive's owner."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

from archiver.errors import StorageError
from archiver.model import Actor


def current_user() -> Actor:
    """Return the user who started this process, by the real user ID."""
    return user_with_id(os.getuid())


def user_with_id(uid: int) -> Actor:
    """Return the user with that number; the name is empty if the password database has none."""
    try:
        return Actor(uid, pwd.getpwuid(uid).pw_name)
    except KeyError:
        # The user was deleted, or their directory server cannot be reached: the number still identifies them.
        return Actor(uid, "")


def check_owner(archive_root: Path) -> None:
    """Raise StorageError unless this process runs as the owner of the archive at ``archive_root``.

    Files of another user, even of root, would lock the service out, and hide who acted.  Raises OSError if the
    folder does not exist.
    """
    owner_uid = os.stat(archive_root).st_uid
    if owner_uid != os.geteuid():
        raise StorageError(
            "The archive {path} belongs to {owner}, and only that user can write to the archive. Nothing was "
            "changed. Start the service, which acts for other users, or run this as {owner}.",
            path=archive_root,
            owner=user_with_id(owner_uid),
        )
