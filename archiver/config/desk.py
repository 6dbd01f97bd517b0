"""Declare the settings of the work on a filing after submission: reminders, changes, public display, notices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from archiver.config import value_types as types
from archiver.config.schema import setting
from archiver.errors import LazyMessage

#: The kinds of changes that the regulator's form for filings distinguishes.
CHANGE_KINDS = ("model", "logic", "data", "mechanism")


@dataclass(frozen=True, slots=True)
class DeskSettings:
    """Settings of the work that people do on a filing after its submission (``docs/desk.md``).

    Some fields are named more precisely than their keys in the file.
    """

    reminder_hour: int = setting(
        "reminders.hour",
        types.whole_number(0, 23),
        default=9,
        summary=LazyMessage("Hour of the day when reminders are sent."),
    )
    #: Only its owner may read the file, because the addresses hold passwords.
    reminder_addresses_file: Path | None = setting(
        "reminders.targets",
        types.FILE,
        default=None,
        summary=LazyMessage(
            "File with reminder addresses, mode 0600, one line for each person or role (owner = "
            '["mailto://..."]). Alternative: ARCHIVER_TARGET_OWNER and _MANAGER.'
        ),
        example="targets.toml",
    )
    #: Kind of change, one of ``CHANGE_KINDS`` -> patterns of the names of files that show such a change.
    change_patterns: Mapping[str, tuple[str, ...]] = setting(
        "changes",
        types.lists_by_key(types.TEXTS, CHANGE_KINDS),
        default={},
        summary=LazyMessage("File name patterns, by the kind of change that the files show."),
        example={
            "model": ["*模型*"],
            "logic": ["*推荐逻辑*", "*策略*"],
            "data": ["*数据来源*"],
            "mechanism": ["*算法机制*", "*拟公示内容*"],
        },
    )
    display_check_days: int = setting(
        "display.every_days",
        types.whole_number(0, 366),
        default=7,
        summary=LazyMessage("Days between two checks (0: never)."),
    )
    allow_private_addresses: bool = setting(
        "display.allow_private",
        types.SWITCH,
        default=False,
        summary=LazyMessage("Also check pages at addresses that are not public."),
    )
    notice_folder_name: str = setting(
        "notices.folder",
        types.FOLDER_NAME,
        default="通知",
        summary=LazyMessage("Folder for notices, inside the folder of a filing."),
    )
