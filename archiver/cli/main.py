"""The entry point of the command line: prepares the environment, and maps each failure to an exit code.

Each command has a separate module, which is imported only when the command runs.
"""

from __future__ import annotations

import gc
import gettext
import importlib
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import closing

import click

from archiver import __version__, keyboard_interrupt
from archiver.cli import localized
from archiver.cli.console import Console, choose_language, escape_unencodable
from archiver.cli.session import Session, global_options
from archiver.errors import ArchiverError, StorageError, UsageError
from archiver.i18n import language_from_environment
from archiver.store import names
from archiver.store.system_limits import find_limit

#: Command name -> one line of help.  The texts are here because importing each module would slow down ``--help``.
COMMANDS = {
    "init": "Create an archive and its configuration.",
    "run": "Watch the folder, and capture changes once files have settled.",
    "watch": "Accept another folder, or missing files, in place of the watched folder.",
    "status": "Show health, pending changes, skipped files, and protection.",
    "log": "List versions, newest first.",
    "show": "List the files of a version.",
    "diff": "Show the differences between two versions.",
    "check": "List everything that is open about a submission before it is signed.",
    "submit": "Record the submission of a version.",
    "submission": "Record files about earlier submissions, such as a receipt that came later.",
    "explain": "Show how long a version is retained, and why.",
    "filing": "Manage the register: facts, review status, and end of a filing.",
    "notice": "Manage the regulator's notices and their answers.",
    "change": "List changes made after filing, and record whether they are material.",
    "correct": "Correct or void a record of a filing; the journal keeps both.",
    "deadlines": "List deadlines, and what each is based on.",
    "remind": "Send the reminders that are due.",
    "notice-board": "Print the display text for websites and apps.",
    "display": "Check that the filing number is displayed.",
    "retention": "Show the accepted retention, and accept a longer one.",
    "hold": "Manage holds, which block disposal regardless of date.",
    "restrict": "Restrict files captured by mistake; retention is unchanged.",
    "unrestrict": "End the restriction of files.",
    "dispose": "Dispose of versions after retention ends.",
    "restore": "Restore a version.",
    "verify": "Verify the archive with separate code.",
    "checkpoint": "Sign the archive's current state.",
    "drill": "Run a restore drill.",
    "maintain": "Pack the repository's small files.",
    "protect": "Make objects immutable, as root.",
    "key": "Manage the signing key: rotate, replace, and back up.",
    "replica": "Manage the replica in a bucket with Object Lock.",
    "audit": "Export an inspection package.",
    "reindex": "Rebuild the index from the journal.",
    "upgrade": "Move an archive to the format of this release.",
    "config": "Check the configuration file or show its settings.",
    "service": "Run archiver as a system service.",
    "demo": "Demonstrate every step on sample files.",
}


class _CommandLoader(localized.LocalizedGroup):
    """The group of all commands, which imports the module of a command only when that command is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the command names in the order of the help."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; return None for an unknown name.

        A hyphen in a command's name is an underscore in Python: the command ``notice-board`` is the object
        ``notice_board_command`` in the module ``notice_board``.
        """
        if cmd_name not in COMMANDS:
            return None
        module_name = cmd_name.replace("-", "_")
        module = importlib.import_module(f"archiver.cli.{module_name}")
        command: click.Command = getattr(module, f"{module_name}_command")
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command's name, the command, and the arguments.

        Raises click.UsageError for an unknown command.  The message suggests the first command whose name begins
        with the same two letters, if any does.
        """
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            similar_names = [command_name for command_name in COMMANDS if command_name.startswith(args[0][:2])]
            message = gettext.gettext("No such command {name!r}.").format(name=args[0])
            hint = gettext.gettext("Did you mean {name}?").format(name=similar_names[0]) if similar_names else ""
            ctx.fail(f"{message} {hint}".strip())
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with the line from COMMANDS, without importing the commands' modules."""
        with formatter.section(gettext.gettext("Commands")):
            help_rows = [(name, localized.translate_help(help_text)) for name, help_text in COMMANDS.items()]
            formatter.write_dl(help_rows)


