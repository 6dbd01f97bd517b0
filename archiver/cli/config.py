"""``archiver config``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import ArchiverError, ConfigError, LazyMessage
from archiver.store import names

if TYPE_CHECKING:
    from archiver.config.loader import CheckedConfigFile
    from archiver.config.settings import Config
    from archiver.config.toml_document import SettingProblem
    from archiver.store.index.queries import Index

#: The parts of a URL that may be secret: the user name and password before the host, and the query.
_SECRET_IN_URL = re.compile(r"(?<=://)[^/?#\s]*(?=@)|(?<=\?)[^#\s]+(?=#|\Z)")
#: The user name and password in an address without a scheme, for example of a proxy: USER:PASSWORD@HOST:PORT.
_SECRET_BEFORE_HOST = re.compile(r"\A[^/?#\s]+:[^/?#\s]+(?=@[\w.-]+(:\d+)?/?\Z)")
_MASK_TEXT = "***"


@dataclass(frozen=True, slots=True)
class _SettingWarning:
    """A warning about the settings in a file that the service accepts."""

    code: str  # for programs: removed-table, missing-file, or new-promise (a retention that waits for acceptance)
    message: LazyMessage


@dataclass(slots=True)
class _CheckResult:
    """All problems and warnings from a check of the configuration file."""

    problems: list[SettingProblem] = field(default_factory=list)  # because of one, the service refuses the file
    warnings: list[_SettingWarning] = field(default_factory=list)  # the service still accepts the file

    def extend(self, other_result: _CheckResult) -> None:
        """Append the problems and the warnings of ``other_result``."""
        self.problems += other_result.problems
        self.warnings += other_result.warnings


config_command = command_group("Check the configuration file or show its settings.")


@command("Check the configuration file, for example before a reload; change nothing.")
@json_option
def _check_config(session: Session, as_json: bool) -> None:
    checked_file = session.check_config()
    check_result = _check_settings(checked_file)
    if checked_file.config is not None:
        # Print the result in the language that the file sets.
        session.use_config(checked_file.config)
    _print_result(session, checked_file, check_result, as_json=as_json)


def _check_settings(checked_file: CheckedConfigFile) -> _CheckResult:
    """Collect the problems of the file; if it has none, compare the settings with the disk and the archive."""
    check_result = _CheckResult(
        list(checked_file.problems),
        [_SettingWarning("removed-table", warning) for warning in checked_file.document.removed_table_warnings()],
    )
    if checked_file.config is not None:
        check_result.warnings += _collect_missing_file_warnings(checked_file.config)
        check_result.extend(_compare_with_index(checked_file.config))
    return check_result


def _print_result(
    session: Session, checked_file: CheckedConfigFile, check_result: _CheckResult, *, as_json: bool
) -> None:
    """Print the problems and warnings, for people or as JSON.

    Raises ConfigError if the file has problems, so that the exit code tells a script that the service would refuse
    the file.
    """
    console, path = session.console, os.path.abspath(checked_file.document.source)
    problems, warnings = check_result.problems, check_result.warnings
    if as_json:
        console.print_json(
            {
                "path": path,
                "ok": not problems,
                "problems": [
                    {"code": problem.code, "key": problem.key, "message": console.translate(problem.reason)}
                    for problem in problems
                ],
                "warnings": _warnings_as_json(session, warnings),
            }
        )
    else:
        for warning in warnings:
            console.warn("{warning}", warning=warning.message)
        for problem in problems:
            console.warn("{key} {reason}", key=problem.key, reason=problem.reason)
    if problems:
        raise ConfigError(
            LazyMessage.define(
                "The configuration file {path} has {count} errors. A running service keeps the previous "
                "settings. Correct the file and check again.",
                singular=(
                    "The configuration file {path} has {count} error. A running service keeps the previous "
                    "settings. Correct the file and check again."
                ),
            ),
            path=path,
            count=len(problems),
        )
    if not as_json:
        console.info(
            "{path} is valid. To apply it to a running service, run: systemctl reload archiver", path=path
        )


def _warnings_as_json(session: Session, warnings: Iterable[_SettingWarning]) -> list[dict[str, str]]:
    """Return the warnings as dicts with a code and a translated message, for ``--json``."""
    return [{"code": warning.code, "message": session.console.translate(warning.message)} for warning in warnings]


def _collect_missing_file_warnings(config: Config) -> list[_SettingWarning]:
    """Return a warning for each missing file that a setting names, and for a missing archive.

    Without these warnings, a missing file would be noticed only when the service opens it, perhaps weeks later.
    """
    from archiver.config.schema import setting_values
    from archiver.config.value_types import FILE, OPTIONAL_FILE
    from archiver.path_existence import is_there

    paths_by_setting = [
        (setting_key, file_path)
        for setting_key, setting_type, file_path in setting_values(config)
        if setting_type.value_type in (FILE, OPTIONAL_FILE)
    ]
    warnings = []
    for setting_key, path in [("archive.path", config.archive / "archive.git"), *paths_by_setting]:
        try:
            if path is not None and not is_there(path):
                message = LazyMessage("{key} names {path}, which does not exist.", key=setting_key, path=path)
                warnings.append(_SettingWarning("missing-file", message))
        except OSError:
            # The caller may not look for the file, but the user that runs the service may have that permission.
            continue
    return warnings


def _compare_with_index(config: Config) -> _CheckResult:
    """Compare the settings with the index: the layout with that of the archive, and the retention with promises.

    A different layout is a problem, because the service rejects it.  Each retention that waits for acceptance is a
    warning: until a person accepts it, it is in force only while the settings contain it.

    Returns an empty result if the index cannot be read.
    """
    import sqlite3

    from archiver.config.toml_document import SettingProblem
    from archiver.store.index.queries import Index

    try:
        with closing(Index(config.archive / "index.db", read_only=True)) as index:
            comparison = _CheckResult()
            # The layout of an empty index is an empty text.
            if index.layout not in ("", config.layout):
                layout_problem = LazyMessage(
                    "is {given}, but this archive was created with {made}", given=config.layout, made=index.layout
                )
                comparison.problems.append(SettingProblem("wrong-layout", "watch.layout", layout_problem))
            comparison.warnings += [
                _SettingWarning("new-promise", message) for message in _describe_waiting_promise(config, index)
            ]
            return comparison
    except (ArchiverError, OSError, sqlite3.Error):
        # Perhaps the archive does not exist yet, the caller may not read it, or the index must be rebuilt.  The
        # configuration file is not the cause of any of these.
        return _CheckResult()


def _describe_waiting_promise(config: Config, index: Index) -> Iterator[LazyMessage]:
    """Yield a message for each retention period or rule in the settings that nobody has accepted yet."""
    from archiver.retention.promises import find_waiting_promise

    waiting = find_waiting_promise(config, index.retention_promises())
    for item in waiting.items if waiting else ():
        yield LazyMessage(
            "Not accepted yet: {scope} ({period}). Once accepted, it cannot be shortened. To see and accept it, "
            "run: archiver retention accept",
            scope=item.scope_name,
            period=item.description,
        )


@command("Show the settings that commands use now and the service uses after a reload. Secrets are hidden.")
@json_option
def _show_config(session: Session, as_json: bool) -> None:
    """Print every setting, also those with default values, in the order of the documented tables.

    Prints a warning for each retention that waits for acceptance, because settings alone do not make a retention
    binding.  Raises ConfigError if the file has a problem.
    """
    from archiver.config.schema import setting_values
    from archiver.config.settings import TABLE_SUMMARIES

    checked_file = session.check_config()
    session.use_config(checked_file.require_config())
    # Such a retention is in force but not binding yet: the service disposes of nothing that it retains.
    retention_warnings = _compare_with_index(checked_file.require_config()).warnings
    table_order, console = list(TABLE_SUMMARIES), session.console
    settings_in_order = sorted(
        setting_values(checked_file.require_config()),
        # A full key is TABLE.KEY.
        key=lambda setting_value: table_order.index(setting_value.full_key.partition(".")[0]),
    )
    setting_documents = [
        {
            "key": full_key,
            "value": _hide_secrets(
                None if configured_value is None else setting.value_type.to_toml(configured_value)
            ),
            "source": "file" if full_key in checked_file.keys_in_file else "default",
            "default": setting.default,
            "effect": setting.effect.value,
        }
        for full_key, setting, configured_value in settings_in_order
    ]
    if as_json:
        console.print_json(
            {
                "path": os.path.abspath(checked_file.document.source),
                "settings": setting_documents,
                "warnings": _warnings_as_json(session, retention_warnings),
            }
        )
        return
    source_names = {
        "file": console.translate(LazyMessage("file")),
        "default": console.translate(LazyMessage("default")),
    }
    console.print_table(
        [LazyMessage("Setting"), LazyMessage("Source"), LazyMessage("Value")],
        [
            [
                setting_document["key"],
                source_names[str(setting_document["source"])],
                json.dumps(setting_document["value"], ensure_ascii=False),
            ]
            for setting_document in setting_documents
        ],
    )
    for warning in retention_warnings:
        console.warn("{warning}", warning=warning.message)


def _hide_secrets(toml_value: Any) -> Any:
    """Return a copy of a setting's value with ``***`` in place of possible secrets in URLs and other addresses.

    Lists and tables are searched recursively.  Bytes that are not UTF-8 become ``%XX``, because neither JSON nor a
    terminal can show such bytes.
    """
    if isinstance(toml_value, list):
        return [_hide_secrets(list_item) for list_item in toml_value]
    if isinstance(toml_value, dict):
        return {_hide_secrets(key): _hide_secrets(member) for key, member in toml_value.items()}
    if not isinstance(toml_value, str):
        return toml_value
    masked_text = _SECRET_IN_URL.sub(_MASK_TEXT, toml_value) if "://" in toml_value else toml_value
    masked_text = _SECRET_BEFORE_HOST.sub(_MASK_TEXT, masked_text)
    if names.is_utf8(masked_text):
        return masked_text
    return names.name_as_text(masked_text.encode("utf-8", "surrogateescape"))


for _name, _command in (("check", _check_config), ("show", _show_config)):
    config_command.add_command(_command, _name)
