"""``archiver filing``.

The *sheet* of a filing has the descriptive fields, such as the company, the algorithm and the filing number. The
*register* is the list of all filings, with all records about each filing.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from archiver.cli.correction_text import record_to_json
from archiver.cli.filing_text import print_records, print_sheet
from archiver.cli.parameters import (
    NamedChoice,
    ObjectName,
    ReadableFile,
    RecordedCode,
    RecordedText,
    day_option,
    file_name_to_record,
    json_option,
    reported_by_option,
)
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage
from archiver.filings.code_names import SCHEME_NAMES, STATE_NAMES, name_for_code
from archiver.naming.ref_names import RefName

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archiver.cli.console import Console
    from archiver.filings.due.deadlines import Deadline
    from archiver.filings.register import Filing


filing_command = command_group("Manage the register: facts, review status, and end of a filing.")


@command("List the filings with review status, number, and next deadline.")
@json_option
def _list_filings(session: Session, as_json: bool) -> None:
    """Print the filings by name, each with the company's next deadline; the regulator's deadlines do not count."""
    from archiver.filings.due.deadlines import compute_open_deadlines, is_company_duty

    filings = _read_filings(session)
    # Deadlines are sorted by date, so the first deadline of the company is the next one.
    next_deadline_by_filing = {
        filing.name: next(filter(is_company_duty, compute_open_deadlines([filing])), None) for filing in filings
    }
    console = session.console
    if as_json:
        filing_documents = []
        for filing in filings:
            next_deadline = next_deadline_by_filing[filing.name]
            next_due_json = {"next_due": next_deadline.due_on.isoformat() if next_deadline else None}
            filing_documents.append(_filing_to_dict(filing) | next_due_json)
        console.print_json(filing_documents)
    else:
        _print_filings(console, filings, next_deadline_by_filing)


def _print_filings(
    console: Console, filings: Sequence[Filing], next_deadline_by_filing: Mapping[RefName, Deadline | None]
) -> None:
    """Print the filings as a table in the given order, each with its next deadline."""
    filing_rows = []
    for filing in filings:
        next_deadline = next_deadline_by_filing[filing.name]
        filing_rows.append(
            (
                filing.name,
                console.translate(name_for_code(filing.state, STATE_NAMES)),
                filing.number or "-",
                filing.sheet_fields.get("responsible") or "-",
                f"{next_deadline.due_on.isoformat()} {console.translate(next_deadline.duty)}"
                if next_deadline
                else "-",
            )
        )
    console.print_table(
        (
            LazyMessage("Filing"),
            LazyMessage("Review status"),
            LazyMessage("Number"),
            LazyMessage("Responsible"),
            LazyMessage("Next due"),
        ),
        filing_rows,
    )


@command("Show a filing: facts, review status, notices, changes, and display checks.")
@click.argument("filing", type=ObjectName())
@click.option(
    "--at",
    "known_until",
    metavar="TIME",
    help=("Show the filing as recorded at this time (a date alone: the end of that day)."),
)
@json_option
def _show_filing(session: Session, filing: str, known_until: str | None, as_json: bool) -> None:
    """Print a filing with the records up to the time ``known_until``, or with all records if that is None.

    Raises NotFoundError for an unknown filing, and UsageError if ``known_until`` is not a time.
    """
    from archiver.store.resolve import find_filing

    filing_name = find_filing(session.open_archive(), filing)
    (shown_filing,) = _read_filings(session, known_until, filing_name)
    if as_json:
        session.console.print_json(_filing_to_dict(shown_filing))
    else:
        print_sheet(session.console, shown_filing)
        print_records(session.console, shown_filing)


def _read_filings(
    session: Session, known_until: str | None = None, only_filing_name: RefName | None = None
) -> list[Filing]:
    """Return the filings sorted by name: all filings with materials, or only the filing ``only_filing_name``.

    A filing without any record is returned as a draft.  ``known_until`` is a time as the user typed it; later
    records are ignored.  None: no record is ignored.  Raises UsageError if ``known_until`` is not a time.
    """
    from archiver import clock
    from archiver.filings.register import Filing, filings_from_events

    archive_index = session.open_archive().index
    newest_record_time = clock.format_time(session.parse_time(known_until)) if known_until else ""
    filing_by_name = filings_from_events(archive_index.life_events(only_filing_name, newest_record_time))
    if only_filing_name is None:
        filing_names = {submission.filing for submission in archive_index.submissions()}
    else:
        filing_names = {only_filing_name}
    return [filing_by_name.get(filing_name) or Filing(filing_name) for filing_name in sorted(filing_names)]


def _filing_to_dict(filing: Filing) -> dict[str, Any]:
    """Convert a filing, with records in journal order, to a dict for ``--json``, whose keys must never change.

    Days are ISO 8601.  Only a filing with corrected records has the member ``corrected``.
    """
    from archiver.filings.register_codes import FIELDS

    return {
        "filing": filing.name,
        "state": filing.state,
        "state_on": _format_day(filing.state_on),
        "portal_text": filing.portal_text,
        **{field_name: filing.sheet_fields.get(field_name) for field_name in FIELDS},
        "ended": _format_day(filing.ended_on),
        "submitted": [
            {
                "tag": submission_record.tag,
                "version": submission_record.version,
                "kind": submission_record.kind,
                "on": _format_day(submission_record.submitted_on),
            }
            for submission_record in filing.submissions
        ],
        "checks": [
            {
                "status": review_check.status,
                "on": _format_day(review_check.seen_on),
                "portal_text": review_check.portal_text,
                "evidence": review_check.evidence_name,
                "by": review_check.user,
            }
            for review_check in filing.review_checks
        ],
        "notices": [
            {"number": notice.number, "kind": notice.kind, "answer": notice.answer_submission}
            for notice in filing.notices
        ],
        "changes": [
            {
                "number": change.number,
                "first": _format_day(change.first_changed_on),
                "material": change.is_material,
            }
            for change in filing.change_questions
        ],
        "displays": [
            {
                "source": display_check.source,
                "on": _format_day(display_check.checked_on),
                "number": display_check.number_found,
                "link": display_check.link_found,
                "problem": display_check.problem,
            }
            for display_check in filing.display_checks
        ],
    } | (
        {"corrected": [record_to_json(record) for record in filing.corrected_records]}
        if filing.corrected_records
        else {}
    )


def _format_day(day: date | None) -> str | None:
    """Return ``day`` in ISO 8601, or None if the day is unknown (None)."""
    return None if day is None else day.isoformat()


@command("Record facts about a filing, and its review status; each change is recorded in the journal.")
@click.argument("filing", type=ObjectName())
@click.option("--company", type=RecordedText(), metavar="NAME", help="Company that files.")
@click.option("--responsible", type=RecordedText(), metavar="NAME", help="Person who is reminded of deadlines.")
@click.option(
    "--manager",
    type=RecordedText(),
    metavar="NAME",
    help=(
        "Approving manager, who is also reminded, 1 working day before the deadline and when items are overdue."
    ),
)
@click.option("--algorithm", type=RecordedText(), metavar="NAME", help="Algorithm name, as entered on the portal.")
@click.option("--category", type=RecordedText(), metavar="TEXT", help="Algorithm type, as entered on the portal.")
@click.option(
    "--scheme",
    type=NamedChoice(SCHEME_NAMES),
    metavar="SCHEME",
    help="Scheme under which the algorithm is filed.",
)
@click.option(
    "--product", "products", type=RecordedText(), multiple=True, metavar="NAME", help="Product name; repeatable."
)
@click.option("--number", type=RecordedText(), metavar="NO", help="Filing number, once issued.")
@click.option("--force", is_flag=True, help="Accept a number in an unknown format; requires --reason.")
@click.option("--reason", type=RecordedText(), metavar="TEXT", help="Reason for the unknown number format.")
@day_option("--issued-on", "issued_on", "Date on which the number was issued.")
@click.option("--published-at", type=RecordedText(), metavar="URL", help="URL of the regulator's publication.")
@day_option("--service-start", "service_start", "Date on which the company's service started.")
@day_option("--service-end", "service_end", "Date on which the company's service ends.")
@click.option(
    "--status",
    type=RecordedCode(STATE_NAMES),
    metavar="STATUS",
    help=("Review status shown on the portal; the end of the filing is recorded only by archiver filing end."),
)
@click.option("--portal-text", type=RecordedText(), metavar="TEXT", help="Review status on the portal, verbatim.")
@day_option("--on", "checked_on", "Date on which the review status was checked (default: today).")
@click.option("--evidence", type=ReadableFile(), metavar="FILE", help="Screenshot, stored with the record.")
@reported_by_option("Name of the person reporting this, recorded in addition to the login name.")
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
    **sheet_options: str | date | None,
) -> None:
    """Journal the values of the typed options; options that were not typed change nothing.

    ``sheet_options`` are the options for the fields of the sheet, by the field's name; the value of an option that
    was not typed is None.  Raises UsageError for ``--force`` without ``--reason`` and for values that cannot be
    recorded, and NotFoundError for an unknown filing.
    """
    from archiver.actions.filing_actions import UpdateFiling

    reason_for_force = session.require_reason_for_force(force, reason)
    changed_fields: dict[str, Any] = {
        field_name: typed_value.isoformat() if isinstance(typed_value, date) else typed_value
        for field_name, typed_value in sheet_options.items()
        if typed_value is not None
    }
    if products:
        changed_fields["products"] = list(products)
    update_result = session.perform(
        UpdateFiling(
            filing_name=filing,
            changed_fields=changed_fields,
            review_status=status,
            portal_wording=portal_text,
            checked_on=checked_on,
            screenshot_name=file_name_to_record(evidence),
            number_override_reason=reason_for_force,
            reported_by=reported_by,
        ),
        evidence,
    )
    session.console.info("Updated the record of {filing}.", filing=update_result["filing"])
    if status in ("deregistered", "revoked", "withdrawn"):
        session.console.info(
            "Retention cannot end before the end of the filing is recorded. To record the end, run: archiver "
            "filing end {filing!q} --on DATE --reason TEXT",
            filing=update_result["filing"],
        )


@command("Record the end of a filing; retention then counts from the time of this record too.")
@click.argument("filing", type=ObjectName())
@day_option("--on", "ended_on", "Date on which the filing ended, for information only.", required=True)
@click.option("--reason", type=RecordedText(), required=True, help="Reason for the end, recorded in the journal.")
@reported_by_option("Name of the person reporting this, recorded in addition to the login name.")
def _end_filing(session: Session, filing: str, ended_on: date, reason: str, reported_by: str | None) -> None:
    from archiver.actions.filing_actions import EndFiling

    end_result = session.perform(
        EndFiling(filing_name=filing, ended_on=ended_on, reason=reason, reported_by=reported_by)
    )
    session.console.info(
        "Recorded the end of {filing}. Retention counts from now too, and the latest end applies; the next "
        "submission makes the filing live again.",
        filing=end_result["filing"],
    )


for _name, _command in (
    ("list", _list_filings),
    ("show", _show_filing),
    ("set", _update_filing),
    ("end", _end_filing),
):
    filing_command.add_command(_command, _name)
