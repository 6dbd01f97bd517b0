"""Identify users by the kernel's number and the password database's name."""

from __future__ import annotations

import os
import pwd

from archiver.model import Actor


def current_user() -> Actor:
    """Return the user who started this process, by the real user ID: a set-user-ID program cannot hide them."""
    return user_with_id(os.getuid())


def user_with_id(uid: int) -> Actor:
    """Return the user with that number; the name is empty if the password database has none."""
    try:
        return Actor(uid, pwd.getpwuid(uid).pw_name)
    except KeyError:
        # The user was deleted, or their directory server cannot be reached: the number still identifies them.
        return Actor(uid, "")
