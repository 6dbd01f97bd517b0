"""Sending messages; the only module that imports apprise.

Where they go is a secret (a token, a password): it comes from the environment or from a file for the
owner alone, and goes into no log, journal or message.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path

from archiver.errors import ConfigProblem
from archiver.filings.due.reminders import MANAGER, OWNER

_VARIABLE = "ARCHIVER_TARGET_"


def targets(path: Path | None, environment: Mapping[str, str]) -> dict[str, list[str]]:
    """Role or person -> addresses in apprise's form; raises ConfigProblem, without showing any."""
    found = _file(path) if path else {}
    for role in (OWNER, MANAGER):
        if given := environment.get(_VARIABLE + role.upper()):
            found[role] = given.split()
    return found


def _file(path: Path) -> dict[str, list[str]]:
    try:
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & 0o077:
            raise ConfigProblem(
                "{path} says where reminders go and is readable for others (mode {mode}). Nothing was sent. Make "
                "it its owner's alone: chmod 600 {path!q}",
                path=path,
                mode=f"{mode:04o}",
            )
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigProblem(
            "{path} says where reminders go and cannot be read ({reason}). Nothing was sent. Check the name.",
            path=path,
            reason=error.strerror,
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        document = {"": None}
    # The parser's own message would show a line, and with it a secret.
    if not all(isinstance(each, list) and all(isinstance(x, str) for x in each) for each in document.values()):
        raise ConfigProblem(
            "{path} says where reminders go and is not as it should be. Nothing was sent. Each line is: "
            'owner = ["mailto://..."]',
            path=path,
        )
    return document


def send(address: str, title: str, body: str) -> bool:
    """Send to one address; whether it was taken."""
    import logging

    import apprise

    # It logs addresses, and those are secrets.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    channel = apprise.Apprise()
    return channel.add(address) and bool(
        channel.notify(title=title, body=body, body_format=apprise.NotifyFormat.TEXT)
    )
