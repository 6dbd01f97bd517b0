"""``archiver submit``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from archiver.cli.open_point_text import describe_check
from archiver.cli.parameters import (
    MaterialPath,
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

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.model import Version
    from archiver.store.archive import Archive


@command(
    "Record the submission of a version: sign the version, store the receipt, and count retention from this "
    "record too. Prints everything that is open about the submission first, as check does. Exit code 4: refused "
    "because the folder is missing or unreadable, a file is still open for writing, a file stands for a document "
    "elsewhere, the version has no files, or its content is missing or damaged."
)
@click.argument("submission_name", type=ObjectName(), metavar="FILING/SUBMISSION")
@click.option(
    "--version",
    "version_number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Version to submit (default: the newest captured by the end of --on, otherwise the first later one).",
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
@click.option(
    "--receipt-in-folder",
    "receipt_paths",
    type=MaterialPath(),
    multiple=True,
    metavar="PATH",
    help="Receipt in the submission folder: a file about the submission, and not part of it; repeatable.",
)
@click.option(
    "--notice-in-folder",
    "notice_paths",
    type=MaterialPath(),
    multiple=True,
    metavar="PATH",
    help="Notice of the regulator in the submission folder, not part of the submission either; repeatable.",
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
    receipt_paths: tuple[str, ...],
    notice_paths: tuple[str, ...],
    reported_by: str | None,
) -> None:
    """Check the submission, sign the version, and record the submission; print everything that is open.

    Raises UsageError or SubmissionRefused if the version must not be signed as it is, and NotFoundError for an
    unknown submission or version.  Nothing is recorded then.
    """
    from archiver.actions.submission_actions import SubmitVersion
    from archiver.store.resolve import find_version

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
            receipt_paths=receipt_paths,
            notice_paths=notice_paths,
        ),
        receipt,
    )
    # A service of an earlier release returns no check.
    if check := submission_result.get("check"):
        for line in describe_check(check, submission_name):
            session.console.warn("{text}", text=line)
    session.console.info(
        "Submitted {tag} as {submitted}. Retained at least through {until}{open}.",
        tag=submission_result["tag"],
        submitted=submission_result["submitted"],
        until=submission_result["keep_until"],
        open=submission_result["conditions"],
    )
    session.console.warn_if_checkpoint_failed(submission_result)
    archive = session.open_archive()
    version = find_version(archive, submission_result["tag"])
    _warn_of_earlier_files(session.console, archive, version, submission_result["submitted"])


def _warn_of_earlier_files(console: Console, archive: Archive, version: Version, submission_tag: str) -> None:
    """Print a warning for each file in the signed version that is recorded as being about an earlier submission.

    Such a file is still part of the new submission, because the regulator may have received the file again.
    """
    from archiver.store.index.submission_files import FileKey, list_submission_files

    submission_files = list_submission_files(archive.index, version.submission.filing)
    if not submission_files:
        return
    own_keys = {file.key for file in submission_files if file.submission_tag == submission_tag}
    earlier_files = {file.key: file for file in submission_files if file.key not in own_keys}
    for material in archive.index.materials(version.submission, version.number):
        if file := earlier_files.get(FileKey(material.path, material.sha256 or "")):
            console.warn(
                "{path} was signed as part of this submission, and is recorded as a file about {earlier}. If it "
                "was not submitted, run: archiver submission attach {submitted!q} {path!q} --role {role!q}",
                path=file.path,
                earlier=file.submission_tag,
                submitted=submission_tag,
                role=file.role,
            )
