"""``archiver filing``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.cli.parameters import (
    ObjectName,
    ReadableFile,
    RecordedText,
    day_option,
    file_name,
    json_option,
    reported_by_option,
)
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.filings.register import Filing

_SCHEMES = ("algorithm", "deep_synthesis", "genai_filing", "genai_registration")


filing_command = command_group("The life of a filing: its sheet, its review, its end.")


@command("List the filings: state, number, what is due next.")
@json_option
def _list_filings(session: Session, as_json: bool) -> None:
    """List the filings by name, each with the next deadline of the company; the regulator's are left out."""
    from archiver.filings.code_names import STATES, word_for
    from archiver.filings.due.deadlines import is_company_duty, open_deadlines

    filings = _read_register(session)
    # Deadlines come by date, so that the first one is the next.
    next_deadline_by_filing = {
        filing.name: next(filter(is_company_duty, open_deadlines([filing])), None) for filing in filings
    }
    console = session.console
    if as_json:
        filing_documents = []
        for filing in filings:
            next_deadline = next_deadline_by_filing[filing.name]
            next_due = {"next_due": next_deadline.on.isoformat() if next_deadline else None}
            filing_documents.append(_as_json(filing) | next_due)
        console.print_json(filing_documents)
        return
    filing_rows = []
    for filing in filings:
        next_deadline = next_deadline_by_filing[filing.name]
        filing_rows.append(
            (
                filing.name,
                console.translate(word_for(filing.state, STATES)),
                filing.number or "-",
                filing.fields.get("responsible") or "-",
                f"{next_deadline.on.isoformat()} {console.translate(next_deadline.what)}"
                if next_deadline
                else "-",
            )
        )
    console.print_table(
        (
            LazyMessage("Filing"),
            LazyMessage("State"),
            LazyMessage("Number"),
            LazyMessage("Responsible"),
            LazyMessage("Next due"),
        ),
        filing_rows,
    )


@command("Show a filing's sheet, review, notices, changes and display.")
@click.argument("name", type=ObjectName(), metavar="FILING")
@click.option("--at", "known_until", metavar="DATE", help="As it was known then; a bare date means its end.")
@json_option
def _show_filing(session: Session, name: str, known_until: str | None, as_json: bool) -> None:
    from archiver.store.resolve import find_filing

    filing_name = find_filing(session.open_archive(), name)
    (filing,) = _read_register(session, known_until, filing_name)
    if as_json:
        session.console.print_json(_as_json(filing))
    else:
        _print_filing(session, filing)


def _read_register(
    session: Session, known_until: str | None = None, only_filing_name: str | None = None
) -> list[Filing]:
    """Return the filings by name: all that have materials, or only the named one.

    A filing without any record is returned as a draft.  ``known_until`` is a time as the user typed it; records
    made later are ignored.  None means all records.  Raises UsageError for a text that is no time.
    """
    from archiver import clock
    from archiver.filings.register import Filing, register

    archive_index = session.open_archive().index
    last_time = clock.format_time(session.parse_time(known_until)) if known_until else ""
    filing_by_name = register(archive_index.life_events(only_filing_name, last_time))
    if only_filing_name is None:
        filing_names = {submission.filing for submission in archive_index.submissions()}
    else:
        filing_names = {only_filing_name}
    return [filing_by_name.get(filing_name) or Filing(filing_name) for filing_name in sorted(filing_names)]


