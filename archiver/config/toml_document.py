"""Compare the keys of the parsed ``archiver.toml`` with the table of settings."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from archiver.config.settings import settings_by_table
from archiver.errors import ConfigError, LazyMessage

#: Table of an earlier release -> why this release does not use it, and what to do.
_REMOVED_TABLES = {
    "store": LazyMessage(
        "is no longer used: the archive keeps all objects on its own disk. Remove the table. To fetch objects "
        "that exist only in the bucket into the archive folder, run: archiver replica restore"
    )
}
_NOT_A_TABLE = LazyMessage("must be a table in square brackets")
#: Table -> the keys that it may contain.
_KEYS_BY_TABLE = {
    table: [key for setting in table_settings for key in setting.keys_in_table]
    for table, table_settings in settings_by_table().items()
}


class SettingProblem(NamedTuple):
    """A problem in a configuration file."""

    #: For programs: ``invalid-value``, ``not-a-table`` or ``unknown-setting``.
    code: str
    #: The full key, such as ``watch.path``.
    key: str
    #: Completes a sentence that begins with the key.
    reason: LazyMessage


class TomlDocument(NamedTuple):
    """A parsed configuration file, before any check of keys and values."""

    source: Path
    #: The content of each table, by name. A wrong file may have a value that is not a table.
    tables: Mapping[str, Any]

    def problem_error(self, problem: SettingProblem) -> ConfigError:
        """Return the error for a problem of this file, for the caller to raise."""
        return ConfigError(
            "{path}: {key} {reason}. Nothing was changed. Correct the file, then try again.",
            path=self.source,
            key=problem.key,
            reason=problem.reason,
        )

    def find_wrong_keys(self) -> Iterator[SettingProblem]:
        """Yield a problem for each unknown key, and for each value that should be a table, in the file's order.

        The reason suggests the most similar known key, if any is similar.
        """
        for table_name, table_content in self.tables.items():
            if table_name in _REMOVED_TABLES:
                # :meth:`removed_table_warnings` returns a warning instead, so that an old file stays usable.
                continue
            if table_name not in _KEYS_BY_TABLE:
                yield _unknown_setting_problem(table_name, _KEYS_BY_TABLE)
            elif table_name != "filings":
                yield from _find_wrong_keys_in_table(table_name, table_content, _KEYS_BY_TABLE[table_name])
            elif not isinstance(table_content, dict):
                yield SettingProblem("not-a-table", table_name, _NOT_A_TABLE)
            else:
                for filing_name, filing_table in table_content.items():
                    full_table_name = f"{table_name}.{filing_name}"
                    yield from _find_wrong_keys_in_table(full_table_name, filing_table, _KEYS_BY_TABLE[table_name])

    def removed_table_warnings(self) -> tuple[LazyMessage, ...]:
        """Return a warning for each table of the file that only an earlier release used."""
        return tuple(
            LazyMessage("{path}: [{table}] {reason}", path=self.source, table=table_name, reason=reason)
            for table_name, reason in _REMOVED_TABLES.items()
            if table_name in self.tables
        )


def _find_wrong_keys_in_table(
    table_name: str, table_content: object, known_keys: Collection[str]
) -> Iterator[SettingProblem]:
    """Yield a problem if ``table_content`` is not a table, or else a problem for each of its unknown keys."""
    if not isinstance(table_content, dict):
        yield SettingProblem("not-a-table", table_name, _NOT_A_TABLE)
        return
    for key in table_content:
        if key not in known_keys:
            known_full_keys = [f"{table_name}.{known_key}" for known_key in known_keys]
            yield _unknown_setting_problem(f"{table_name}.{key}", known_full_keys)


def _unknown_setting_problem(full_key: str, known_full_keys: Collection[str]) -> SettingProblem:
    """Return the problem of an unknown key; the reason suggests the most similar known key, if any is similar."""
    # Seldom needed, and importing it takes milliseconds.
    import difflib

    reason = LazyMessage("is not a known setting")
    if similar_keys := difflib.get_close_matches(full_key, known_full_keys, 1):
        reason = LazyMessage("is not a known setting (did you mean {near}?)", near=similar_keys[0])
    return SettingProblem("unknown-setting", full_key, reason)
