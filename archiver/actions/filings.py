"""What people at the desk do with a filing: its sheet, notices, decisions, the display, reminders."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

from archiver import clock, i18n
from archiver.actions.context import FILE, MAYBE, NAME, TEXT, Action, ActionContext
from archiver.errors import Phrase, UsageProblem
from archiver.filings import records
from archiver.filings.due import delivery
from archiver.filings.due.reminders import ReminderDigest, digests
from archiver.filings.fetch import LARGEST_BYTES, Unreachable, fetch
from archiver.filings.public_display import look
from archiver.filings.register import Filing, register
from archiver.filings.typed_days import day_of
from archiver.store import names
from archiver.store.events.attached_files import EVIDENCE
from archiver.store.events.filing_events import DisplayChecked, ReminderSent
from archiver.store.resolve import find_filing, find_submission
from archiver.store.writer import Draft

_REMINDERS = "reminders"


def _records(context: ActionContext, file: str | None) -> records.RecordContext:
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
        _records(context, evidence),
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
        _records(context, file),
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
    records.answer_notice(_records(context, None), number, str(found), day, by)
    return {"filing": notice.filing, "submission": str(found), "on": day.isoformat()}


def _change_decide(
    context: ActionContext, number: int, material: bool, reason: str, by: str | None
) -> dict[str, Any]:
    question = records.decide(_records(context, None), number, material, reason, by)
    return {"filing": question.filing}


def _display_check(context: ActionContext, filing: str, page: str | None) -> dict[str, Any]:
    archive, config = context.archive, context.config
    name = find_filing(archive, filing)
    known = _records(context, None).filing(name)
    if not known.number:
        raise UsageProblem(
            "{filing} has no filing number yet, so there is nothing to look for. Nothing was recorded. Record it "
            "with: archiver filing set {filing!q} --number NO --issued-on DATE",
            filing=name,
        )
    if page is not None and context.attachment:
        data = context.attachment.read(LARGEST_BYTES + 1)
        if len(data) > LARGEST_BYTES:
            raise UsageProblem(
                "{page} is larger than {size} MB. Nothing was recorded. Save the page without its pictures.",
                page=page,
                size=LARGEST_BYTES >> 20,
            )
        source = names.text(os.fsencode(os.path.basename(page)))
        return {"filing": name, "pages": [_record_page(context, known, source, data, None)]}
    settings = config.filings.get(os.fsdecode(name.encode("utf-8")))
    pages = settings.pages if settings else ()
    if not pages:
        raise UsageProblem(
            "{filing} has no page to look at. Nothing was recorded. Name the company's own pages in the settings: "
            '[filings."{filing}"] pages = ["https://..."], or give a saved page with --page FILE',
            filing=name,
        )
    return {"filing": name, "pages": [_look_at(context, known, address) for address in pages]}


def _look_at(context: ActionContext, filing: Filing, address: str) -> dict[str, Any]:
    try:
        page = fetch(address, allow_private=context.config.desk.allow_private)
    except Unreachable as trouble:
        return _record_page(context, filing, address, b"", trouble.reason)
    return _record_page(context, filing, address, page.data, None)


def _record_page(
    context: ActionContext, filing: Filing, source: str, data: bytes, problem: Phrase | None
) -> dict[str, Any]:
    shown = look(filing, data)
    details = DisplayChecked(
        checked_on=clock.today(context.config.zone),
        source=source,
        number_found=shown.number,
        link_found=shown.link,
        problem=str(problem) if problem else "",
    )
    attached = {} if problem else {f"{EVIDENCE}.html": io.BytesIO(data)}
    with context.archive.writing(context.wait_seconds) as writer:
        writer.append(Draft(filing.name, details, attached))
    return {"source": source, "number": shown.number, "link": shown.link, "problem": problem}


def check_displays(context: ActionContext) -> None:
    """Look at the pages of filed filings that were not looked at for ``display.every_days``."""
    archive, config = context.archive, context.config
    today = clock.today(config.zone)
    for filing in register(archive.index.life()).values():
        settings = config.filings.get(os.fsdecode(filing.name.encode("utf-8")))
        last = {each.source: each.on for each in filing.displays}
        for address in settings.pages if settings and filing.state == "filed" and filing.number else ():
            if address not in last or (today - last[address]).days >= config.desk.display_days:
                _look_at(context, filing, address)


def waiting(context: ActionContext) -> tuple[dict[str, list[str]], list[ReminderDigest]]:
    """Where reminders go, and what is to be sent now; raises ConfigProblem."""
    where = delivery.targets(context.config.desk.targets, os.environ)
    events = context.archive.index.life()
    today = clock.today(context.config.zone)
    return where, digests(register(events).values(), events, today, where)


def remind(context: ActionContext) -> dict[str, Any]:
    """Send what is due and was not sent; what could not be sent is tried again the next time."""
    where, messages = waiting(context)
    if not where:
        raise UsageProblem(
            "Nobody is named to be reminded. Nothing was sent. Set reminders.targets in the settings, or "
            "ARCHIVER_TARGET_OWNER in the environment."
        )
    speak = i18n.translator(context.config.lang or i18n.of_environment(os.environ))
    sent, failed = 0, []
    for message in messages:
        title = speak(Phrase("archiver: {count} matters need you", count=len(message.items)))
        if delivery.send(
            where[message.role][message.channel], title, "\n".join(speak(item.line) for item in message.items)
        ):
            _note_sent(context, message)
            sent += len(message.items)
        else:
            failed.append(f"{message.role} ({message.channel + 1})")
    return {"sent": sent, "failed": failed}


def _note_sent(context: ActionContext, message: ReminderDigest) -> None:
    items = [{"uid": item.uid, "step": item.step} for item in message.items]
    with context.archive.writing(context.wait_seconds) as writer:
        writer.append(
            Draft(_REMINDERS, ReminderSent(recipient=message.role, channel=message.channel, items=items))
        )


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
    "display-check": (_display_check, {"filing": NAME, "page": FILE}),
    "remind": (remind, {}),
}
