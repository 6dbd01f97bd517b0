"""The people of this machine, as the kernel and the password database name them."""

from __future__ import annotations

import os
import pwd

from archiver.model import Actor


def caller() -> Actor:
    """Who runs this process."""
    return of_uid(os.getuid())


def of_uid(uid: int) -> Actor:
    """The user of that number; a number without a name is a user too."""
    try:
        return Actor(uid, pwd.getpwuid(uid).pw_name)
    except KeyError:
        return Actor(uid, "")
