"""``archiver check``."""

from __future__ import annotations

from datetime import date

import click

from archiver.cli.open_point_text import describe_check
from archiver.cli.parameters import NamedChoice, ObjectName, day_option, json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage, SubmissionRefused
from archiver.filings.code_names import SUBMISSION_KIND_NAMES


@command(
    "List everything that is open about a submission before it is signed; record nothing. Exit code 4: submit "
    "would refuse."
)
@click.argument("submission_name", type=ObjectName(), metavar="FILING/SUBMISSION")
@click.option(
    "--version",
    "version_number",
    type=click.IntRange(min=1),
    metavar="N",
    help="Version to check (default: the version that submit would choose).",
)
@day_option("--on", "submitted_on", "Submission date shown on the portal (default: today).")
@click.option(
    "--kind",
    type=NamedChoice(SUBMISSION_KIND_NAMES),
    metavar="KIND",
    help="Submission kind (default: from the folder name).",
)
@json_option
def check_command(
    session: Session,
    submission_name: str,
    version_number: int | None,
    submitted_on: date | None,
    kind: str | None,
    as_json: bool,
) -> None:
    """Print the version, the kind, and all open points; raise SubmissionRefused if ``submit`` would refuse.

    Raises UsageError for a day in the future, and NotFoundError for an unknown submission or version.
    """
    from archiver.actions.submission_check import CheckSubmission

    console = session.console
    check = session.perform(
        CheckSubmission(
            submission_name=submission_name,
            version_number=version_number,
            submitted_on=submitted_on,
            kind=kind,
        )
    )
    refusing_count = sum(point["refuses"] for point in check["open_points"])
    if as_json:
        console.print_json(_to_json(check))
    else:
        for line in describe_check(check, submission_name):
            console.print_line(console.translate(line))
        if not check["open_points"]:
            console.info("Nothing is open.")
    if check["is_refused"]:
        raise SubmissionRefused(
            LazyMessage.define(
                "submit would refuse {submission} because of {count} open points. Nothing was recorded. To sign "
                "the version anyway, run submit with --version N --reason TEXT.",
                singular=(
                    "submit would refuse {submission} because of {count} open point. Nothing was recorded. To "
                    "sign the version anyway, run submit with --version N --reason TEXT."
                ),
            ),
            submission=submission_name,
            count=refusing_count,
        )


def _to_json(value: object) -> object:
    """Return the result of an action for ``--json``, with each message as its English sentence."""
    if isinstance(value, dict):
        return {key: _to_json(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return list(map(_to_json, value))
    return str(value) if isinstance(value, LazyMessage) else value