@click.group(
    cls=_CommandLoader,
    help="Capture filing materials version by version, and retain every version for at least 3 years.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="archiver")
@global_options
def cli() -> None:
    """Do nothing: click has handled the global options, and runs the typed command next."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return an exit code from the list in docs/commands.md.

    ``arguments`` are the command-line arguments; None means those of the process.  If a page of the index is
    damaged, the index is rebuilt and the command is repeated once.

    For the whole process, removes every GIT_* variable from the environment, sets the language, and changes how
    stdout and stderr encode text.
    """
    # Inherited GIT_* variables would override archiver's git settings.  GitPython reads some variables when it is
    # imported, so the variables must be removed before any other step.
    for variable_name in list(os.environ):
        if variable_name.startswith("GIT_"):
            del os.environ[variable_name]
    escape_unencodable(sys.stdout)
    escape_unencodable(sys.stderr)
    session = Session()
    typed_arguments = list(sys.argv[1:] if arguments is None else arguments)
    localized.select_language(typed_arguments, language_from_environment(os.environ))
    try:
        return _run_command(typed_arguments, session)
    except _DamagedIndexError as index_error:
        return _rebuild_and_repeat(typed_arguments, session, index_error)


#: Escaped surrogates.  In an error message of click, they stand for bytes of an argument that are not UTF-8.
_ESCAPED_SURROGATES = re.compile(r"(?:\\udc[89a-f][0-9a-f])+")


def _percent_encode(escape_match: re.Match[str]) -> str:
    r"""Convert a match of _ESCAPED_SURROGATES to text for people: ``\udcb1`` becomes ``%B1``.

    Bytes that are a character in UTF-8 become that character: in the C locale, Python escapes such bytes as well.
    """
    return names.name_as_text(bytes.fromhex(escape_match[0].replace(r"\udc", "")))


class _DamagedIndexError(Exception):
    """During a command, SQLite found a damaged page in the index, which can be rebuilt from the journal."""


def _run_command(arguments: list[str], session: Session) -> int:
    """Run the command in ``arguments``, and return the exit code; print a message for any failure.

    Raises _DamagedIndexError if the index has a damaged page, so that the caller can rebuild the index and repeat
    the command.
    """

    def run_command() -> int:
        command_result = cli.main(list(arguments), prog_name="archiver", standalone_mode=False, obj=session)
        _flush_output()
        return command_result if isinstance(command_result, int) else 0

    return _call_and_report_failure(run_command, arguments, session)


def _call_and_report_failure(run_step: Callable[[], int], arguments: list[str], session: Session) -> int:
    """Call ``run_step`` and return its exit code; for an exception, print a message and return the matching code.

    ``arguments`` are the command-line arguments, which some messages quote.  Raises _DamagedIndexError if the
    index has a damaged page.
    """
    try:
        return _call_and_name_limit(run_step)
    except click.ClickException as error:
        click_message = io.StringIO()
        error.show(click_message)
        # Before 8.4, click left surrogates in some messages.  Escape these, because stderr cannot encode them.
        escaped_text = click_message.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")
        click.echo(_ESCAPED_SURROGATES.sub(_percent_encode, escaped_text), err=True, nl=False)
        return 2
    except (click.Abort, KeyboardInterrupt):
        return keyboard_interrupt.EXIT_CODE
    except ArchiverError as error:
        _make_error_console(session).warn(error.message)
        return error.exit_code
    except BrokenPipeError:
        # The program that reads the output has ended, as in "archiver log | head", which is not a failure.  Python
        # flushes stdout at exit.  To keep that from failing, too, stdout becomes /dev/null.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        _make_error_console(session).warn(
            "{path}: {reason}. No archived data was lost. Check the disk and the permissions.",
            path=error.filename or "",
            reason=error.strerror or error,
        )
        return StorageError.exit_code
    except UnicodeEncodeError as error:
        undecodable_argument = next((argument for argument in arguments if not names.is_utf8(argument)), None)
        if undecodable_argument is None:
            return _report_unexpected_error(error, arguments, session)
        _make_error_console(session).warn(
            "{text} is not UTF-8 text, which this command requires ({reason}). No archived data was lost. Set "
            "the terminal to UTF-8 and try again.",
            text=undecodable_argument,
            reason=error.reason,
        )
        return UsageError.exit_code
    except Exception as error:
        # Compare the name of the module: an import of sqlite3 for its exception classes would slow down --help.
        if type(error).__module__ == "sqlite3":
            _raise_if_index_damaged(error)
            return _report_database_error(error, session)
        return _report_unexpected_error(error, arguments, session)


