"""Settings of the desk: reminders, change questions, the public display, notices."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from archiver.config.toml_document import TomlDocument

#: What a change may be about, as the filing's form asks (domain notes, section 1).
CHANGE_KINDS = ("model", "logic", "data", "mechanism")


@dataclass(frozen=True, slots=True)
class Desk:
    """What is set for the life of filings.

    ``targets`` is a file for the owner alone (0600) that says where reminders
    go; ``changes`` maps kinds of changes to patterns of materials.
    """

    reminder_hour: int = 9
    targets: Path | None = None
    changes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    display_days: int = 7
    allow_private: bool = False
    notice_folder: str = "通知"


def desk_of(document: TomlDocument) -> Desk:
    """Read and validate; raises ConfigProblem."""
    return Desk(
        reminder_hour=_whole(document, "reminders", "hour", 9, 0, 23),
        targets=_targets(document),
        changes={
            kind: document.texts("changes", kind, [])
            for kind in CHANGE_KINDS
            if kind in document.section("changes")
        },
        display_days=_whole(document, "display", "every_days", 7, 0, 366),
        allow_private=_truth(document, "display", "allow_private"),
        notice_folder=_name(document, "notices", "folder", "通知"),
    )


def _targets(document: TomlDocument) -> Path | None:
    value = document.get("reminders", "targets", None)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise document.problem("reminders.targets", "must name a file")
    # The file is UTF-8 whatever the locale, and a path is its bytes.
    return Path(os.path.abspath(document.source.parent / os.fsdecode(value.encode("utf-8"))))


def _whole(document: TomlDocument, section: str, key: str, default: int, least: int, most: int) -> int:
    value = document.get(section, key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise document.problem(
            f"{section}.{key}", "must be a whole number from {least} to {most}", least=least, most=most
        )
    return value


def _truth(document: TomlDocument, section: str, key: str) -> bool:
    value = document.get(section, key, False)
    if not isinstance(value, bool):
        raise document.problem(f"{section}.{key}", "must be true or false")
    return value


def _name(document: TomlDocument, section: str, key: str, default: str) -> str:
    value = document.get(section, key, default)
    if not isinstance(value, str) or not value or "/" in value:
        raise document.problem(f"{section}.{key}", "must be the name of a folder")
    return value
