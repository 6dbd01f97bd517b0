"""``archiver verify``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command
from archiver.errors import FindingsPresent, LazyMessage, StorageError
from archiver.naming.ref_names import to_readable

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.verify.findings import VerifyReport


@command("Verify the archive with separate code, not the code that wrote the archive; write nothing.")
@json_option
@click.option(
    "--replica", "with_replica", is_flag=True, help=("Also verify the bucket: inventory, checksums, and locks.")
)
@click.option(
    "--replica-sample",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Also hash this percentage of the bucket's objects again.",
)
@click.option(
    "--sample",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help=("Percentage of the objects to hash (default: 100)."),
)
@click.option(
    "--since", "witness_lines", multiple=True, metavar="LINE", help="Stored witness line to check; repeatable."
)
def verify_command(
    session: Session,
    as_json: bool,
    sample: float | None,
    witness_lines: tuple[str, ...],
    with_replica: bool,
    replica_sample: float | None,
) -> None:
    """Verify the archive, print the findings, and raise FindingsPresent unless the archive has no findings.

    ``sample`` is the percentage of the archive's content objects to hash (None: 100).  ``replica_sample`` is the
    percentage of the bucket's objects to hash (None: 0); any value also compares the bucket with the archive, as
    ``with_replica`` does.

    Raises StorageError if the archive cannot be opened.  The findings of checks that do not need git are printed
    before.
    """
    from archiver.replica.connect import check_replica
    from archiver.retention.policy import accepted_policy
    from archiver.verify.whole_archive import verify_archive
    from archiver.verify.witness import parse_witness

    witnesses = [parse_witness(line) for line in witness_lines]
    console = session.console
    try:
        archive = session.open_archive()
    except StorageError:
        _print_findings_without_git(session, as_json)
        raise
    sample_percent = 100.0 if sample is None else sample
    report = verify_archive(
        archive.root, archive.repository, sample_percent, witnesses, console.make_progress_display()
    )
    if with_replica or replica_sample is not None:
        # The sync locks objects for the accepted retention only, not for one that waits for acceptance.
        retention_policy = accepted_policy(session.config, archive.index.retention_promises())
        check_replica(archive, session.config, retention_policy, report, replica_sample or 0.0)
    _print_report(session, report, as_json)
    if not report.is_clean:
        raise FindingsPresent(
            LazyMessage.define(
                "verify reported {count} findings. Change nothing, save this output, and compare with a backup "
                "or a clone.",
                singular=(
                    "verify reported {count} finding. Change nothing, save this output, and compare with a "
                    "backup or a clone."
                ),
            ),
            count=len(report.findings),
        )
    if not as_json:
        for witness in witnesses:
            console.info(
                "The history up to {time} (journal event {seq}) is unchanged.",
                time=witness.clock_time,
                seq=witness.seq,
            )
        console.info("No findings.")


def _print_findings_without_git(session: Session, as_json: bool) -> None:
    """Check an archive that cannot be opened, without git, and print the findings.

    Prints nothing without findings, because the error from opening the archive already states the reason.
    """
    from archiver.verify.whole_archive import verify_files_without_git

    report = verify_files_without_git(session.config.archive)
    if not report.is_clean:
        _print_report(session, report, as_json)


def _print_report(session: Session, report: VerifyReport, as_json: bool) -> None:
    """Print the report: as JSON, or as lines with findings, totals, notes, and unreferenced objects."""
    if as_json:
        session.console.print_json(report.as_json())
        return
    _print_findings(session.console, report)
    _print_totals(session.console, report)
    for note in report.notes:
        session.console.info("{note}", note=note.sentence)
    _print_unreferenced_count(session.console, report)


def _print_findings(console: Console, report: VerifyReport) -> None:
    """Print a line for each finding: its code, the object at fault, the meaning of the code, and the detail."""
    from archiver.verify.findings import MEANING_BY_CODE

    for finding in report.findings:
        meaning = console.translate(MEANING_BY_CODE[finding.code])
        detail_text = f": {console.translate(finding.detail)}" if finding.detail else ""
        console.print_line(f"{finding.code}  {to_readable(finding.object)}  {meaning}{detail_text}")


def _print_totals(console: Console, report: VerifyReport) -> None:
    """Print how many versions, journal events, content objects and bytes were checked."""
    console.info(
        "Checked versions: {versions}, journal events: {events}, objects: {objects}, bytes: {bytes}.",
        versions=report.version_count,
        events=report.event_count,
        objects=report.hashed_objects,
        bytes=report.hashed_bytes,
    )


def _print_unreferenced_count(console: Console, report: VerifyReport) -> None:
    """Print how many content objects belong to no version; print nothing if the number is 0."""
    if not report.unreferenced_objects:
        return
    console.info(
        LazyMessage.define(
            "{count} objects belong to no version. Interrupted captures leave such objects; they are harmless.",
            singular=(
                "{count} object belongs to no version. Interrupted captures leave such objects; they are harmless."
            ),
        ),
        count=report.unreferenced_objects,
    )
