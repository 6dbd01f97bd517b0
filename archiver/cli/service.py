"""``archiver service install``."""

from __future__ import annotations

import os
import pwd
import sys
from contextlib import suppress
from pathlib import Path

import click

from archiver.cli.parameters import RecordedText
from archiver.cli.session import Session, command, command_group
from archiver.errors import StorageError, UsageError
from archiver.path_existence import is_there

service_command = command_group("Run archiver as a system service.")


@command("Write a systemd unit for this configuration, and print the next steps.")
@click.option(
    "--user",
    "user_name",
    type=RecordedText(),
    default="archiver",
    show_default=True,
    metavar="NAME",
    help="User that runs the service and owns the archive.",
)
@click.option(
    "--to",
    "unit_file",
    default="/etc/systemd/system/archiver.service",
    show_default=True,
    metavar="FILE",
    help="Unit file to write.",
)
@click.option("--print", "only_print", is_flag=True, help="Print the unit; write nothing.")
def _install_unit(session: Session, user_name: str, unit_file: str, only_print: bool) -> None:
    """Write a systemd unit that runs this program with this configuration file, or only print the unit.

    The command does not call systemd.  With ``only_print``, no check is made.  Otherwise, raises UsageError if the
    user could not run the service, and StorageError if the unit cannot be written.
    """
    unit_text = _render_unit(session, user_name)
    if only_print:
        print(unit_text, end="")
        return
    _check_user_owns_archive(session.config.archive, user_name)
    _write_unit_file(Path(unit_file), unit_text)
    session.console.info("Unit file: {path}", path=unit_file)
    session.console.info(
        "To start the service now and at every boot, run: systemctl daemon-reload; systemctl enable --now archiver"
    )


def _render_unit(session: Session, user_name: str) -> str:
    """Return the text of the unit that runs this program with this configuration file as ``user_name``."""
    from archiver.config.location import find_config_file
    from archiver.daemon import unit

    config = session.config
    config_file = Path(os.path.abspath(find_config_file(session.config_file, os.environ).path))
    # The service replaces the metrics file as a whole, so it needs to write to the folder of that file.
    writable_folders = [config.metrics_textfile.parent] if config.metrics_textfile else []
    program = Path(os.path.abspath(sys.argv[0]))
    return unit.render_unit(program, config_file, config.archive, config.watch, user_name, writable_folders)


def _write_unit_file(unit_path: Path, unit_text: str) -> None:
    """Write the unit file, or replace an existing file as a whole.

    Raises StorageError if the file cannot be written. Nothing is changed then.
    """
    new_path = unit_path.with_name(unit_path.name + ".new")
    try:
        new_path.write_text(unit_text, encoding="utf-8")
        new_path.replace(unit_path)
    except OSError as error:
        with suppress(OSError):
            new_path.unlink()
        raise StorageError(
            "Cannot write to {path} ({reason}). Nothing was changed. Run this as root, or choose another file "
            "with --to.",
            path=unit_path,
            reason=error.strerror,
        ) from None


def _check_user_owns_archive(archive: Path, user_name: str) -> None:
    """Raise UsageError if the user does not exist or does not own the archive, because the service would fail.

    The archive does not have to exist yet.
    """
    try:
        user_account = pwd.getpwnam(user_name)
    except KeyError:
        raise UsageError(
            "The user {user} does not exist. Nothing was changed. To create the user, run: useradd --system "
            "--home-dir {archive!q} --shell /usr/sbin/nologin {user!q}",
            user=user_name,
            archive=archive,
        ) from None
    if is_there(archive) and archive.stat().st_uid != user_account.pw_uid:
        raise UsageError(
            "The archive {archive} does not belong to {user}. Nothing was changed. To give the archive to "
            "{user}, run: chown -R {user!q}: {archive!q}",
            user=user_name,
            archive=archive,
        )


service_command.add_command(_install_unit, "install")
