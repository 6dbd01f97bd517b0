"""Identify users by the kernel's number and the password database's name."""

from __future__ import annotations

import os
import pwd

from archiver.model import Actor


def caller() -> Actor:
    """Return the user who runs this process."""
    return of_uid(os.getuid())


def of_uid(uid: int) -> Actor:
    """Return the user with that number, without a name if the password database has none."""
    try:
        return Actor(uid, pwd.getpwuid(uid).pw_name)
    except KeyError:
        # A deleted user, or one of a directory server that is away: the number identifies them.
        return Actor(uid, "")
