"""``archiver audit``: write an inspection package, a folder with which a stranger can check the archive."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from archiver.cli.console import Console
from archiver.cli.parameters import MaterialPattern, NamedChoice, ObjectName, RecordedText
from archiver.cli.session import Session, command
from archiver.errors import ArchiverError
from archiver.filings.code_names import SUBMISSION_KIND_NAMES
from archiver.store.events.event_kinds import Action

if TYPE_CHECKING:
    from archiver.audit.package import WrittenPackage
    from archiver.store.archive import Archive


def _sign_newest_event(session: Session, archive: Archive) -> None:
    """Sign a checkpoint, so that a signature covers every event that the package will contain.

    Does nothing if the newest event is already a checkpoint, or if the journal is empty.  A failure is printed as
    a warning and not raised, because the package is still useful, and the report shows which events are signed.
    """
    from archiver.actions.checkpoint_actions import MakeCheckpoint

    newest_event = archive.journal.newest_event()
    if newest_event is None or newest_event.action == Action.CHECKPOINT:
        return
    try:
        session.perform(MakeCheckpoint())
    except ArchiverError as error:
        session.console.warn(error.message)


@command(
    "Export an inspection package: files, lists, journal, signatures, a report, and a program that verifies the "
    "package."
)
@click.option("--to", "target", required=True, metavar="DIR", help="New or empty folder.")
@click.option(
    "--filing", "filings", type=ObjectName(), multiple=True, metavar="FILING", help="Include only these filings."
)
@click.option(
    "--submission",
    "submissions",
    type=ObjectName(),
    multiple=True,
    metavar="FILING/SUBMISSION",
    help="Include only these submission folders.",
)
@click.option(
    "--kind",
    "kinds",
    type=NamedChoice(SUBMISSION_KIND_NAMES),
    multiple=True,
    metavar="KIND",
    help="Include only submissions of this kind.",
)
@click.option(
    "--since",
    metavar="TIME",
    help=("Include only versions captured from this time on; a date includes the whole day."),
)
@click.option(
    "--until",
    metavar="TIME",
    help="Include only versions captured up to this time; a date includes the whole day.",
)
@click.option(
    "--without",
    "omitted_patterns",
    type=MaterialPattern(),
    multiple=True,
    metavar="GLOB",
    help="List matching files without their content.",
)
@click.option("--with-sensitive", is_flag=True, help="Include files that match [sensitive] patterns.")
@click.option(
    "--expand", is_flag=True, help=("Write all files of each version instead of storing each object once.")
)
@click.option("--recipient", type=RecordedText(), metavar="NAME", help="Recipient, recorded in the journal.")
@click.option("--reason", type=RecordedText(), metavar="TEXT", help="Reason, recorded in the journal.")
@click.option("--zip", "as_zip", is_flag=True, help="Write a zip file, DIR.zip, instead of a folder.")
def audit_command(
    session: Session,
    target: str,
    filings: tuple[str, ...],
    submissions: tuple[str, ...],
    kinds: tuple[str, ...],
    since: str | None,
    until: str | None,
    omitted_patterns: tuple[str, ...],
    with_sensitive: bool,
    expand: bool,
    recipient: str | None,
    reason: str | None,
    as_zip: bool,
) -> None:
    """Write the package, print its location, and journal the export.

    A failure to journal is only a warning, because the package is complete by then.  Raises UsageError for a
    target inside the watched folder or the archive, or for an invalid time, and NotFoundError for an unknown
    filing or submission, or if no version matches.
    """
    from pathlib import Path

    from archiver.audit.copy_pool import CopyPool

    # Start the copying processes first, so that they get ready while this process imports modules and selects
    # versions.
    with closing(CopyPool()) as copy_pool:
        from archiver import clock
        from archiver.audit import package
        from archiver.audit.export_selection import ExportSelection, build_export_record
        from archiver.audit.report_model import Presentation
        from archiver.filings.expected_materials import EXPECTED_MATERIALS
        from archiver.restore import restoration
        from archiver.store.names import clean_typed_text
        from archiver.store.resolve import find_filing, find_submission

        recipient = None if recipient is None else clean_typed_text(recipient, "recipient")
        reason = None if reason is None else clean_typed_text(reason, "reason")
        archive = session.open_archive()
        restoration.check_target_is_outside(Path(target), session.config.watch, session.config.archive)
        export_selection = ExportSelection(
            filings=[find_filing(archive, filing) for filing in filings],
            submissions=[find_submission(archive, submission).ref_name for submission in submissions],
            kinds=kinds,
            captured_since=clock.format_time(session.parse_time(since, end_of_day=False)) if since else "",
            captured_until=clock.format_time(session.parse_time(until)) if until else "",
            omitted_patterns=omitted_patterns,
            sensitive_patterns=() if with_sensitive else session.config.sensitive,
            repeats_content=expand,
        )
        export_details = build_export_record(archive, export_selection, recipient, reason)
        retention_policy = session.read_retention_policy(archive)
        written_package = package.export_package(
            archive,
            copy_pool,
            export_selection,
            Path(target),
            retention_policy,
            export_details,
            as_zip=as_zip,
            sm3=session.config.sm3,
            sign_journal=lambda: _sign_newest_event(session, archive),
            presentation=Presentation(
                session.typed_language or "zh",
                Console("zh").translate,
                {**EXPECTED_MATERIALS, **session.config.expected},
            ),
        )
    _print_package(session.console, written_package)
    _journal_export(session, written_package, export_details)


def _print_package(console: Console, written_package: WrittenPackage) -> None:
    """Print the location and the size of the package, and how to read and verify it."""
    console.info(
        "Inspection package: {path} (versions: {versions}, files: {files}, bytes: {bytes})",
        path=written_package.path,
        versions=written_package.version_count,
        files=written_package.file_count,
        bytes=written_package.byte_count,
    )
    console.info(
        "To read the inspection package, open report.html. To verify the package, run: python3 -I -S verify.py"
    )


def _journal_export(session: Session, written_package: WrittenPackage, export_details: dict[str, Any]) -> None:
    """Journal the export of a package.

    ``export_details`` is the result of :func:`archiver.audit.export_selection.build_export_record`.  A failure is
    only printed as a warning, because the package is already complete.
    """
    from archiver.actions.maintenance_actions import RecordNote
    from archiver.audit import package

    try:
        session.perform(RecordNote(**package.build_export_note_arguments(written_package, export_details)))
    except ArchiverError as error:
        session.console.warn(error.message)
        session.console.warn("The inspection package is complete, but the export was not recorded in the journal.")
