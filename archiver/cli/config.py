"""``archiver config``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
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

#: Parts of a URL that may hold a secret: user name and password before the host, and the query.
_SECRET_IN_ADDRESS = re.compile(r"(?<=://)[^/?#\s]*(?=@)|(?<=\?)[^#\s]+(?=#|\Z)")
#: The same in an address without a scheme, such as a proxy: USER:PASSWORD@HOST:PORT.
_SECRET_BEFORE_HOST = re.compile(r"\A[^/?#\s]+:[^/?#\s]+(?=@[\w.-]+(:\d+)?/?\Z)")
_HIDDEN_TEXT = "***"


@dataclass(frozen=True, slots=True)
class _SettingWarning:
    """Something in the settings that a person should know, although the service accepts the file."""

    code: str  # for programs: removed-table, missing-file or new-promise
    message: LazyMessage


@dataclass(slots=True)
class _CheckResult:
    """Everything found in one check of the configuration file."""

    problems: list[SettingProblem] = field(default_factory=list)  # the service refuses the file
    warnings: list[_SettingWarning] = field(default_factory=list)  # the service accepts the file

    def extend(self, other: _CheckResult) -> None:
        """Append the problems and the warnings of ``other``."""
        self.problems += other.problems
        self.warnings += other.warnings


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
    """Collect the file's own problems and, if it has none, compare the settings with disk and archive."""
    check_result = _CheckResult(
        list(checked_file.problems),
        [_SettingWarning("removed-table", warning) for warning in checked_file.document.removed_table_warnings()],
    )
    if checked_file.config is not None:
        check_result.warnings += _warn_of_missing_files(checked_file.config)
        check_result.extend(_compare_with_index(checked_file.config))
    return check_result


