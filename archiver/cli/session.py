"""The state of a running command, and the decorators that turn a function into a command."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from archiver import keyboard_interrupt
from archiver.cli import localized
from archiver.cli.console import Console, choose_language
from archiver.errors import UsageError
from archiver.naming.named_documents import recognize_ref_names

if TYPE_CHECKING:
    from datetime import datetime

    from archiver.actions.request_fields import Request
    from archiver.config.loader import CheckedConfigFile
    from archiver.config.settings import Config
    from archiver.retention.policy import RetentionPolicy
    from archiver.store.archive import Archive

#: Characters of the day at the start of an ISO 8601 time.
_ISO_DAY_LENGTH = len("2026-05-01")


@dataclass(slots=True)
class Session:
    """The global options of a command, and the objects that depend on them: the settings, archives, a console.

    :meth:`close` closes all archives that the session has opened.
    """

    config_file: str | None = None  # path as typed; None: search the usual places
    typed_language: str | None = None  # zh or en, as typed; None: from the settings or the locale
    verbosity: int = 0  # how often -v was typed
    is_quiet: bool = False  # print only results and warnings
    lock_timeout: float = 30.0  # seconds to wait for another process that is writing
    _config: Config | None = None  # None until the settings are needed
    _open_archives: list[Archive] = field(default_factory=list)

    @property
    def console(self) -> Console:
        """Return a console for messages to the user.

        Its language is the typed language.  Without one, it is the language in the settings, if they were already
        read and contain one, and otherwise the language of the locale.
        """
        configured_language = self._config.lang if self._config else None
        return Console(choose_language(self.typed_language or configured_language, os.environ), self.is_quiet)

    @property
    def config(self) -> Config:
        """Return the settings; the first access calls :meth:`read_config`, and raises the same errors."""
        if self._config is None:
            self._config = self.read_config()
        return self._config

    @property
    def archive_path(self) -> Path | None:
        """Return the path of the archive, or None if the settings have not been read yet."""
        return self._config.archive if self._config else None

    def read_config(self) -> Config:
        """Read the settings from the file, print warnings, and return the settings.

        The settings of the session do not change, so that a running service can try to reload the file, and ignore
        a bad file.

        Raises ConfigError for the first problem in the file, and the errors of :meth:`check_config`.
        """
        config = self.check_config().require_config()
        # self.console would not use the language in the new settings.
        console = Console(choose_language(self.typed_language or config.lang, os.environ), self.is_quiet)
        for warning in config.warnings:
            console.warn("{warning}", warning=warning)
        return config

    def use_config(self, config: Config) -> None:
        """Make ``config`` the settings of the session; new consoles use the language in these settings."""
        self._config = config

    def check_config(self) -> CheckedConfigFile:
        """Read and check the configuration file; return the settings, or all problems in the file.

        Raises UsageError if the file of ``--config`` does not exist, ConfigError if no file is found or the file
        is not TOML, and StorageError if the file cannot be read.
        """
        from archiver.config.loader import find_and_check_config
        from archiver.config.location import unreadable_config_error
        from archiver.path_existence import is_there

        try:
            if self.config_file and not is_there(self.config_file):
                raise UsageError(
                    "The configuration file {path} does not exist. Nothing was changed. Check the path.",
                    path=self.config_file,
                )
        except OSError as error:
            raise unreadable_config_error(Path(self.config_file or ""), error) from None
        return find_and_check_config(self.config_file, os.environ)

    def open_archive(self, *, restores_settings: bool = False) -> Archive:
        """Open the archive named in the settings; :meth:`close` closes the archive.

        Messages about repairs are printed as warnings.  With ``restores_settings``, the first opening for writing
        replaces git settings and hooks that archiver did not write.

        Raises ConfigError if the archive does not exist, and StorageError if the repository has another format or
        cannot be read.
        """
        from archiver.store.archive import Archive

        archive = Archive(
            self.config.archive,
            notify=lambda repair_text: self.console.warn("{text}", text=repair_text),
            restores_settings=restores_settings,
        )
        self._open_archives.append(archive)
        return archive

    def read_retention_policy(self, archive: Archive) -> RetentionPolicy:
        """Return the retention policy that results from the settings and every retention ever accepted.

        A shorter period in the settings has no effect, because accepted retention is never shortened.
        """
        from archiver.retention.policy import policy_in_force

        return policy_in_force(self.config, archive.index.retention_promises())

    def perform(self, request: Request, attachment_path: Path | None = None) -> dict[str, Any]:
        """Perform the action for ``request`` on the archive, and return the result.

        The action runs in this process if the user owns the archive.  Otherwise the action runs in the daemon,
        where the kernel identifies the user.  ``attachment_path`` is a file to send along with the request.

        Raises the errors of the action, UsageError if the attachment cannot be read, and StorageError if the
        daemon cannot be reached.
        """
        from archiver.actions import client
        from archiver.actions.context import ActionContext
        from archiver.actions.registry import perform_action

        if client.owns_archive(self.config.archive):
            with client.open_attachment(attachment_path) as attachment:
                # Use the archive that the command has already opened, because opening repeats all checks.
                archive = self._open_archives[-1] if self._open_archives else self.open_archive()
                context = ActionContext(
                    archive, self.config, self.lock_timeout, attachment, self.console.make_progress_display()
                )
                return perform_action(context, request)
        # A daemon of an earlier release sends no names for people, so its tags are printed as they are.
        action_result = client.send_to_daemon(self.config.archive, request, self.lock_timeout, attachment_path)
        return dict(recognize_ref_names(action_result))

    def require_reason_for_force(self, force: bool, reason: str | None) -> str | None:
        """Return the reason for ``--force``, or None if ``--force`` was not typed.

        ``reason`` is the value of ``--reason``, which may also be typed without ``--force``, for another purpose.
        Raises UsageError if ``--force`` was typed and the reason is missing or blank.
        """
        if force and not (reason or "").strip():
            raise UsageError("--force requires --reason. Nothing was changed.")
        return reason if force else None

    def close(self) -> None:
        """Close every archive that this session has opened."""
        while self._open_archives:
            self._open_archives.pop().close()

    def parse_time(self, typed_time: str, end_of_day: bool = True) -> datetime:
        """Parse a typed time in ISO 8601, which begins with a day as YYYY-MM-DD; the result has a time zone.

        A time without a zone is in the configured zone.  A day alone means the last microsecond of the day, or the
        first microsecond if ``end_of_day`` is False.  Raises UsageError for any other text.
        """
        from datetime import datetime, time

        from archiver.filings.typed_days import parse_iso_day

        try:
            day_text = typed_time[:_ISO_DAY_LENGTH]
            day = parse_iso_day(day_text)
            if typed_time == day_text:
                time_of_day = time(23, 59, 59, 999999) if end_of_day else time(0)
                return datetime.combine(day, time_of_day, self.config.zone)
            parsed_time = datetime.fromisoformat(typed_time)
        except ValueError:
            raise UsageError(
                "{text} is not a valid time. Enter a time such as 2026-05-01 or 2026-05-01T14:30.",
                text=typed_time,
            ) from None
        return parsed_time if parsed_time.tzinfo else parsed_time.replace(tzinfo=self.config.zone)

    def format_time(self, journalled_time: str) -> str:
        """Convert a time of the journal (RFC 3339, UTC) to a text for people, such as 2026-05-01 14:30:00+08:00.

        The text is in the configured zone, ends with the offset of the zone, and has no fractions of a second.
        """
        return self._local_time(journalled_time).isoformat(sep=" ", timespec="seconds")

    def format_day(self, journalled_time: str) -> str:
        """Return the day of a time of the journal (RFC 3339, UTC) in the configured zone, in ISO 8601."""
        return self._local_time(journalled_time).date().isoformat()

    def _local_time(self, journalled_time: str) -> datetime:
        """Parse a time of the journal (RFC 3339, UTC), and convert it to the configured zone."""
        from archiver import clock

        return clock.parse_time(journalled_time).astimezone(self.config.zone)


def _make_storing_callback(attribute_name: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    """Return a callback for click that stores the value of a global option in an attribute of the session.

    A global option may be typed before or after the command's name, and click calls the callback for both places.
    For a place where the option was not typed, the callback stores nothing, to keep the value of the other place.
    """

    def store_value(context: click.Context, option: click.Parameter, option_value: Any) -> None:
        session = context.ensure_object(Session)
        # The value does not show whether the option was typed, because the user may type the default value.
        if context.get_parameter_source(option.name or "") is not ParameterSource.DEFAULT:
            setattr(session, attribute_name, option_value)

    return store_value


_GLOBAL_OPTIONS = (
    click.option(
        "--config",
        metavar="FILE",
        callback=_make_storing_callback("config_file"),
        expose_value=False,
        help="Configuration file (default: $ARCHIVER_CONFIG, ./archiver.toml, /etc/archiver/archiver.toml).",
    ),
    click.option(
        "--lang",
        type=click.Choice(["zh", "en"]),
        callback=_make_storing_callback("typed_language"),
        expose_value=False,
        help="Message language (default: from the locale).",
    ),
    click.option(
        "-v",
        "--verbose",
        count=True,
        callback=_make_storing_callback("verbosity"),
        expose_value=False,
        help="Print more detail.",
    ),
    click.option(
        "-q",
        "--quiet",
        is_flag=True,
        callback=_make_storing_callback("is_quiet"),
        expose_value=False,
        help="Print only results and warnings.",
    ),
    click.option(
        "--wait",
        type=click.FloatRange(min=0),
        metavar="SECONDS",
        callback=_make_storing_callback("lock_timeout"),
        expose_value=False,
        help="Seconds to wait for the archive lock (default: 30).",
    ),
)


def global_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the global options to a command.  Their values go to the Session, not to ``function``."""
    for option_decorator in reversed(_GLOBAL_OPTIONS):
        function = option_decorator(function)
    return function


def command_group(help_text: str) -> localized.LocalizedGroup:
    """Return a new, empty group of commands with the global options; the caller adds the commands."""

    @global_options
    def run_group() -> None:
        """Do nothing: click runs the typed command of the group next."""

    new_group: localized.LocalizedGroup = click.group(cls=localized.LocalizedGroup, help=help_text)(run_group)
    return new_group


def command(help_text: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Return a decorator that turns a function into a command with the global options.

    The function receives the Session as the first argument.  The session is closed when the function ends.  The
    help is ``help_text``, not the docstring of the function, because PYTHONOPTIMIZE=2 removes docstrings.
    """

    def make_command(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        @click.pass_context
        def run_with_session(context: click.Context, *args: Any, **kwargs: Any) -> Any:
            session = context.ensure_object(Session)
            with closing(session):
                # From here on, Ctrl-C must raise KeyboardInterrupt, so that the function can undo its work.
                keyboard_interrupt.restore_keyboard_interrupt()
                return function(session, *args, **kwargs)

        return click.command(cls=localized.LocalizedCommand, help=help_text)(global_options(run_with_session))

    return make_command
