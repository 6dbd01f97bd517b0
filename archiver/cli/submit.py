"""``archiver submit``."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import click

from archiver.cli.parameters import (
    NamedChoice,
    ObjectName,
    ReadableFile,
    RecordedText,
    day_option,
    file_name_to_record,
    reported_by_option,
)
from archiver.cli.session import Session, command
from archiver.filings.code_names import SUBMISSION_KIND_NAMES


@command(
    "Record the submission of a version: sign the version, store the receipt, and count retention from this "
    "record too. Exit code 4: refused because the folder is missing or unreadable, the version has no files, or "
    "its content is missing or damaged."
)
@click.argument("submission_name", type=ObjectName(), metavar="FILING/SUBMISSION")
@click.option(
    "--version",
    "version_number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Version to submit (default: the newest).",
)
@day_option("--on", "submitted_on", "Submission date shown on the portal.", required=True)
@click.option(
    "--kind",
    type=NamedChoice(SUBMISSION_KIND_NAMES),
    metavar="KIND",
    help="Submission kind (default: from the folder name).",
)
@click.option("--number", "filing_number", type=RecordedText(), metavar="NO", help="Filing number, once issued.")
@click.option("--force", is_flag=True, help="Accept a number in an unknown format; requires --reason.")
@click.option(
    "--reason",
    type=RecordedText(),
    metavar="TEXT",
    help=(
        "Reason for the unknown number format, or for signing the version given with --version despite a failed "
        "check; recorded in the journal."
    ),
)
@click.option(
    "--receipt", type=ReadableFile(), metavar="FILE", help=("Receipt from the portal, stored with the record.")
)
@reported_by_option("Submitter, recorded in addition to the login name.")
def submit_command(
    session: Session,
    submission_name: str,
    version_number: int | None,
    submitted_on: date,
    kind: str | None,
    filing_number: str | None,
    force: bool,
    reason: str | None,
    receipt: Path | None,
    reported_by: str | None,
) -> None:
    """Sign and record the submission, then warn of any files that look damaged.

    Raises UsageError or SubmissionRefused if the version must not be signed as it is, and NotFoundError for an
    unknown submission or version.  Nothing is recorded then.
    """
    from archiver.actions.submission_actions import SubmitVersion

    submission_result = session.perform(
        SubmitVersion(
            submission_name=submission_name,
            version_number=version_number,
            submitted_on=submitted_on,
            kind=kind,
            filing_number=filing_number,
            number_override_reason=session.require_reason_for_force(force, reason),
            receipt_name=file_name_to_record(receipt),
            reported_by=reported_by,
            exception_reason=reason,
        ),
        receipt,
    )
    session.console.info(
        "Submitted {tag} as {submitted}. Retained at least through {until}{open}.",
        tag=submission_result["tag"],
        submitted=submission_result["submitted"],
        until=submission_result["keep_until"],
        open=submission_result["conditions"],
    )
    session.console.warn_if_checkpoint_failed(submission_result)
    _warn_of_damaged_files(session, submission_result["tag"])


def _warn_of_damaged_files(session: Session, tag: str) -> None:
    """Print a warning for each file of the version that looked damaged at capture.

    The version stays signed, because the regulator has received it.  The user can still submit an intact file.
    """
    from archiver.documents.integrity import DEFECTS
    from archiver.store.names import name_as_text
    from archiver.store.resolve import find_version

    archive = session.open_archive()
    version = find_version(archive, tag)
    for material in archive.index.materials(version.submission, version.number):
        if material.health:
            session.console.warn(
                "{path} in {tag}: {note}. The version was signed unchanged. Check the submitted file.",
                path=name_as_text(material.path),
                tag=version.tag,
                note=DEFECTS[material.health],
            )
