"""``archiver config``."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Any

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import ArchiverError, ConfigError, LazyMessage
from archiver.store import names

if TYPE_CHECKING:
    from archiver.config.loader import CheckedFile
    from archiver.config.settings import Config
    from archiver.store.index.queries import Index

#: User name and password, or a query, in an address: either may hold a secret.
_SECRET_IN_ADDRESS = re.compile(r"(?<=://)[^/?#\s]*(?=@)|(?<=\?)[^#\s]+(?=#|\Z)")
#: An address without a scheme, as a proxy may be given: USER:PASSWORD@HOST:PORT.
_SECRET_BEFORE_HOST = re.compile(r"\A[^/?#\s]+:[^/?#\s]+(?=@[\w.-]+(:\d+)?/?\Z)")
_HIDDEN_TEXT = "***"

config_command = command_group("The configuration file: check it before a reload, and show its settings.")


@command("Check the file, for example before the service reloads it; changes nothing.")
@json_option
def _check_config(session: Session, as_json: bool) -> None:
    checked_file = session.check_config()
    problems = [(problem.code, problem.key, problem.reason) for problem in checked_file.problems]
    warnings = [("removed-table", warning) for warning in checked_file.document.warnings()]
    if checked_file.config is not None:
        # From here on, the console speaks the language that the file names.
        session.use_config(checked_file.config)
        warnings += _list_missing_files(checked_file.config)
        layout_problems, promise_warnings = _compare_with_archive(checked_file.config)
        problems += layout_problems
        warnings += promise_warnings
    _print_result(session, checked_file, problems, warnings, as_json=as_json)


def _print_result(
    session: Session,
    checked_file: CheckedFile,
    problems: list[tuple[str, str, LazyMessage]],
    warnings: list[tuple[str, LazyMessage]],
    *,
    as_json: bool,
) -> None:
    """Print problems and warnings; raises ConfigError if the service would not accept the file."""
    console, path = session.console, os.path.abspath(checked_file.document.source)
    if as_json:
        console.print_json(
            {
                "path": path,
                "ok": not problems,
                "problems": [
                    {"code": code, "key": key, "message": console.translate(reason)}
                    for code, key, reason in problems
                ],
                "warnings": [{"code": code, "message": console.translate(text)} for code, text in warnings],
            }
        )
    else:
        for _, warning in warnings:
            console.warn("{warning}", warning=warning)
        for _, key, reason in problems:
            console.warn("{key} {reason}", key=key, reason=reason)
    if problems:
        raise ConfigError(
            "{path} has problems: {count}. Nothing was changed: a running service keeps the settings of before. "
            "Correct the file, and check it again.",
            path=path,
            count=len(problems),
        )
    if not as_json:
        console.info("{path} is valid. To let a running service take it: systemctl reload archiver", path=path)


def _list_missing_files(config: Config) -> list[tuple[str, LazyMessage]]:
    """Find missing files named by settings, which the service would miss only at the time of need."""
    from archiver.config.schema import values_of
    from archiver.config.value_types import FILE, OPTIONAL_FILE
    from archiver.path_existence import is_there

    named_files = [
        (key, value)
        for key, setting_type, value in values_of(config)
        if setting_type.value_type in (FILE, OPTIONAL_FILE)
    ]
    missing_files = []
    for key, path in [("archive.path", config.archive / "archive.git"), *named_files]:
        try:
            if path is not None and not is_there(path):
                missing_files.append(
                    (
                        "missing-file",
                        LazyMessage("{key} leads to {path}, which does not exist.", key=key, path=path),
                    )
                )
        except OSError:
            # The caller may not look there; the service's user perhaps may.
            continue
    return missing_files


def _compare_with_archive(
    config: Config,
) -> tuple[list[tuple[str, str, LazyMessage]], list[tuple[str, LazyMessage]]]:
    """Compare the settings with the archive's index; return the problems and the warnings.

    The service accepts no file with another layout than that of the archive.  A longer retention is a promise for
    good, even if it was in force for a second only.
    """
    import sqlite3

    from archiver.store.index.queries import Index

    try:
        with closing(Index(config.archive / "index.db", read_only=True)) as index:
            problems = []
            if index.layout not in ("", config.layout):
                reason = LazyMessage(
                    "is {given}, but this archive was made for {made}", given=config.layout, made=index.layout
                )
                problems.append(("wrong-layout", "watch.layout", reason))
            return problems, [("new-promise", promise) for promise in _list_new_promises(config, index)]
    except (ArchiverError, OSError, sqlite3.Error):
        # No archive yet, none that the caller may read, or an index to be rebuilt: the file may be right.
        return [], []


def _list_new_promises(config: Config, index: Index) -> Iterator[LazyMessage]:
    """Yield a warning for each promise of the settings beyond the archive's earlier promises."""
    from archiver.profiles import PERMANENT
    from archiver.retention.policy import new_promises, policy_in_force

    promises = index.promises()
    new_promise = new_promises(policy_in_force(config, promises), config, promises)
    for scope, years in new_promise.years_by_scope.items() if new_promise else ():
        if years > promises.years.get(scope, 0):
            yield LazyMessage(
                "In force once, this cannot be shortened again: {scope} is retained for {period}.",
                scope=scope or LazyMessage("everything"),
                period=LazyMessage("ever") if years >= PERMANENT else LazyMessage("{years} years", years=years),
            )
    # By default, the first run of the service makes this promise: no news in a new archive.
    if config.hold_while_live and not promises.live and index.point is not None and index.point.seq > 1:
        yield LazyMessage(
            "In force once, this cannot be taken back: a filing is retained for as long as it is live."
        )