def _call_and_name_limit(run_step: Callable[[], int]) -> int:
    """Call ``run_step`` and return its exit code; raises LimitReached for any sign of a limit of the system."""
    try:
        return run_step()
    except (OSError, RuntimeError, MemoryError) as error:
        if (limit := find_limit(error)) is not None:
            raise limit from error
        raise


def _flush_output() -> None:
    """Flush stdout now, so that the command fails if the output cannot be written; raises OSError."""
    # sys.stdout is None if the caller has closed the descriptor.
    if sys.stdout is not None:
        sys.stdout.flush()


def _raise_if_index_damaged(database_error: Exception) -> None:
    """Raise _DamagedIndexError if the exception of sqlite3 means that a database file is damaged."""
    # For a damaged file, sqlite3 raises DatabaseError itself.  Its subclasses have other causes, such as a lock.
    # Compare the name of the class: an import of sqlite3 would slow down --help.
    if type(database_error).__name__ == "DatabaseError":
        raise _DamagedIndexError(str(database_error)) from database_error


def _report_database_error(database_error: Exception, session: Session) -> int:
    """Print a message for an exception of sqlite3, and return the exit code."""
    _make_error_console(session).warn(
        "{path}: {reason}. No archived data was lost. Check the disk and the permissions.",
        # ``archiver init`` runs without loaded settings, so the session may not know the path of the archive.
        path=session.archive_path or "SQLite",
        reason=database_error,
    )
    return StorageError.exit_code


def _rebuild_and_repeat(arguments: list[str], session: Session, index_error: _DamagedIndexError) -> int:
    """Rebuild the damaged index, run the command again, and return the exit code.

    If the index is damaged again, reports an unexpected error instead of repeating the command once more.
    """

    def rebuild_index() -> int:
        _make_error_console(session).warn(
            "The index is damaged ({reason}). Rebuilding it from the journal.", reason=index_error
        )
        with closing(session):
            archive = session.open_archive()
            with archive.writing(session.lock_timeout):
                archive.reindex()
        return 0

    try:
        return _call_and_report_failure(rebuild_index, arguments, session) or _run_command(arguments, session)
    except _DamagedIndexError as error:
        return _report_unexpected_error(error, arguments, session)


def _report_unexpected_error(error: Exception, arguments: list[str], session: Session) -> int:
    """Write a crash log for an unexpected error, print the path of the log, and return exit code 1."""
    from archiver.daemon.crash_log import UNEXPECTED_ERROR, write_crash_log

    _make_error_console(session).warn(UNEXPECTED_ERROR.with_fields(path=write_crash_log(error, arguments)))
    return 1


def _make_error_console(session: Session) -> Console:
    """Return a console for error messages, without reading the settings, which may have caused the error."""
    return Console(choose_language(session.typed_language, os.environ))


def run() -> None:
    """Run the command line, and end the process with the exit code; never returns."""
    exit_code = main()
    # At its end, Python searches all objects for garbage, which takes a tenth of a second after a large capture.
    # The end of the process frees the memory anyway.
    gc.freeze()
    # The command has ended, so Ctrl-C during Python's shutdown must not change the exit code.
    keyboard_interrupt.exit_on_ctrl_c(exit_code)
    sys.exit(exit_code)
