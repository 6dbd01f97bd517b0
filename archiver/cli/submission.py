"""``archiver submission``.

A receipt or a notice in a submission folder is *about* the submission, and not a part of the submission.
"""

from __future__ import annotations

import click

from archiver.cli.parameters import MaterialPath, NamedChoice, ObjectName, reported_by_option
from archiver.cli.session import Session, command, command_group
from archiver.filings.code_names import FILE_ROLE_NAMES

submission_command = command_group("Record files about earlier submissions, such as a receipt that came later.")


@command(
    "Record that an archived file is about an earlier submission, and not part of it. TAG is the tag of the "
    "submission or of the version, or FILING/SUBMISSION for the newest submission; PATH is as listed by archiver "
    "show."
)
@click.argument("submission_tag", type=ObjectName(), metavar="TAG")
@click.argument("path", type=MaterialPath())
@click.option("--role", type=NamedChoice(FILE_ROLE_NAMES), metavar="ROLE", required=True, help="Role of the file.")
@click.option(
    "--version",
    "version_tag",
    type=ObjectName(),
    metavar="TAG",
    help="Version that has the file (default: the newest one of the submission folder).",
)
@reported_by_option("Name of the person reporting this, recorded in addition to the login name.")
def _attach_file(
    session: Session,
    submission_tag: str,
    path: str,
    role: str,
    version_tag: str | None,
    reported_by: str | None,
) -> None:
    """Journal that the file at ``path`` is about a submission, and print the record.

    Raises NotFoundError for an unknown submission, version or file, and UsageError if the record is not possible.
    """
    from archiver.actions.submission_actions import AttachSubmissionFile

    attach_result = session.perform(
        AttachSubmissionFile(
            submission_tag=submission_tag, path=path, role=role, version_tag=version_tag, reported_by=reported_by
        )
    )
    session.console.info(
        "Recorded {path} in {version} as a file about {submitted}.",
        path=attach_result["path"],
        version=attach_result["version"],
        submitted=attach_result["submitted"],
    )


submission_command.add_command(_attach_file, "attach")