def _as_json(filing: Filing) -> dict[str, Any]:
    """Return a filing with its records as a JSON object; records are in the journal's order, days in ISO 8601."""
    from archiver.filings.register_codes import FIELDS

    return {
        "filing": filing.name,
        "state": filing.state,
        "state_on": _format_day(filing.state_on),
        "portal_text": filing.portal_text,
        **{name: filing.fields.get(name) for name in FIELDS},
        "ended": _format_day(filing.ended_on),
        "submitted": [
            {
                "tag": submission.tag,
                "version": submission.version,
                "kind": submission.kind,
                "on": _format_day(submission.submitted_on),
            }
            for submission in filing.submissions
        ],
        "checks": [
            {
                "status": review_check.status,
                "on": _format_day(review_check.on),
                "portal_text": review_check.portal_text,
                "evidence": review_check.evidence,
                "by": review_check.user,
            }
            for review_check in filing.checks
        ],
        "notices": [
            {"number": notice.number, "kind": notice.kind, "answer": notice.answer} for notice in filing.notices
        ],
        "changes": [
            {
                "number": question.number,
                "first": _format_day(question.first),
                "material": question.material,
            }
            for question in filing.questions
        ],
        "displays": [
            {
                "source": display_check.source,
                "on": _format_day(display_check.on),
                "number": display_check.number,
                "link": display_check.link,
                "problem": display_check.problem,
            }
            for display_check in filing.displays
        ],
    }


def _format_day(day: date | None) -> str | None:
    """Return a day in ISO 8601, or None for an unknown day."""
    return None if day is None else day.isoformat()


def _print_filing(session: Session, filing: Filing) -> None:
    """Print a filing for people: its sheet, then its submissions, notices, changes and last display check."""
    console = session.console
    _print_sheet(console, filing)
    _print_records(console, filing)


def _print_sheet(console: Console, filing: Filing) -> None:
    """Print the filing's name, its state, and the fields that have a value."""
    from archiver.filings.code_names import FIELDS, SCHEMES, STATES, word_for

    console.print_line(filing.name)
    state_since = f" ({filing.state_on.isoformat()})" if filing.state_on else ""
    state_name = console.translate(word_for(filing.state, STATES))
    console.print_line(
        f"  {console.translate(LazyMessage('State'))}: {state_name}{state_since} {filing.portal_text}".rstrip()
    )
    for field_name, label in FIELDS.items():
        value = filing.fields.get(field_name)
        if value:
            shown_value = ", ".join(value) if isinstance(value, list) else str(value)
            shown_value = (
                console.translate(word_for(shown_value, SCHEMES)) if field_name == "scheme" else shown_value
            )
            console.print_line(f"  {console.translate(label)}: {shown_value}")


def _print_records(console: Console, filing: Filing) -> None:
    """Print the filing's records, each kind in the journal's order; of the display checks only the last one."""
    from archiver.filings.code_names import NOTICE_KINDS, SUBMISSION_KINDS, word_for

    for submission_record in filing.submissions:
        console.info(
            "  Handed in on {on}: {tag} ({kind})",
            on=_format_day(submission_record.submitted_on),
            tag=submission_record.tag,
            kind=word_for(submission_record.kind, SUBMISSION_KINDS),
        )
    for notice in filing.notices:
        console.info(
            "  Notice {number} ({kind}), received on {on}: {answer}",
            number=notice.number,
            kind=word_for(notice.kind, NOTICE_KINDS),
            on=_format_day(notice.received),
            answer=notice.answer or LazyMessage("not answered yet"),
        )
    for question in filing.questions:
        console.info(
            "  Change {number} of {on}: {decision}",
            number=question.number,
            on=_format_day(question.first),
            decision=_decision_text(question.material),
        )
    for display_check in filing.displays[-1:]:
        is_displayed = not display_check.problem and display_check.number and display_check.link
        console.info(
            "  Display looked at on {on}: {result}",
            on=_format_day(display_check.on),
            result=LazyMessage("number and link are there")
            if is_displayed
            else LazyMessage("number or link is missing"),
        )


def _decision_text(is_material: bool | None) -> LazyMessage:
    """Return the decision on a change for people; None means that nobody has decided yet."""
    if is_material is None:
        return LazyMessage("not decided yet")
    return LazyMessage("material") if is_material else LazyMessage("not material")


