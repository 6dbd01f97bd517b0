"""Read ``archiver.toml`` into settings, or into a list of all problems."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from archiver.config.location import HERE, find_config_file, read_text
from archiver.config.settings import Config
from archiver.config.toml_document import SettingProblem, TomlDocument
from archiver.config.value_types import InvalidValueError, decode_file_name
from archiver.errors import ConfigError


@dataclass(frozen=True, slots=True)
class CheckedFile:
    """Settings read from a file, or None and the problems in the way."""

    document: TomlDocument
    config: Config | None
    problems: tuple[SettingProblem, ...]
    #: Keys of the settings in the file; all others have the default.
    keys_in_file: frozenset[str]

    def require(self) -> Config:
        """Return the settings; raises ConfigError for the first problem."""
        if self.config is None:
            raise self.document.error(self.problems[0])
        return self.config


def in_force(explicit: str | None, environment: Mapping[str, str]) -> Config:
    """Find and load the configuration; raises as :func:`load`."""
    return check_in_force(explicit, environment).require()


def check_in_force(explicit: str | None, environment: Mapping[str, str]) -> CheckedFile:
    """Find and check the configuration; raises as :func:`check`.

    A file that nobody named, but that lies in the current folder, has to belong to somebody trusted.
    """
    named_file = explicit or environment.get("ARCHIVER_CONFIG")
    config_file = find_config_file(explicit, environment)
    return check(config_file, is_found=not named_file and config_file == HERE)


def load(source: Path, *, is_found: bool = False) -> Config:
    """Read and validate ``source``; ``is_found``: a file found in the current folder, named by nobody.

    Raises ConfigError for the first problem, and StorageError if the file may not be read.
    """
    return check(source, is_found=is_found).require()


def check(source: Path, *, is_found: bool = False) -> CheckedFile:
    """Read ``source`` and collect every problem of the settings, so that a single check shows all.

    Raises ConfigError if the file is not TOML or names nested folders, StorageError without the permission.
    """
    file_text = read_text(source, is_found=is_found)
    try:
        document = TomlDocument(source, tomllib.loads(file_text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            "The configuration file {path} is not valid TOML: {reason}. Nothing was changed. Mend that line.",
            path=source,
            reason=error,
        ) from None
    value_reader = _ValueReader(document)
    setting_values = value_reader.read(Config, document.tables)
    problems, config = tuple(value_reader.problems), None
    if not problems:
        config = Config(source=source, warnings=document.warnings(), **setting_values)
        check_places(config.archive, config.watch)
    return CheckedFile(document, config, problems, frozenset(value_reader.keys_in_file))


class _ValueReader:
    """Read values by the table of settings, and collect the problems."""

    def __init__(self, document: TomlDocument) -> None:
        self._base_folder = document.source.parent
        self.problems = list(document.find_wrong_keys())
        self.keys_in_file: set[str] = set()

    def read(self, group: type, tables: Mapping[str, Any], name: str = "") -> dict[str, Any]:
        """Return the values of a class's fields, without wrong and missing ones.

        ``name`` is the filing whose table ``tables`` is.
        """
        setting_values: dict[str, Any] = {}
        for declared_field in fields(group):
            if setting := declared_field.metadata.get("setting"):
                value = _look_up(tables, setting.key)
                is_no_table = setting.value_type.members and not isinstance(value, dict)
                if is_no_table or (value is None and not setting.is_required):
                    # The default is in force; a value in the place of a table is among the problems already.
                    continue
                self.keys_in_file.add(_in_filing(decode_file_name(name), setting.key))
                try:
                    setting_values[declared_field.name] = setting.value_type.parse(value, self._base_folder)
                except InvalidValueError as error:
                    full_key = _in_filing(name, setting.key) + error.subkey
                    self.problems.append(SettingProblem("invalid-value", full_key, error.reason))
            elif is_dataclass(part := declared_field.default_factory):
                setting_values[declared_field.name] = part(**self.read(part, tables))
            elif "tables" in declared_field.metadata:
                setting_values[declared_field.name] = self._read_tables(
                    declared_field.metadata["group"], tables.get(declared_field.metadata["tables"])
                )
        return setting_values

    def _read_tables(self, group: type, tables: object) -> dict[str, Any]:
        if not isinstance(tables, dict):
            # Missing, or not a table, which is among the problems already.
            return {}
        return {
            decode_file_name(name): group(**self.read(group, table, name))
            for name, table in tables.items()
            if isinstance(table, dict)
        }


def _in_filing(name: str, key: str) -> str:
    return f"filings.{name}.{key}" if name else key


def _look_up(tables: Mapping[str, Any], key: str) -> Any:
    """Return the value of a key, None if missing; a value in the place of a table has no keys."""
    table_name, _, key_name = key.partition(".")
    value = tables.get(table_name)
    return value if not key_name else value.get(key_name) if isinstance(value, dict) else None


def check_places(archive: Path, watch: Path) -> None:
    """Refuse an archive inside the watched folder and the other way round.

    The archive would archive itself, or the watched folder would be written.  Raises ConfigError.
    """
    archive_path, watched_path = _resolve_links(archive), _resolve_links(watch)
    is_nested = watched_path in archive_path.parents or archive_path in watched_path.parents
    if is_nested or archive_path == watched_path:
        raise ConfigError(
            "The archive {archive} and the watched folder {watch} lie inside one another. "
            "Nothing was changed. Choose two separate folders.",
            archive=archive,
            watch=watch,
        )


def _resolve_links(path: Path) -> Path:
    """Return the path without links, without a question to a filesystem at ``path``, which may hang."""
    resolved_path = Path(os.path.realpath(path.parent), path.name)
    try:
        return Path(os.path.realpath(Path(resolved_path.parent, os.readlink(resolved_path))))
    except OSError:
        # Not a link, or a missing path: resolved as far as possible.
        return resolved_path
