"""Read ``archiver.toml``, and return either the settings or a list of all problems."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from archiver.config.location import find_config_file, read_config_text
from archiver.config.schema import Setting
from archiver.config.settings import Config
from archiver.config.toml_document import SettingProblem, TomlDocument
from archiver.config.value_types import InvalidValueError, decode_file_name
from archiver.errors import ConfigError


class CheckedConfigFile(NamedTuple):
    """The outcome of reading a configuration file."""

    document: TomlDocument
    #: The settings; None if there are problems.
    config: Config | None
    #: Every problem of the file, unknown keys first.
    problems: tuple[SettingProblem, ...]
    #: Full keys, such as ``watch.path``, of the settings that the file contains. All others have their default.
    keys_in_file: frozenset[str]

    def require_config(self) -> Config:
        """Return the settings. Raises ConfigError for the first problem."""
        if self.config is None:
            raise self.document.problem_error(self.problems[0])
        return self.config


def find_and_load_config(option_value: str | None, environment: Mapping[str, str]) -> Config:
    """Find the configuration file, read it, and return the settings.

    The parameters and the errors are those of :func:`find_and_check_config`. In addition, raises ConfigError for
    the first problem with a setting.
    """
    return find_and_check_config(option_value, environment).require_config()


def find_and_check_config(option_value: str | None, environment: Mapping[str, str]) -> CheckedConfigFile:
    """Find and read the configuration file, and collect all problems with its settings.

    ``option_value`` is the value of ``--config``, None without the option. If the user did not name a file and the
    current folder has one, the file must belong to a trusted user: see :mod:`archiver.config.owner`.

    Raises ConfigError if there is no file, if the file is not trusted or not TOML, or if the archive and the
    watched folder are the same folder or one contains the other. Raises StorageError if the file cannot be read,
    or if one of the usual places cannot be examined.
    """
    config_file = find_config_file(option_value, environment)
    return check_config_file(config_file.path, must_be_trusted=config_file.must_be_trusted)


def load_config(source: Path, *, must_be_trusted: bool = False) -> Config:
    """Read and check the file ``source``, and return the settings.

    ``must_be_trusted`` is True for a file that the user did not name: its owner must be a trusted user.

    Raises ConfigError for the first problem, and StorageError if the file cannot be read.
    """
    return check_config_file(source, must_be_trusted=must_be_trusted).require_config()


def check_config_file(source: Path, *, must_be_trusted: bool = False) -> CheckedConfigFile:
    """Read the file ``source`` and collect all problems with its settings, to show them in a single check.

    ``must_be_trusted`` is True for a file that the user did not name: its owner must be a trusted user.

    Raises ConfigError if the file is missing, not trusted or not TOML, or if the archive and the watched folder
    are the same folder or one contains the other. Raises StorageError if the file cannot be read.
    """
    file_text = read_config_text(source, must_be_trusted=must_be_trusted)
    try:
        document = TomlDocument(source, tomllib.loads(file_text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(
            "The configuration file {path} is not valid TOML: {reason}. Nothing was changed. Correct that line.",
            path=source,
            reason=error,
        ) from None
    value_reader = _ValueReader(document)
    setting_values = value_reader.read_fields(Config, document.tables)
    problems = tuple(value_reader.problems)
    config = None
    if not problems:
        config = Config(source=source, warnings=document.removed_table_warnings(), **setting_values)
        check_paths_not_nested(config.archive, config.watch)
        _check_metrics_outside(config)
    return CheckedConfigFile(document, config, problems, frozenset(value_reader.keys_in_file))


class _ValueReader:
    """Read the values of a document by the table of settings.

    ``problems`` collects the problems, and ``keys_in_file`` the full keys of the settings that the file contains.
    """

    def __init__(self, document: TomlDocument) -> None:
        """Prepare to read ``document``, and collect the problems of its keys."""
        #: The folder in which relative paths of the file start.
        self._base_folder = document.source.parent
        self.problems = list(document.find_wrong_keys())
        self.keys_in_file: set[str] = set()

    def read_fields(
        self, settings_class: type, tables: Mapping[str, Any], filing_name: str = ""
    ) -> dict[str, Any]:
        """Return the keyword arguments for ``settings_class``, without an argument for a missing or invalid value.

        ``tables`` maps the names of the file's tables to their content. For the settings of a single filing,
        ``tables`` is the content of the filing's table, and ``filing_name`` is the name of the filing.
        """
        setting_values: dict[str, Any] = {}
        for declared_field in fields(settings_class):
            if setting := declared_field.metadata.get("setting"):
                toml_value = _find_toml_value(tables, setting.key)
                if _uses_default(setting, toml_value):
                    continue
                self.keys_in_file.add(_full_key(decode_file_name(filing_name), setting.key))
                try:
                    setting_values[declared_field.name] = setting.value_type.parse(toml_value, self._base_folder)
                except InvalidValueError as error:
                    full_key = _full_key(filing_name, setting.key) + error.subkey
                    self.problems.append(SettingProblem("invalid-value", full_key, error.reason))
            elif is_dataclass(part_class := declared_field.default_factory):
                setting_values[declared_field.name] = part_class(**self.read_fields(part_class, tables))
            elif "tables" in declared_field.metadata:
                setting_values[declared_field.name] = self._read_filing_tables(
                    declared_field.metadata["settings_class"], tables.get(declared_field.metadata["tables"])
                )
        return setting_values

    def _read_filing_tables(self, settings_class: type, tables: object) -> dict[str, Any]:
        """Return an object of ``settings_class`` for each filing's table, by the name of the filing's folder.

        ``tables`` is the value of the key ``filings`` in the file, of any TOML type; None if the key is missing. A
        value that should be a table but is not is left out: ``TomlDocument.find_wrong_keys`` has reported it.
        """
        if not isinstance(tables, dict):
            return {}
        return {
            decode_file_name(filing_name): settings_class(
                **self.read_fields(settings_class, filing_table, filing_name)
            )
            for filing_name, filing_table in tables.items()
            if isinstance(filing_table, dict)
        }


def _uses_default(setting: Setting, toml_value: object) -> bool:
    """Return True if the default of a setting applies: its key is missing, or the value should be a table.

    ``TomlDocument.find_wrong_keys`` reports a value that should be a table. A required setting has no default.
    """
    is_not_a_table = bool(setting.value_type.members) and not isinstance(toml_value, dict)
    return is_not_a_table or (toml_value is None and not setting.is_required)


def _full_key(filing_name: str, key: str) -> str:
    """Return a key with the table of its filing in front; ``filing_name`` is empty for all other settings."""
    return f"filings.{filing_name}.{key}" if filing_name else key


def _find_toml_value(tables: Mapping[str, Any], key: str) -> Any:
    """Return the value for ``key``, which is TABLE.KEY or only TABLE; None if the table or the key is missing."""
    table_name, _, key_name = key.partition(".")
    table_content = tables.get(table_name)
    if not key_name:
        return table_content
    # A value that should be a table has no keys.
    return table_content.get(key_name) if isinstance(table_content, dict) else None


def check_paths_not_nested(archive: Path, watch: Path) -> None:
    """Raise ConfigError if the two paths lead to the same folder, or one folder contains the other.

    With such paths, the archive would archive itself, or the program would write into the watched folder. Links in
    the paths are resolved. :func:`archiver.intake.folder.nesting.check_folders_not_nested` also recognizes a
    folder under another path, such as a bind mount.
    """
    archive_path, watched_path = _resolve_links(archive), _resolve_links(watch)
    is_nested = watched_path in archive_path.parents or archive_path in watched_path.parents
    if is_nested or archive_path == watched_path:
        raise ConfigError(
            "The archive {archive} and the watched folder {watch} are the same folder, or one contains the "
            "other. Nothing was changed. Choose two separate folders.",
            archive=archive,
            watch=watch,
        )


def _check_metrics_outside(config: Config) -> None:
    """Raise ConfigError if the program would write its figures into the watched folder, and archive them."""
    textfile = config.metrics_textfile
    if textfile is not None and _resolve_links(config.watch) in _resolve_links(textfile).parents:
        raise ConfigError(
            "The setting metrics.textfile names {path}, which is in the watched folder {watch}: each update would "
            "be archived as a new version. Nothing was changed. Choose a file outside of the watched folder.",
            path=textfile,
            watch=config.watch,
        )


def _resolve_links(path: Path) -> Path:
    """Return ``path`` with all links resolved as far as possible.

    Does not access a filesystem that is mounted at ``path`` itself, because a network filesystem may hang.
    """
    resolved_path = Path(os.path.realpath(path.parent), path.name)
    try:
        return Path(os.path.realpath(Path(resolved_path.parent, os.readlink(resolved_path))))
    except OSError:
        # The last component is not a link, or does not exist.
        return resolved_path
