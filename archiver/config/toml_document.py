"""The parsed ``archiver.toml``, with keys to be compared with the table of settings."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver.config.settings import settings_by_table
from archiver.errors import ConfigError, LazyMessage

#: Tables of earlier releases -> why a release does without them, and what to do.
_REMOVED_TABLES = {
    "store": LazyMessage(
        "is not used any more, the archive keeps all contents on its own disk. Remove the table. What lies "
        "in the bucket only comes back with archiver replica restore, into the archive's own folder"
    )
}
_NOT_A_TABLE = LazyMessage("must be a table in square brackets")
#: Table -> the keys that it may have.
_KEYS_BY_TABLE = {
    table: [name for setting in group for name in setting.names] for table, group in settings_by_table().items()
}


@dataclass(frozen=True, slots=True)
class SettingProblem:
    """A fault of a file: ``code`` is for programs, ``reason`` completes a sentence after ``key``."""

    code: str
    key: str
    reason: LazyMessage


@dataclass(frozen=True, slots=True)
class TomlDocument:
    """The tables of a file, as parsed."""

    source: Path
    tables: Mapping[str, Any]

    def error(self, problem: SettingProblem) -> ConfigError:
        """Return the error to raise for a fault of this file."""
        return ConfigError(
            "{path}: {key} {reason}. Nothing was changed. Mend the file and start again.",
            path=self.source,
            key=problem.key,
            reason=problem.reason,
        )

    def find_wrong_keys(self) -> Iterator[SettingProblem]:
        """Yield values in the place of tables, and unknown keys with the nearest known key."""
        for table, table_content in self.tables.items():
            if table in _REMOVED_TABLES:
                continue
            if table not in _KEYS_BY_TABLE:
                yield _unknown_setting(table, _KEYS_BY_TABLE)
            elif table != "filings":
                yield from _find_wrong_keys(table, table_content, _KEYS_BY_TABLE[table])
            elif not isinstance(table_content, dict):
                yield SettingProblem("not-a-table", table, _NOT_A_TABLE)
            else:
                for filing_name, filing_table in table_content.items():
                    yield from _find_wrong_keys(f"{table}.{filing_name}", filing_table, _KEYS_BY_TABLE[table])

    def warnings(self) -> tuple[LazyMessage, ...]:
        """Return a warning for each table of the file without use in this release."""
        return tuple(
            LazyMessage("{path}: [{table}] {reason}.", path=self.source, table=table, reason=reason)
            for table, reason in _REMOVED_TABLES.items()
            if table in self.tables
        )


def _find_wrong_keys(table: str, content: object, names: Collection[str]) -> Iterator[SettingProblem]:
    if not isinstance(content, dict):
        yield SettingProblem("not-a-table", table, _NOT_A_TABLE)
        return
    for name in content:
        if name not in names:
            yield _unknown_setting(f"{table}.{name}", [f"{table}.{known_name}" for known_name in names])


def _unknown_setting(key: str, known_keys: Collection[str]) -> SettingProblem:
    reason = LazyMessage("is not a known setting")
    if similar_keys := difflib.get_close_matches(key, known_keys, 1):
        reason = LazyMessage("is not a known setting; did you mean {near}", near=similar_keys[0])
    return SettingProblem("unknown-setting", key, reason)
