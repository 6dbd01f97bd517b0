"""The life of a filing: its sheet, notices, decisions, its end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver import clock
from archiver.actions.context import FILE, MAYBE, NAME, TEXT, Action, ActionContext
from archiver.errors import UsageProblem
from archiver.filings import end_of_filing, records
from archiver.filings.register import register
from archiver.filings.typed_days import day_of
from archiver.store import names
from archiver.store.resolve import find_filing, find_submission


def record_context(context: ActionContext, file: str | None) -> records.RecordContext:
    """Return what a record of a filing needs, with the file that was sent along."""
    paper = records.NoticePaper(file, context.attachment) if file is not None and context.attachment else None
    return records.RecordContext(context.archive, context.wait_seconds, clock.today(context.config.zone), paper)


def _filing_set(
    context: ActionContext,
    filing: str,
    fields: dict[str, Any],
    status: str | None,
    portal_text: str | None,
    on: str | None,
    evidence: str | None,
    force: str | None,
    by: str | None,
) -> dict[str, Any]:
    found = find_filing(context.archive, filing)
    fields = {name: _kept(name, value) for name, value in fields.items()}
    records.set_sheet(
        record_context(context, evidence),
        found,
        fields,
        status=status,
        portal_text=portal_text,
        on=day_of(on) if on else None,
        forced=force,
        by=by,
    )
    return {"filing": found}


def _kept(name: str, value: Any) -> Any:
    """A field of the sheet in the form that is journalled; raises UsageProblem.

    What is no text is left as it is: its kind is checked, and refused, with the others.
    """
    if isinstance(value, list):
        return [names.typed(each, name) if isinstance(each, str) else each for each in value]
    return names.typed(value, name) if isinstance(value, str) else value


def _filing_end(context: ActionContext, filing: str, on: str, reason: str, by: str | None) -> dict[str, Any]:
    found = find_filing(context.archive, filing)
    event = end_of_filing.end(context.archive, found, day_of(on), reason, by, context.wait_seconds)
    return {"filing": event.object}


def _notice_add(
    context: ActionContext,
    filing: str,
    kind: str,
    received: str,
    due: str | None,
    days: int | None,
    issuer: str,
    document: str,
    owner: str,
    file: str | None,
    by: str | None,
) -> dict[str, Any]:
    found = find_filing(context.archive, filing)
    number = records.add_notice(
        record_context(context, file),
        found,
        kind,
        day_of(received),
        due=day_of(due) if due else None,
        days=days,
        issuer=issuer,
        document=document,
        owner=owner,
        by=by,
    )
    return {"filing": found, "number": number}


def _notice_answer(
    context: ActionContext, number: int, submission: str, on: str | None, by: str | None
) -> dict[str, Any]:
    archive = context.archive
    notice = records.find_notice(archive, number)
    found = find_submission(archive, submission)
    filing = register(archive.index.life(notice.filing))[notice.filing]
    handed_in = [each for each in filing.submitted if each.tag.startswith(f"{found}/")]
    if found.filing != notice.filing or not handed_in:
        raise UsageProblem(
            "{submission} was not handed in for {filing}, so it cannot answer notice {number}. Nothing was "
            "recorded. Record the handing-in first: archiver submit {submission!q} --on DATE",
            submission=str(found),
            filing=notice.filing,
            number=number,
        )
    day = day_of(on) if on else handed_in[-1].on
    records.answer_notice(record_context(context, None), number, str(found), day, by)
    return {"filing": notice.filing, "submission": str(found), "on": day.isoformat()}


def _change_decide(
    context: ActionContext, number: int, material: bool, reason: str, by: str | None
) -> dict[str, Any]:
    question = records.decide(record_context(context, None), number, material, reason, by)
    return {"filing": question.filing}


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "filing-set": (
        _filing_set,
        {
            "filing": NAME,
            "fields": (dict,),
            "status": MAYBE,
            "portal_text": MAYBE,
            "on": MAYBE,
            "evidence": FILE,
            "force": MAYBE,
            "by": MAYBE,
        },
    ),
    "filing-end": (_filing_end, {"filing": NAME, "on": TEXT, "reason": TEXT, "by": MAYBE}),
    "notice-add": (
        _notice_add,
        {
            "filing": NAME,
            "kind": TEXT,
            "received": TEXT,
            "due": MAYBE,
            "days": (int, type(None)),
            "issuer": TEXT,
            "document": TEXT,
            "owner": TEXT,
            "file": FILE,
            "by": MAYBE,
        },
    ),
    "notice-answer": (_notice_answer, {"number": (int,), "submission": NAME, "on": MAYBE, "by": MAYBE}),
    "change-decide": (_change_decide, {"number": (int,), "material": (bool,), "reason": TEXT, "by": MAYBE}),
}
