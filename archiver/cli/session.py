"""Give every command the global options, the configuration, the open archive and the console."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver import keyboard_interrupt
from archiver.cli import localized
from archiver.cli.console import Console, choose_language
from archiver.errors import UsageError

if TYPE_CHECKING:
    from datetime import datetime

    from archiver.actions.request_fields import Request
    from archiver.config.loader import CheckedFile
    from archiver.config.settings import Config
    from archiver.retention.policy import Policy
    from archiver.store.archive import Archive


@dataclass(slots=True)
class Session:
    """The global options of a command, and every archive opened until :meth:`close`."""

    config_file: str | None = None
    lang: str | None = None
    verbose: int = 0
    quiet: bool = False
    #: How many seconds to wait for another writer.
    lock_timeout: float = 30.0
    _config: Config | None = None
    _open_archives: list[Archive] = field(default_factory=list)

    @property
    def console(self) -> Console:
        """Return a console in the language of the options, else of the settings, else of the locale."""
        configured_language = self._config.lang if self._config else None
        return Console(choose_language(self.lang or configured_language, os.environ), self.quiet)

    @property
    def config(self) -> Config:
        """Return the settings, read once.  Raises ConfigError or UsageError for unusable settings."""
        if self._config is None:
            self._config = self.read_config()
        return self._config

    def read_config(self) -> Config:
        """Read the settings from the file, and print warnings; raises ConfigError or UsageError."""
        config = self.check_config().require()
        # Not self.console, which does not know the language of these settings yet.
        console = Console(choose_language(self.lang or config.lang, os.environ), self.quiet)
        for warning in config.warnings:
            console.warn("{warning}", warning=warning)
        return config

    def use_config(self, config: Config) -> None:
        """Use ``config`` from now on, and its language."""
        self._config = config

    def check_config(self) -> CheckedFile:
        """Read the file, and collect every problem instead of raising for the first.

        Raises ConfigError, UsageError or StorageError for a missing or unreadable file.
        """
        from archiver.config.loader import check_in_force
        from archiver.config.location import unreadable_config
        from archiver.path_existence import is_there

        try:
            if self.config_file and not is_there(self.config_file):
                raise UsageError(
                    "The configuration file {path} does not exist. Nothing was changed. Check the name.",
                    path=self.config_file,
                )
        except OSError as error:
            raise unreadable_config(Path(self.config_file or ""), error) from None
        return check_in_force(self.config_file, os.environ)

    def open_archive(self, *, restores_settings: bool = False) -> Archive:
        """Open the archive named in the settings, until :meth:`close`.

        Raises StorageError if the archive cannot be read, or if git would obey foreign settings and
        ``restores_settings`` is False.
        """
        from archiver.store.archive import Archive

        archive = Archive(
            self.config.archive,
            notify=lambda text: self.console.warn("{text}", text=text),
            restores_settings=restores_settings,
        )
        self._open_archives.append(archive)
        return archive

    def retention_policy(self, archive: Archive) -> Policy:
        """Return the retention policy in force: a shorter period than once promised has no effect."""
        from archiver.retention.policy import policy_in_force

        return policy_in_force(self.config, archive.index.promises())

    def perform(self, request: Request, attachment: Path | None = None) -> dict[str, Any]:
        """Carry out a request on the archive: in this process as the owner, else through the daemon.

        Raises whatever the action raises, and StorageError if no daemon listens.
        """
        from archiver.actions import client
        from archiver.actions.context import ActionContext
        from archiver.actions.registry import perform

        if client.is_owner(self.config.archive):
            with client.open_attachment(attachment) as stream:
                archive = self._open_archives[-1] if self._open_archives else self.open_archive()
                context = ActionContext(
                    archive, self.config, self.lock_timeout, stream, self.console.progress_display()
                )
                return perform(context, request)
        return client.request_action(self.config.archive, request, self.lock_timeout, attachment)

    def override_reason(self, force: bool, reason: str | None) -> str | None:
        """Return the reason for ``--force``, None without the flag.  Raises UsageError for a missing reason."""
        if force and not (reason or "").strip():
            raise UsageError(
                "--force needs a --reason, for whoever reads this in three years. Nothing was changed."
            )
        return reason if force else None

    def close(self) -> None:
        """Close every open archive."""
        while self._open_archives:
            self._open_archives.pop().close()

    def parse_time(self, text: str, end_of_day: bool = True) -> datetime:
        """Return a typed time in the configured zone.

        A bare date means its end, or with ``end_of_day`` False its beginning.  Raises UsageError for any other
        text.
        """
        from datetime import datetime, time

        try:
            if len(text) == 10:
                day = datetime.fromisoformat(text).date()
                time_of_day = time(23, 59, 59, 999999) if end_of_day else time(0)
                return datetime.combine(day, time_of_day, self.config.zone)
            typed_time = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                "{text} is not a time such as 2026-05-01 or 2026-05-01T14:30. Nothing was changed.", text=text
            ) from None
        return typed_time if typed_time.tzinfo else typed_time.replace(tzinfo=self.config.zone)

    def format_time(self, journalled_time: str) -> str:
        """Return a journalled time in the configured zone, for people."""
        from archiver import clock

        return clock.parse(journalled_time).astimezone(self.config.zone).strftime("%Y-%m-%d %H:%M:%S")


def _store_option(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Make a callback to keep an option in the session, before or after the command's name.

    An absent option changes nothing: it may have been given before the command's name.
    """

    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        session = context.ensure_object(Session)
        if value not in (None, 0, False):
            setattr(session, name, value)

    return callback


_GLOBAL_OPTIONS = (
    click.option(
        "--config",
        metavar="FILE",
        callback=_store_option("config_file"),
        expose_value=False,
        help="The settings; else $ARCHIVER_CONFIG, ./archiver.toml, /etc/archiver/archiver.toml.",
    ),
    click.option(
        "--lang",
        type=click.Choice(["zh", "en"]),
        callback=_store_option("lang"),
        expose_value=False,
        help="Language of messages; else as the locale says.",
    ),
    click.option(
        "-v", "--verbose", count=True, callback=_store_option("verbose"), expose_value=False, help="Say more."
    ),
    click.option(
        "-q", "--quiet", is_flag=True, callback=_store_option("quiet"), expose_value=False, help="Say less."
    ),
    click.option(
        "--wait",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        callback=_store_option("lock_timeout"),
        expose_value=False,
        help="How long to wait for another writer (default 30).",
    ),
)


def global_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the global options."""
    for option_decorator in reversed(_GLOBAL_OPTIONS):
        function = option_decorator(function)
    return function


def command_group(help_text: str) -> localized.LocalizedGroup:
    """Make a group of commands with the global options."""

    @global_options
    def call() -> None:
        pass

    new_group: localized.LocalizedGroup = click.group(cls=localized.LocalizedGroup, help=help_text)(call)
    return new_group


def command(help_text: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command with the global options and the Session as first argument.

    The help is not the function's docstring, because PYTHONOPTIMIZE=2 removes docstrings.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        @click.pass_context
        def call(context: click.Context, *args: Any, **kwargs: Any) -> Any:
            session = context.ensure_object(Session)
            with closing(session):
                keyboard_interrupt.raise_again()
                return function(session, *args, **kwargs)

        return click.command(cls=localized.LocalizedCommand, help=help_text)(global_options(call))

    return decorate