@command("Show the settings that commands work with, and the service after a reload; secrets are hidden.")
@json_option
def _show_config(session: Session, as_json: bool) -> None:
    from archiver.config.schema import values_of
    from archiver.config.settings import TABLES

    checked_file = session.check_config()
    session.use_config(checked_file.require())
    table_order, console = list(TABLES), session.console
    shown_values = sorted(
        values_of(checked_file.require()), key=lambda item: table_order.index(item[0].partition(".")[0])
    )
    settings = [
        {
            "key": key,
            "value": _hide_secrets(None if value is None else setting.value_type.to_toml(value)),
            "source": "file" if key in checked_file.keys_in_file else "default",
            "default": setting.default,
            "effect": setting.effect.value,
        }
        for key, setting, value in shown_values
    ]
    if as_json:
        console.print_json({"path": os.path.abspath(checked_file.document.source), "settings": settings})
        return
    source_names = {
        "file": console.translate(LazyMessage("file")),
        "default": console.translate(LazyMessage("default")),
    }
    console.print_table(
        [LazyMessage("Setting"), LazyMessage("From"), LazyMessage("Value")],
        [
            [
                setting["key"],
                source_names[str(setting["source"])],
                json.dumps(setting["value"], ensure_ascii=False),
            ]
            for setting in settings
        ],
    )


def _hide_secrets(value: Any) -> Any:
    """Return a value without passwords and tokens in addresses, fit for a screen and for JSON."""
    if isinstance(value, list):
        return [_hide_secrets(item) for item in value]
    if isinstance(value, dict):
        return {_hide_secrets(key): _hide_secrets(item) for key, item in value.items()}
    if not isinstance(value, str):
        return value
    masked = _SECRET_BEFORE_HOST.sub(
        _HIDDEN_TEXT, _SECRET_IN_ADDRESS.sub(_HIDDEN_TEXT, value) if "://" in value else value
    )
    return masked if names.is_utf8(masked) else names.text(masked.encode("utf-8", "surrogateescape"))


for _name, _command in (("check", _check_config), ("show", _show_config)):
    config_command.add_command(_command, _name)
