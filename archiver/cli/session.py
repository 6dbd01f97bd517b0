"""What every command needs: options, configuration, the open archive."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver import interruption
from archiver.cli import speaking
from archiver.cli.console import Console, language
from archiver.errors import UsageProblem

if TYPE_CHECKING:
    from datetime import datetime

    from archiver.actions.request_fields import Request
    from archiver.config.settings import Config
    from archiver.retention.policy import Policy
    from archiver.store.archive import Archive


@dataclass(slots=True)
class Session:
    """The global options, and what follows from them."""

    config_file: str | None = None
    lang: str | None = None
    verbose: int = 0
    quiet: bool = False
    wait: float = 30.0
    _config: Config | None = None
    _opened: list[Any] = field(default_factory=list)

    @property
    def console(self) -> Console:
        """Where to print."""
        chosen = self.lang or (self._config.lang if self._config else None)
        return Console(language(chosen, os.environ), self.quiet)

    @property
    def config(self) -> Config:
        """The settings; raises ConfigProblem or UsageProblem."""
        if self._config is None:
            self._config = self.read_config()
        return self._config

    def read_config(self) -> Config:
        """The settings as they stand in the file now; raises ConfigProblem or UsageProblem."""
        from archiver.config.location import unreadable
        from archiver.config.settings import in_force
        from archiver.existence import is_there

        try:
            if self.config_file and not is_there(self.config_file):
                raise UsageProblem(
                    "The configuration file {path} does not exist. Nothing was changed. Check the name.",
                    path=self.config_file,
                )
        except OSError as error:
            raise unreadable(Path(self.config_file or ""), error) from None
        found = in_force(self.config_file, os.environ)
        # Not self.console: the language that the settings name counts already.
        console = Console(language(self.lang or found.lang, os.environ), self.quiet)
        for warning in found.warnings:
            console.warn("{warning}", warning=warning)
        return found

    def open_archive(self, *, restores_settings: bool = False) -> Archive:
        """The open archive; closed by :meth:`close`."""
        from archiver.store.archive import Archive

        archive = Archive(
            self.config.archive,
            notify=lambda text: self.console.warn("{text}", text=text),
            restores_settings=restores_settings,
        )
        self._opened.append(archive)
        return archive

    def policy(self, archive: Archive) -> Policy:
        """The retention policy in force: a shorter period than once promised has no effect."""
        from archiver.retention.policy import in_force

        return in_force(self.config, archive.index.promises())

    def perform(self, request: Request, attachment: Path | None = None) -> dict[str, Any]:
        """Carry out a request on the archive: in this process as its owner, else through the daemon.

        Raises whatever the action raises, and StorageProblem if no daemon listens.
        """
        from archiver.actions import client
        from archiver.actions.context import ActionContext
        from archiver.actions.registry import perform

        if client.is_owner(self.config.archive):
            with client.open_attachment(attachment) as stream:
                archive = self._opened[-1] if self._opened else self.open_archive()
                context = ActionContext(archive, self.config, self.wait, stream, self.console.progress())
                return perform(context, request)
        return client.request_action(self.config.archive, request, self.wait, attachment)

    def forced(self, force: bool, reason: str | None) -> str | None:
        """The reason for ``--force``, None without it; raises UsageProblem where one is missing."""
        if force and not (reason or "").strip():
            raise UsageProblem(
                "--force needs a --reason, for whoever reads this in three years. Nothing was changed."
            )
        return reason if force else None

    def close(self) -> None:
        """Close what was opened."""
        while self._opened:
            self._opened.pop().close()

    def moment(self, text: str, end_of_day: bool = True) -> datetime:
        """A time given by a person, in the configured zone; a bare date means its end."""
        from datetime import datetime, time

        try:
            if len(text) == 10:
                day = datetime.fromisoformat(text).date()
                edge = time(23, 59, 59, 999999) if end_of_day else time(0)
                return datetime.combine(day, edge, self.config.zone)
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageProblem(
                "{text} is not a time such as 2026-05-01 or 2026-05-01T14:30. Nothing was changed.", text=text
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=self.config.zone)

    def local(self, stamp: str) -> str:
        """A journalled time in the configured zone, for people."""
        from archiver import clock

        return clock.parse(stamp).astimezone(self.config.zone).strftime("%Y-%m-%d %H:%M:%S")


def _remember(name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        session = context.ensure_object(Session)
        if value not in (None, 0, False):
            setattr(session, name, value)

    return callback


_OPTIONS = (
    click.option(
        "--config",
        metavar="FILE",
        callback=_remember("config_file"),
        expose_value=False,
        help="The settings; else $ARCHIVER_CONFIG, ./archiver.toml, /etc/archiver/archiver.toml.",
    ),
    click.option(
        "--lang",
        type=click.Choice(["zh", "en"]),
        callback=_remember("lang"),
        expose_value=False,
        help="Language of messages; else as the locale says.",
    ),
    click.option(
        "-v", "--verbose", count=True, callback=_remember("verbose"), expose_value=False, help="Say more."
    ),
    click.option("-q", "--quiet", is_flag=True, callback=_remember("quiet"), expose_value=False, help="Say less."),
    click.option(
        "--wait",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        callback=_remember("wait"),
        expose_value=False,
        help="How long to wait for another writer (default 30).",
    ),
)


def global_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command takes, before or after its name."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def command_group(help_text: str) -> speaking.LocalizedGroup:
    """Make a group of commands with the global options."""

    @global_options
    def call() -> None:
        pass

    made: speaking.LocalizedGroup = click.group(cls=speaking.LocalizedGroup, help=help_text)(call)
    return made


def command(help_text: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a function a command with the global options, which gets its Session first.

    The help is not the function's docstring, because PYTHONOPTIMIZE=2 removes docstrings.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        @click.pass_context
        def call(context: click.Context, *args: Any, **kwargs: Any) -> Any:
            session = context.ensure_object(Session)
            with closing(session):
                interruption.raise_in_the_work()
                return function(session, *args, **kwargs)

        return click.command(cls=speaking.Command, help=help_text)(global_options(call))

    return decorate
