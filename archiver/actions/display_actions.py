"""Looking whether the company's pages display the filing number."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from typing import Any

from archiver import clock
from archiver.actions.context import FILE, NAME, Action, ActionContext
from archiver.actions.filing_actions import record_context
from archiver.errors import Phrase, UsageProblem
from archiver.filings import records
from archiver.filings.fetch import LARGEST_BYTES, Unreachable, fetch
from archiver.filings.public_display import look
from archiver.filings.register import Filing, register
from archiver.store import names
from archiver.store.resolve import find_filing
from archiver.store.writer import Draft


def _display_check(context: ActionContext, filing: str, page: str | None) -> dict[str, Any]:
    archive, config = context.archive, context.config
    name = find_filing(archive, filing)
    known = record_context(context, None).filing(name)
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
    details = {
        "on": clock.today(context.config.zone).isoformat(),
        "source": source,
        "number_found": shown.number,
        "link_found": shown.link,
        "problem": str(problem) if problem else "",
    }
    attached = {} if problem else {f"{records.EVIDENCE}.html": io.BytesIO(data)}
    with context.archive.writing(context.wait_seconds) as writer:
        writer.append(Draft("display-check", filing.name, details, attached))
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


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "display-check": (_display_check, {"filing": NAME, "page": FILE}),
}
