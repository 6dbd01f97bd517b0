"""``archiver init``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from archiver import profiles
from archiver.cli.parameters import NamedChoice, ReadableFile, RecordedText
from archiver.cli.session import Session, command
from archiver.config import template
from archiver.config.loader import check_paths_not_nested, load_config
from archiver.config.location import CURRENT_FOLDER_FILE
from archiver.config.settings import CEILING_YEARS, LAYOUT_FILING, LAYOUT_SUBMISSION, Config
from archiver.errors import ConfigError, LazyMessage, StorageError, UsageError
from archiver.intake.folder.nesting import check_folders_not_nested
from archiver.model import Promises
from archiver.path_existence import is_folder, is_plain_file, is_there
from archiver.store.events.archive_events import ArchiveAdopted, ArchiveCreated, RetentionPromised
from archiver.store.events.attached_files import ROOTS_FILE

#: The first event that this server journals: the archive was created, or a clone of an archive was adopted.
FirstEvent = ArchiveCreated | ArchiveAdopted


class _RepeatedSetting(NamedTuple):
    """A setting that is in the existing configuration file as well as on the command line."""

    key: str
    value_in_file: Any
    typed_value: Any


#: Value of ``--layout`` -> the meaning of the folder levels.
_LAYOUT_NAMES = {
    LAYOUT_SUBMISSION: LazyMessage("filing, then submission"),
    LAYOUT_FILING: LazyMessage("filing only; its submissions are numbered"),
}


@command(
    "Create an archive, its signing key, and archiver.toml; an existing archiver.toml must match the options, "
    "and is not changed."
)
@click.option(
    "--archive",
    required=True,
    metavar="DIR",
    help="Archive folder: new or empty, except for a repeated init or --adopt.",
)
@click.option("--watch", required=True, metavar="DIR", help="Folder to watch, never modified.")
@click.option(
    "--layout",
    type=NamedChoice(_LAYOUT_NAMES),
    default=LAYOUT_SUBMISSION,
    show_default=True,
    help="Meaning of the folder levels.",
)
@click.option(
    "--retention-years",
    type=int,
    metavar="N",
    default=profiles.FLOOR_YEARS,
    show_default=True,
    help="Retention in calendar years, 3 or more.",
)
@click.option(
    "--adopt",
    is_flag=True,
    help=(
        "Adopt the clone archive.git in the archive folder; the folder keys next to the clone must contain a "
        "backup of the keys."
    ),
)
@click.option(
    "--tsa-url",
    type=RecordedText(),
    default="",
    metavar="URL",
    help="URL of the RFC 3161 timestamp authority; permanent.",
)
@click.option(
    "--tsa-root",
    type=ReadableFile(),
    metavar="FILE",
    help=("Root certificates of the timestamp authority (PEM); permanent."),
)
def init_command(
    session: Session,
    archive: str,
    watch: str,
    layout: str,
    retention_years: int,
    adopt: bool,
    tsa_url: str,
    tsa_root: Path | None,
) -> None:
    """Create or adopt the archive and write the configuration file, or report that both exist already.

    With ``adopt``, a clone of an archive becomes a separate archive on this server.  If the command is killed,
    repeating it completes the work.

    Raises UsageError or ConfigError if the options are impossible or contradict existing files, and StorageError
    if a folder cannot be written.
    """
    from archiver.store.creation import new_archive

    typed_settings = Config(
        source=Path(session.config_file or CURRENT_FOLDER_FILE),
        archive=Path(os.path.abspath(archive)),
        watch=Path(os.path.abspath(watch)),
        layout=layout,
        retention_years=retention_years,
        timestamp_url=tsa_url,
    )
    existing_config = _load_existing_config(session, typed_settings)
    settings = existing_config or typed_settings
    first_event = _make_first_event(settings, adopt=adopt)
    _refuse_impossible_settings(settings)
    root_certificates = _read_root_certificates(tsa_url, tsa_root, adopt)
    try:
        if not adopt:
            new_archive.finish_interrupted_creation(settings.archive)
        if existing_config and _is_init_complete(settings, first_event):
            if not adopt:
                _check_same_creation(settings, root_certificates)
            session.console.info(
                "The archive at {path} already exists. Nothing was changed.", path=settings.archive
            )
            return
        if not adopt and new_archive.is_occupied(settings.archive):
            raise UsageError(
                "{path} already exists and is not empty. Nothing was changed. Choose a new folder.",
                path=settings.archive,
            )
        _write_config_and_create_archive(
            settings, first_event, root_certificates, has_config_file=existing_config is not None
        )
    except OSError as error:
        raise StorageError(
            "Cannot write to {path} ({reason}). Nothing was changed. Choose another folder or fix its "
            "permissions.",
            path=error.filename or settings.archive,
            reason=error.strerror,
        ) from None
    _print_next_steps(session, settings)


def _make_first_event(settings: Config, *, adopt: bool) -> FirstEvent:
    """Build the event to journal when the archive is created or, with ``adopt``, when a clone is adopted."""
    from archiver.store.names import name_as_text

    event_type = ArchiveAdopted if adopt else ArchiveCreated
    return event_type(
        watch=name_as_text(os.fsencode(settings.watch)),
        layout=settings.layout,
        retention_years=settings.retention_years,
        timezone=settings.timezone,
    )


def _print_next_steps(session: Session, settings: Config) -> None:
    """Print the paths of the new archive and of the configuration file, and what the user should do next."""
    console = session.console
    console.info("Archive: {path}", path=settings.archive)
    console.info("Configuration file: {path}", path=os.path.abspath(settings.source))
    console.info(
        "Keep a copy of {path} in a safe place: clones of the archive do not contain the key.",
        path=settings.archive / "keys",
    )
    console.info("To start capturing changes, run: archiver run")


def _write_config_and_create_archive(
    settings: Config, first_event: FirstEvent, root_certificates: Mapping[str, bytes], *, has_config_file: bool
) -> None:
    """Write the configuration file, then create the archive or adopt the clone.

    If the archive cannot be created, the new configuration file is removed.  If the process is killed in between,
    the file stays, and a repeated command continues from there.  With ``has_config_file``, the file existed before
    the command, and is neither written nor removed.  All retention in the settings counts as accepted.

    ``root_certificates`` are the certificates of the timestamp authority, by file name.  They are not used for a
    clone, which contains its own certificates.  Raises StorageError or Busy if the archive cannot be
    created, and OSError if the file cannot be written.
    """
    from archiver.retention.promises import combine_with_promise, find_waiting_promise
    from archiver.store.creation.adoption import adopt as adopt_clone
    from archiver.store.creation.archive_creation import create_archive

    def find_promises(promises: Promises) -> list[RetentionPromised]:
        """Return the retention that the settings promise beyond ``promises`` and the first event."""
        waiting = find_waiting_promise(settings, combine_with_promise(promises, first_event))
        return [] if waiting is None else waiting.draft_events()

    if not has_config_file:
        template.write_new_config(settings.source, template.render_config(settings))
    try:
        if isinstance(first_event, ArchiveAdopted):
            opened_archive = adopt_clone(settings.archive, first_event, find_promises)
        else:
            no_promises = Promises(years={}, zones=(), live=False)
            opened_archive = create_archive(
                settings.archive, first_event, root_certificates, find_promises(no_promises)
            )
    except BaseException:
        if not has_config_file:
            settings.source.unlink()
        raise
    opened_archive.close()


def _load_existing_config(session: Session, typed_settings: Config) -> Config | None:
    """Return the settings in the existing configuration file, or None if there is no file.

    Raises UsageError if an option that the user typed contradicts the file, and ConfigError if the file has a
    problem.  The default value of an option never contradicts the file.
    """
    if not is_there(typed_settings.source, follow_links=False):
        return None
    file_settings = load_config(typed_settings.source, must_be_trusted=session.config_file is None)
    parameter_source = click.get_current_context().get_parameter_source
    repeated_settings = [
        _RepeatedSetting("archive.path", file_settings.archive, typed_settings.archive),
        _RepeatedSetting("watch.path", file_settings.watch, typed_settings.watch),
        _RepeatedSetting("timestamp.url", file_settings.timestamp_url, typed_settings.timestamp_url),
    ]
    if parameter_source("layout") is not ParameterSource.DEFAULT:
        repeated_settings.append(_RepeatedSetting("watch.layout", file_settings.layout, typed_settings.layout))
    if parameter_source("retention_years") is not ParameterSource.DEFAULT:
        repeated_settings.append(
            _RepeatedSetting("retention.years", file_settings.retention_years, typed_settings.retention_years)
        )
    for setting_key, value_in_file, typed_value in repeated_settings:
        if value_in_file != typed_value and not _is_same_path(value_in_file, typed_value):
            raise UsageError(
                "{path} already exists, and its {key} is {there}, not {said}. Nothing was changed. Change the "
                "file or the option, or name another file with --config.",
                path=typed_settings.source,
                key=setting_key,
                there=value_in_file,
                said=typed_value,
            )
    return file_settings


def _is_same_path(value_in_file: Any, typed_value: Any) -> bool:
    """Return True if both values are paths of the same file or folder, even if one contains a symbolic link."""
    return isinstance(typed_value, Path) and os.path.realpath(value_in_file) == os.path.realpath(typed_value)


def _is_init_complete(settings: Config, first_event: FirstEvent) -> bool:
    """Return True if the work of an earlier ``archiver init`` with the same options is complete.

    A new archive is complete if it exists at its path.  The adoption of a clone is complete if the journal of the
    clone has ``first_event``, the event that this call would journal first.  To read the journal, opens the
    archive, which may raise any error of opening an archive.
    """
    from archiver.store.creation.adoption import is_adoption_complete

    if isinstance(first_event, ArchiveAdopted):
        return is_adoption_complete(settings.archive, first_event)
    return is_plain_file(settings.archive / "archive.git" / "HEAD")


def _check_same_creation(settings: Config, root_certificates: Mapping[str, bytes]) -> None:
    """Raise UsageError if the existing archive was created with another layout or other certificates.

    ``root_certificates`` are the certificates (PEM) that the user named, by file name.
    """
    from archiver.evidence import request_timestamp
    from archiver.store.archive import Archive

    with closing(Archive(settings.archive)) as archive:
        recorded_event = archive.journal.first_event()
        recorded_layout = ""
        if recorded_event is not None and recorded_event.action == ArchiveCreated.action:
            recorded_layout = ArchiveCreated.from_details(recorded_event.details).layout
        pinned_certificates = request_timestamp.read_authority_certificates(archive)
    if recorded_layout != settings.layout or pinned_certificates != b"".join(root_certificates.values()):
        raise UsageError(
            "The archive at {path} already exists and was created with another {key}. Nothing was changed. Use "
            "the original {key}, or choose a new folder.",
            path=settings.archive,
            key="--layout" if recorded_layout != settings.layout else "--tsa-root",
        )


def _read_root_certificates(authority_url: str, roots_file: Path | None, adopt: bool) -> dict[str, bytes]:
    """Return the root certificates (PEM) of the timestamp authority, by the file name in the journal.

    Returns an empty dict if the user named neither a URL nor a file.  Raises UsageError if the user named only one
    of the two, if the URL or the certificates cannot be used, or if ``adopt`` is True, because an adopted clone
    keeps the certificates that it contains.
    """
    from archiver.verify import rfc3161

    if not authority_url and roots_file is None:
        return {}
    certificates = roots_file.read_bytes() if roots_file is not None else b""
    try:
        is_usable = (
            authority_url.startswith(("http://", "https://")) and rfc3161.count_certificates(certificates) > 0
        )
    except ValueError:
        is_usable = False
    if not is_usable or adopt:
        raise UsageError(
            "A timestamp authority requires --tsa-url (http:// or https://) and --tsa-root (its certificates, "
            "PEM); an adopted clone keeps its own authority. Nothing was changed. Correct the options."
        )
    return {ROOTS_FILE: certificates}


def _refuse_impossible_settings(settings: Config) -> None:
    """Refuse settings that no archive can have, before anything is created.

    Raises ConfigError for a retention period that is too short or too long, or for nested folders, and UsageError
    if the folder to watch does not exist.
    """
    _check_retention_years(settings.retention_years)
    if not is_folder(settings.watch):
        raise UsageError(
            "The folder to watch, {path}, does not exist. Nothing was changed. Create it, or correct the path.",
            path=settings.watch,
        )
    # The second check also recognizes the same folder under another path, such as that of a bind mount.
    check_paths_not_nested(settings.archive, settings.watch)
    check_folders_not_nested(settings.archive, settings.watch, is_archive_new=True)


def _check_retention_years(retention_years: int) -> None:
    """Raise ConfigError unless the retention is from FLOOR_YEARS to CEILING_YEARS.

    The message names only the minimum, because only a typing error exceeds the maximum.
    """
    if not profiles.FLOOR_YEARS <= retention_years <= CEILING_YEARS:
        raise ConfigError(
            LazyMessage.define(
                "A retention of {years} years is out of range; the minimum is {floor}. Nothing was changed. Use "
                "--retention-years {floor} or more.",
                singular="A retention of {years} year is out of range; the minimum is {floor}. Nothing was "
                "changed. Use --retention-years {floor} or more.",
                count_field="years",
            ),
            years=retention_years,
            floor=profiles.FLOOR_YEARS,
        )
