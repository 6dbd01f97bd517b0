"""``archiver submit``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from archiver.cli.session import FilePath, Name, Session, entry, find_submission, find_version
from archiver.errors import ArchiverError, NotFound, UsageProblem
from archiver.filings.kinds import KINDS

if TYPE_CHECKING:
    from archiver.model import Submission, Version
    from archiver.store.archive import Archive


@entry
@click.argument("name", type=Name(), metavar="FILING/SUBMISSION")
@click.option("--version", "number", type=click.IntRange(min=1), metavar="N", help="Else the newest.")
@click.option(
    "--on", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DATE", help="The day on the portal."
)
@click.option("--kind", type=click.Choice(KINDS), help="Else as the folder's name tells.")
@click.option("--number", "filing_number", type=Name(), metavar="NO", help="The filing number, once issued.")
@click.option("--receipt", type=FilePath(), metavar="FILE", help="The portal's receipt; kept with the record.")
@click.option("--by", type=Name(), metavar="NAME", help="Who handed it in, beside the user the system knows.")
def command(
    session: Session,
    name: str,
    number: int | None,
    on: click.DateTime,
    kind: str | None,
    filing_number: str | None,
    receipt: Path | None,
    by: str | None,
) -> None:
    """Record that a version was handed in: seal it, keep the receipt, start its retention."""
    from archiver import clock
    from archiver.filings.submissions import HandingIn, submit
    from archiver.retention.policy import decide

    day = on.date()  # type: ignore[attr-defined]
    if day > clock.today(session.config.zone):
        raise UsageProblem("{day} is in the future. Nothing was recorded. Mend --on.", day=day)
    archive = session.archive()
    submission = find_submission(archive, name)
    version = _chosen(session, archive, submission, number)
    handing_in = HandingIn(day, kind, filing_number, receipt, by)
    event = submit(archive, version, handing_in, session.wait)
    _sign(session, archive)
    sealed = find_version(archive, version.tag)
    decision = decide(sealed, session.policy(archive), archive.compliance_time())
    session.console.say(
        "Sealed {tag} as {submitted}. Kept until {until}{open}.",
        tag=sealed.tag,
        submitted=event.object,
        until=decision.keep_until.date(),
        open=decision.conditions,
    )


def _sign(session: Session, archive: Archive) -> None:
    """A checkpoint after each handing-in; what was handed in stands without it too."""
    from archiver.evidence.checkpoint import checkpoint

    try:
        checkpoint(archive, session.wait)
    except ArchiverError as error:
        session.console.warn(error.template, **error.fields)


def _chosen(session: Session, archive: Archive, submission: Submission, number: int | None) -> Version:
    if number is not None:
        return find_version(archive, submission.tag(number))
    from archiver.intake.immediate import capture_now, unsettled

    capture_now(archive, session.config, submission, session.wait)
    waiting = unsettled(archive, session.config, submission)
    if waiting:
        raise UsageProblem(
            "{count} changes of {submission} are not archived yet, the first is {path}. Nothing was recorded. "
            "Wait until archiver status shows nothing pending, or name the version with --version N.",
            count=len(waiting),
            submission=str(submission),
            path=waiting[0],
        )
    latest = archive.index.latest(submission)
    if latest is None:
        raise NotFound("The submission {name} has no version. Nothing was recorded.", name=str(submission))
    return latest
