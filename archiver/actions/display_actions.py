"""Checks that the company's pages display the filing number and the link, and keeps the pages as evidence."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.filing_actions import record_context
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import LazyMessage, UsageError
from archiver.filings.fetch import LARGEST_BYTES, PageUnreachable, fetch_page
from archiver.filings.public_display import check_page
from archiver.filings.register import Filing, register
from archiver.store import names
from archiver.store.events.attached_files import EVIDENCE
from archiver.store.events.filing_events import DisplayChecked
from archiver.store.resolve import find_filing
from archiver.store.writer import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDisplay(Request):
    """A look at the pages on which a filing's number must stand."""

    filing: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    #: A saved page that is sent along; None: fetch the company's pages that the settings name.
    page_name: Annotated[str | None, Argument("page", TextRule.NAMES_ATTACHMENT)] = None


@action("display-check")
def check_display(context: ActionContext, request: CheckDisplay) -> dict[str, Any]:
    """Look for the filing number and the link on each page, and journal the results with the pages.

    A page that cannot be fetched is a result too.  Raises NotFoundError for an unknown filing, UsageError if the
    filing has no number, no page is named, or the saved page is too large.
    """
    filing_name = find_filing(context.archive, request.filing)
    filing = record_context(context, None).read_filing(filing_name)
    if not filing.number:
        raise UsageError(
            "{filing} has no filing number yet, so there is nothing to look for. Nothing was recorded. Record it "
            "with: archiver filing set {filing!q} --number NO --issued-on DATE",
            filing=filing_name,
        )
    if request.page_name is not None and context.attachment:
        return {"filing": filing_name, "pages": [_check_saved_page(context, filing, request.page_name)]}
    addresses = _display_addresses(context, filing_name)
    if not addresses:
        raise UsageError(
            "{filing} has no page to look at. Nothing was recorded. Name the company's own pages in the settings: "
            '[filings."{filing}"] pages = ["https://..."], or give a saved page with --page FILE',
            filing=filing_name,
        )
    return {"filing": filing_name, "pages": [_check_address(context, filing, address) for address in addresses]}


def check_displays(context: ActionContext) -> None:
    """Check the pages of filed filings whose last check is ``display.every_days`` old."""
    today = clock.today(context.config.zone)
    for filing in register(context.archive.index.life()).values():
        if filing.state != "filed" or not filing.number:
            continue
        last_checks = {check.source: check.on for check in filing.displays}
        for address in _display_addresses(context, filing.name):
            last_check = last_checks.get(address)
            if last_check is None or (today - last_check).days >= context.config.desk.display_days:
                _check_address(context, filing, address)


def _display_addresses(context: ActionContext, filing_name: str) -> tuple[str, ...]:
    """Return the addresses of the company's pages for a filing, from the settings."""
    settings = context.config.filings.get(os.fsdecode(filing_name.encode("utf-8")))
    return settings.pages if settings else ()


def _check_saved_page(context: ActionContext, filing: Filing, page_name: str) -> dict[str, Any]:
    """Check the attached page.

    The limit is that of a fetched page.  Raises UsageError if it is larger.
    """
    assert context.attachment is not None
    data = context.attachment.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise UsageError(
            "{page} is larger than {size} MB. Nothing was recorded. Save the page without its pictures.",
            page=page_name,
            size=LARGEST_BYTES >> 20,
        )
    return _record_check(context, filing, names.text(os.fsencode(os.path.basename(page_name))), data, None)


def _check_address(context: ActionContext, filing: Filing, address: str) -> dict[str, Any]:
    """Fetch and check a page; a failure to fetch is recorded with the reason."""
    try:
        page = fetch_page(address, allow_private=context.config.desk.allow_private)
    except PageUnreachable as error:
        return _record_check(context, filing, address, b"", error.reason)
    return _record_check(context, filing, address, page.data, None)


def _record_check(
    context: ActionContext, filing: Filing, source: str, data: bytes, problem: LazyMessage | None
) -> dict[str, Any]:
    """Journal the result of one check with the page as evidence, if fetched, and return the result."""
    display = check_page(filing, data)
    details = DisplayChecked(
        checked_on=clock.today(context.config.zone),
        source=source,
        number_found=display.number,
        link_found=display.link,
        problem=str(problem) if problem else "",
    )
    attachments = {} if problem else {f"{EVIDENCE}.html": io.BytesIO(data)}
    with context.archive.writing(context.lock_timeout) as writer:
        writer.append(Draft(filing.name, details, attachments))
    return {"source": source, "number": display.number, "link": display.link, "problem": problem}
