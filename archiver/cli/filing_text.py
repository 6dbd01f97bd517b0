"""Print the records about a filing, for ``archiver filing show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiver.cli.correction_text import print_corrections
from archiver.errors import LazyMessage
from archiver.filings.code_names import (
    FIELD_NAMES,
    NOTICE_KIND_NAMES,
    SCHEME_NAMES,
    STATE_NAMES,
    SUBMISSION_KIND_NAMES,
    name_for_code,
)

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.filings.register import Filing


def print_sheet(console: Console, filing: Filing) -> None:
    """Print the sheet of a filing: the name, the review status, and each descriptive field with a value."""
    console.print_line(filing.name)
    _print_fact(console, LazyMessage("Review status"), _describe_state(filing))
    for field_name, label in FIELD_NAMES.items():
        field_value = filing.sheet_fields.get(field_name)
        if isinstance(field_value, list):
            field_value = console.join(field_value)
        if field_value:
            is_code = field_name == "scheme"
            _print_fact(console, label, name_for_code(field_value, SCHEME_NAMES) if is_code else field_value)


def _describe_state(filing: Filing) -> LazyMessage:
    """Return the review status, with the day and the portal's own words if these are recorded."""
    return LazyMessage(
        "{state}{day}{portal}",
        state=name_for_code(filing.state, STATE_NAMES),
        day=LazyMessage(" ({day})", day=filing.state_on) if filing.state_on else "",
        portal=LazyMessage(", on the portal: {text}", text=filing.portal_text) if filing.portal_text else "",
    )


def _print_fact(console: Console, label: LazyMessage, value: LazyMessage | str) -> None:
    """Print a line of the sheet, even if the console is quiet."""
    console.print_line(console.translate(LazyMessage("  {label}: {value}", label=label, value=value)))


def print_records(console: Console, filing: Filing) -> None:
    """Print the filing's records by kind, in the order of the journal; of the display checks, only the last."""
    for submission_record in filing.submissions:
        console.info(
            "  Submitted on {on}: {tag} ({kind})",
            on=submission_record.submitted_on,
            tag=submission_record.tag,
            kind=name_for_code(submission_record.kind, SUBMISSION_KIND_NAMES),
        )
    for notice in filing.notices:
        console.info(
            "  Notice {number} ({kind}), received on {on}: {answer}",
            number=notice.number,
            kind=name_for_code(notice.kind, NOTICE_KIND_NAMES),
            on=notice.received_on,
            answer=LazyMessage("answered by {submission}", submission=notice.answer_submission)
            if notice.answer_submission
            else LazyMessage("not answered yet"),
        )
    for change in filing.change_questions:
        console.info(
            "  Change {number}, first found on {on}: {decision}",
            number=change.number,
            on=change.first_changed_on,
            decision=_describe_decision(change.is_material),
        )
    for record in filing.corrected_records:
        print_corrections(console, record.seq, record.action, record.corrections)
    for display_check in filing.display_checks[-1:]:
        is_displayed = not display_check.problem and display_check.number_found and display_check.link_found
        console.info(
            "  Display checked on {on}: {result}",
            on=display_check.checked_on,
            result=LazyMessage("number and link found")
            if is_displayed
            else LazyMessage("number or link not found"),
        )


def _describe_decision(is_material: bool | None) -> LazyMessage:
    """Return a phrase for the decision on a change.  None means that nobody has decided yet."""
    if is_material is None:
        return LazyMessage("not decided yet")
    return LazyMessage("material") if is_material else LazyMessage("not material")