@command("Record what is known of a filing, and its review status; every change is journalled.")
@click.argument("filing", type=ObjectName())
@click.option("--company", type=RecordedText(), metavar="NAME", help="The company that files.")
@click.option("--responsible", type=RecordedText(), metavar="NAME", help="Who is reminded of what is due.")
@click.option("--manager", type=RecordedText(), metavar="NAME", help="Who is reminded when it is late.")
@click.option("--algorithm", type=RecordedText(), metavar="NAME", help="The algorithm's name on the form.")
@click.option("--category", type=RecordedText(), metavar="TEXT", help="The algorithm's category on the form.")
@click.option("--scheme", type=click.Choice(_SCHEMES), help="Under which rules it is filed.")
@click.option(
    "--product", "products", type=RecordedText(), multiple=True, metavar="NAME", help="A product; repeat for more."
)
@click.option("--number", type=RecordedText(), metavar="NO", help="The filing number, once issued.")
@click.option("--force", is_flag=True, help="Take a number of another form; needs --reason.")
@click.option("--reason", type=RecordedText(), metavar="WHY", help="Why the number has another form.")
@day_option("--issued-on", "issued_on", "The day the number was issued.")
@click.option(
    "--published-at", type=RecordedText(), metavar="URL", help="Where the regulator publishes the filing."
)
@day_option("--service-start", "service_start", "The day the service started.")
@day_option("--service-end", "service_end", "The day the service ends.")
@click.option(
    "--status", type=RecordedText(), metavar="STATE", help="The review status, as looked up on the portal."
)
@click.option("--portal-text", type=RecordedText(), metavar="TEXT", help="The portal's own words.")
@day_option("--on", "checked_on", "The day it was looked up; else today.")
@click.option("--evidence", type=ReadableFile(), metavar="FILE", help="A screenshot; kept with the record.")
@reported_by_option("Who says so, beside the user the system knows.")
def _update_filing(
    session: Session,
    filing: str,
    products: tuple[str, ...],
    force: bool,
    reason: str | None,
    status: str | None,
    portal_text: str | None,
    checked_on: date | None,
    evidence: Path | None,
    reported_by: str | None,
    **fields: str | date | None,
) -> None:
    """Record the options that were typed; options that were not typed change nothing.

    ``fields`` are the options of the sheet by name, None for those not typed.  Raises UsageError for ``--force``
    without ``--reason`` and for values that cannot be recorded, NotFoundError for an unknown filing.
    """
    from archiver.actions.filing_actions import UpdateFiling

    override_reason = session.override_reason(force, reason)
    changed_fields: dict[str, Any] = {
        field_name: value.isoformat() if isinstance(value, date) else value
        for field_name, value in fields.items()
        if value is not None
    }
    if products:
        changed_fields["products"] = list(products)
    updated = session.perform(
        UpdateFiling(
            filing=filing,
            changed_fields=changed_fields,
            review_status=status,
            portal_wording=portal_text,
            checked_on=checked_on,
            screenshot_name=file_name(evidence),
            number_override_reason=override_reason,
            reported_by=reported_by,
        ),
        evidence,
    )
    session.console.info("Recorded for {filing}.", filing=updated["filing"])
    if status in ("deregistered", "revoked", "withdrawn"):
        session.console.info(
            "Its retention periods run out only after its end is recorded too: archiver filing end {filing!q} "
            "--on DATE --reason WHY",
            filing=updated["filing"],
        )


@command("Record that a filing has ended: from now on its retention periods run out.")
@click.argument("filing", type=ObjectName())
@day_option("--on", "ended_on", "The day it ended, for people.", required=True)
@click.option("--reason", type=RecordedText(), required=True, help="Why it ended; kept with the record.")
@reported_by_option("Who says so, beside the user the system knows.")
def _end_filing(session: Session, filing: str, ended_on: date, reason: str, reported_by: str | None) -> None:
    from archiver.actions.filing_actions import EndFiling

    ended = session.perform(EndFiling(filing=filing, ended_on=ended_on, reason=reason, reported_by=reported_by))
    session.console.info(
        "{filing} is not live any more. Its periods are counted from now on; the next submit makes it live again.",
        filing=ended["filing"],
    )


for _name, _command in (
    ("list", _list_filings),
    ("show", _show_filing),
    ("set", _update_filing),
    ("end", _end_filing),
):
    filing_command.add_command(_command, _name)
