"""The tables of ``archiver.toml``: which settings there are, and how values are read."""

from __future__ import annotations

import difflib
import grp
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from archiver.errors import ConfigProblem, Phrase
from archiver.model import KINDS

SECTIONS: Mapping[str, frozenset[str]] = {
    "archive": frozenset({"path", "lang"}),
    "watch": frozenset(
        {
            "path",
            "layout",
            "settle_seconds",
            "maximum_delay_seconds",
            "scan_minutes",
            "poll_seconds",
            "min_version_interval_minutes",
            "ignore",
        }
    ),
    "retention": frozenset({"years", "profiles", "timezone", "hold_while_live", "cooling_off_days"}),
    "access": frozenset({"read_group", "act_group"}),
    "timestamp": frozenset({"url"}),
    "sensitive": frozenset({"patterns"}),
    "evidence": frozenset({"drill_days", "drill_files", "sm3"}),
    "expected": frozenset(KINDS),
    "reminders": frozenset({"hour", "targets"}),
    "changes": frozenset({"model", "logic", "data", "mechanism"}),
    "display": frozenset({"every_days", "allow_private"}),
    "notices": frozenset({"folder"}),
    "metrics": frozenset({"textfile", "listen"}),
    "replica": frozenset(
        {
            "endpoint",
            "region",
            "style",
            "credentials",
            "ca",
            "proxy",
            "bandwidth_mb",
            "parallel",
            "alert_hours",
        }
    ),
}
#: Tables of earlier releases -> why a release does without them, and what to do.
_REMOVED = {
    "store": "is not used any more, the archive keeps all contents on its own disk. Remove the table. What lies "
    "in the bucket only comes back with archiver replica restore, into the archive's own folder"
}
FILING = frozenset({"min_version_interval_minutes", "profiles", "submissions", "signals", "pages"})


@dataclass(frozen=True, slots=True)
class TomlDocument:
    """One file's tables, and how a person is told what is wrong in them."""

    source: Path
    tables: Mapping[str, Any]

    def problem(self, key: str, template: str, **fields: object) -> ConfigProblem:
        """What is raised for a setting that cannot be."""
        return ConfigProblem(
            "{path}: {key} {reason}. Nothing was changed. Mend the file and start again.",
            path=self.source,
            key=key,
            reason=Phrase(template, **fields),
        )

    def check_keys(self) -> None:
        """Refuse settings that nobody knows; raises ConfigProblem with the nearest."""
        for section, table in self.tables.items():
            if section == "filings" and isinstance(table, dict):
                for name, settings in table.items():
                    self._check_filing(name, settings)
                continue
            if section in _REMOVED:
                continue
            if section not in SECTIONS:
                raise self._unknown(section, [*SECTIONS, "filings"])
            if not isinstance(table, dict):
                raise self.problem(section, "must be a table in square brackets")
            for key in table:
                if key not in SECTIONS[section]:
                    raise self._unknown(f"{section}.{key}", (f"{section}.{k}" for k in SECTIONS[section]))

    def _check_filing(self, name: str, settings: object) -> None:
        if not isinstance(settings, dict):
            raise self.problem(f"filings.{name}", "must be a table in square brackets")
        for key in settings:
            if key not in FILING:
                raise self._unknown(f"filings.{name}.{key}", (f"filings.{name}.{each}" for each in FILING))

    def _unknown(self, key: str, known: Iterable[str]) -> ConfigProblem:
        near = difflib.get_close_matches(key, list(known), 1)
        if near:
            return self.problem(key, "is not a known setting; did you mean {near}", near=near[0])
        return self.problem(key, "is not a known setting")

    def warnings(self) -> tuple[Phrase, ...]:
        """Name the tables of the file that this release does without."""
        return tuple(
            Phrase("{path}: [{table}] {reason}.", path=self.source, table=table, reason=Phrase(reason))
            for table, reason in _REMOVED.items()
            if table in self.tables
        )

    def get(self, section: str, key: str, default: Any) -> Any:
        """A value as it stands in the file."""
        return self.tables.get(section, {}).get(key, default)

    def section(self, name: str) -> Mapping[str, Any]:
        """One table; empty where the file has none."""
        table: Mapping[str, Any] = self.tables.get(name, {})
        return table

    def texts(self, section: str, key: str, default: list[str]) -> tuple[str, ...]:
        """A list of texts, such as file name patterns; raises ConfigProblem."""
        return self.as_texts(f"{section}.{key}", self.get(section, key, default))

    def as_texts(self, key: str, value: object) -> tuple[str, ...]:
        """The same for a value already at hand."""
        if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
            raise self.problem(key, "must be a list of texts")
        return tuple(value)

    def path(self, section: str) -> Path:
        """A folder, relative to the file; raises ConfigProblem."""
        value = self.get(section, "path", None)
        if not isinstance(value, str) or not value or "\0" in value:
            raise self.problem(f"{section}.path", "must name a folder")
        # The file is UTF-8 whatever the locale, and a path is its bytes.
        given = Path(os.fsdecode(value.encode("utf-8")))
        return Path(os.path.abspath(self.source.parent / given))

    def number(self, section: str, key: str, default: float, least: float) -> float:
        """A number of at least ``least``; raises ConfigProblem."""
        return self.as_number(f"{section}.{key}", self.get(section, key, default), least)

    def as_number(self, key: str, value: object, least: float) -> float:
        """The same for a value already at hand."""
        if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= 10**7:
            raise self.problem(key, "must be a number of at least {least:g}", least=least)
        return float(value)

    def group(self, key: str) -> str:
        """The name of a group of this server, empty where none is set; raises ConfigProblem."""
        value = self.get("access", key, "")
        if not isinstance(value, str):
            raise self.problem(f"access.{key}", "must be the name of a group")
        try:
            if value:
                grp.getgrnam(value)
        except KeyError:
            raise self.problem(
                f"access.{key}", "names {group}, which is no group of this server", group=value
            ) from None
        return value

    def timezone(self) -> str:
        """The zone in which days end; raises ConfigProblem."""
        name = self.get("retention", "timezone", "Asia/Shanghai")
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, TypeError, OSError):
            raise self.problem("retention.timezone", "must be a time zone such as Asia/Shanghai") from None