def _print_result(
    session: Session, checked_file: CheckedConfigFile, check_result: _CheckResult, *, as_json: bool
) -> None:
    """Print the problems and warnings.

    Raises ConfigError if there are problems, so that the exit code tells a script that the service would refuse
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
                "warnings": [
                    {"code": warning.code, "message": console.translate(warning.message)} for warning in warnings
                ],
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
                "The configuration file {path} has {count} problems. A running service keeps its previous "
                "settings. Correct the file and check it again.",
                singular="The configuration file {path} has {count} problem. A running service keeps its previous "
                "settings. Correct the file and check it again.",
            ),
            path=path,
            count=len(problems),
        )
    if not as_json:
        console.info(
            "{path} is valid. To apply it to a running service, run: systemctl reload archiver", path=path
        )


def _warn_of_missing_files(config: Config) -> list[_SettingWarning]:
    """Return a warning for the archive, if missing, and for each missing file named by a setting.

    The service itself opens such a file only when it needs it, perhaps weeks later.
    """
    from archiver.config.schema import setting_values
    from archiver.config.value_types import FILE, OPTIONAL_FILE
    from archiver.path_existence import is_there

    named_files = [
        (key, value)
        for key, setting_type, value in setting_values(config)
        if setting_type.value_type in (FILE, OPTIONAL_FILE)
    ]
    missing_files = []
    for key, path in [("archive.path", config.archive / "archive.git"), *named_files]:
        try:
            if path is not None and not is_there(path):
                message = LazyMessage("{key} names {path}, which does not exist.", key=key, path=path)
                missing_files.append(_SettingWarning("missing-file", message))
        except OSError:
            # The caller lacks the permission to look there; the user of the service may have it.
            continue
    return missing_files


def _compare_with_index(config: Config) -> _CheckResult:
    """Return a problem if the layout differs from the archive's, and a warning for each new promise.

    The service rejects a different layout.  A promise is a retention period or rule that was once in force: it
    cannot be taken back, even if the setting was in force for only a second, so the user is warned before.

    Returns an empty result if the index cannot be read.
    """
    import sqlite3

    from archiver.config.toml_document import SettingProblem
    from archiver.store.index.queries import Index

    try:
        with closing(Index(config.archive / "index.db", read_only=True)) as index:
            comparison = _CheckResult()
            # An empty index has no layout to compare with.
            if index.layout not in ("", config.layout):
                reason = LazyMessage(
                    "is {given}, but this archive was created with {made}", given=config.layout, made=index.layout
                )
                comparison.problems.append(SettingProblem("wrong-layout", "watch.layout", reason))
            comparison.warnings += [
                _SettingWarning("new-promise", message) for message in _describe_new_promises(config, index)
            ]
            return comparison
    except (ArchiverError, OSError, sqlite3.Error):
        # The archive may not exist yet, the caller may not be allowed to read it, or the index may have to be
        # rebuilt.  None of these is a fault of the configuration file.
        return _CheckResult()


def _describe_new_promises(config: Config, index: Index) -> Iterator[LazyMessage]:
    """Yield a sentence for each retention period or rule that the settings would add or extend irrevocably."""
    from archiver.profiles import PERMANENT
    from archiver.retention.policy import new_promises, policy_in_force

    promises = index.retention_promises()
    promise_to_journal = new_promises(policy_in_force(config, promises), config, promises)
    years_by_scope = promise_to_journal.years_by_scope if promise_to_journal else {}
    for scope, years in years_by_scope.items():
        if years > promises.years.get(scope, 0):
            yield LazyMessage(
                "Once in force, this retention cannot be shortened: {scope} ({period}).",
                scope=scope or LazyMessage("everything"),
                period=LazyMessage("permanent")
                if years >= PERMANENT
                else LazyMessage.define("{years} years", singular="{years} year", count_field="years").with_fields(
                    years=years
                ),
            )
    # No warning for a new archive: by default, the first run of the service makes this promise.
    if (
        config.hold_while_live
        and not promises.live
        and index.journal_point is not None
        and index.journal_point.seq > 1
    ):
        yield LazyMessage("Once in force, this cannot be revoked: a filing is retained for as long as it is live.")


@command("Show the settings that commands use now and the service uses after a reload. Secrets are hidden.")
@json_option
def _show_config(session: Session, as_json: bool) -> None:
    """Print every setting, including those with their default, in the order of the documented tables.

    Raises ConfigError if the file has a problem.
    """
    from archiver.config.schema import setting_values
    from archiver.config.settings import TABLE_SUMMARIES

    checked_file = session.check_config()
    session.use_config(checked_file.require_config())
    table_order, console = list(TABLE_SUMMARIES), session.console
    # The first member of each is the full key: TABLE.KEY.
    settings_in_order = sorted(
        setting_values(checked_file.require_config()),
        key=lambda setting: table_order.index(setting[0].partition(".")[0]),
    )
    shown_settings = [
        {
            "key": key,
            "value": _hide_secrets(None if value is None else setting.value_type.to_toml(value)),
            "source": "file" if key in checked_file.keys_in_file else "default",
            "default": setting.default,
            "effect": setting.effect.value,
        }
        for key, setting, value in settings_in_order
    ]
    if as_json:
        console.print_json({"path": os.path.abspath(checked_file.document.source), "settings": shown_settings})
        return
    source_names = {
        "file": console.translate(LazyMessage("file")),
        "default": console.translate(LazyMessage("default")),
    }
    console.print_table(
        [LazyMessage("Setting"), LazyMessage("Source"), LazyMessage("Value")],
        [
            [
                setting["key"],
                source_names[str(setting["source"])],
                json.dumps(setting["value"], ensure_ascii=False),
            ]
            for setting in shown_settings
        ],
    )


def _hide_secrets(value: Any) -> Any:
    """Return a copy of a setting's value in which ``***`` replaces possible secrets in URLs and other addresses.

    Lists and tables are searched recursively.  Bytes outside UTF-8 become ``%XX``, because neither JSON nor a
    terminal could show them.
    """
    if isinstance(value, list):
        return [_hide_secrets(item) for item in value]
    if isinstance(value, dict):
        return {_hide_secrets(key): _hide_secrets(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    masked_text = _SECRET_BEFORE_HOST.sub(
        _HIDDEN_TEXT, _SECRET_IN_ADDRESS.sub(_HIDDEN_TEXT, value) if "://" in value else value
    )
    return (
        masked_text
        if names.is_utf8(masked_text)
        else names.name_as_text(masked_text.encode("utf-8", "surrogateescape"))
    )


for _name, _command in (("check", _check_config), ("show", _show_config)):
    config_command.add_command(_command, _name)
