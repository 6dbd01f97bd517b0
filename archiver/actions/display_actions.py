"""Check that the company's pages display the filing number and the link, and keep the pages as evidence."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.filing_actions import make_record_context
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import LazyMessage, UsageError
from archiver.filings.fetch import MAX_PAGE_BYTES, PageUnreachable, fetch_page
from archiver.filings.public_display import check_display_page
from archiver.filings.register import Filing, filings_from_events
from archiver.store import names
from archiver.store.events.attached_files import EVIDENCE
from archiver.store.events.filing_events import DisplayChecked
from archiver.store.resolve import find_filing
from archiver.store.writing.drafts import Draft


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckDisplay(Request):
    """A request to check the pages that must display a filing's number."""

    filing_name: Annotated[str, Argument("filing", TextRule.LOOKED_UP)]
    #: File name of a saved page, which is sent as the attachment. None: fetch the pages named in the settings.
    page_name: Annotated[str | None, Argument("page", TextRule.NAMES_ATTACHMENT)] = None


@action("display-check")
def check_display(context: ActionContext, request: CheckDisplay) -> dict[str, Any]:
    """Look for the filing number and the link on each page, and journal the results with the pages.

    Returns ``filing``, the name of the filing, and ``pages``, the results of ``_journal_page_check`` in the order
    of the settings. A page that cannot be fetched has a result too.

    Raises NotFoundError for an unknown filing, and UsageError if the filing has no number, if neither the request
    nor the settings name a page, or if the saved page is too large; nothing is journalled then. Raises Busy or
    StorageError if a result cannot be journalled; earlier results stay journalled.
    """
    filing_name = find_filing(context.archive, request.filing_name)
    filing = make_record_context(context, None).read_filing(filing_name)
    if not filing.number:
        raise UsageError(
            "{filing} has no filing number. Nothing was recorded. To record the number, run: archiver filing set "
            "{filing!q} --number NO --issued-on DATE",
            filing=filing_name,
        )
    if request.page_name is not None and context.attachment:
        return {"filing": filing_name, "pages": [_check_saved_page(context, filing, request.page_name)]}
    page_addresses = _find_page_addresses(context, filing_name)
    if not page_addresses:
        raise UsageError(
            "{filing} has no page to check. Nothing was recorded. Add the company's pages to the configuration "
            'file ([filings."{filing}"] pages = ["https://..."]), or name a saved page with --page FILE.',
            filing=filing_name,
        )
    return {
        "filing": filing_name,
        "pages": [_check_fetched_page(context, filing, page_address) for page_address in page_addresses],
    }


def check_due_displays(context: ActionContext) -> None:
    """Check each page of a filed filing that is due for a check, and journal the results.

    A page is due if it was never checked, or if the last check was at least ``display.every_days`` days ago. The
    caller must not call this function if ``display.every_days`` is 0, which switches the checks off.

    Raises Busy or StorageError if a result cannot be journalled; earlier results stay journalled.
    """
    today = clock.today(context.config.zone)
    for filing in filings_from_events(context.archive.index.life_events()).values():
        if filing.state != "filed" or not filing.number:
            continue
        last_check_day_by_source = {check.source: check.checked_on for check in filing.display_checks}
        for page_address in _find_page_addresses(context, filing.name):
            last_check_day = last_check_day_by_source.get(page_address)
            if last_check_day is None or (today - last_check_day).days >= context.config.desk.display_check_days:
                _check_fetched_page(context, filing, page_address)


def _find_page_addresses(context: ActionContext, filing_name: str) -> tuple[str, ...]:
    """Return the addresses of the company's pages that the settings name for a filing; empty if there are none."""
    # The settings have the folder's name as Python decodes file names in this locale, which may not be UTF-8.
    filing_settings = context.config.filings.get(os.fsdecode(filing_name.encode("utf-8")))
    return filing_settings.display_pages if filing_settings else ()


def _check_saved_page(context: ActionContext, filing: Filing, page_name: str) -> dict[str, Any]:
    """Check the attached page, journal the result, and return the result.

    Raises UsageError if the page exceeds ``MAX_PAGE_BYTES``, the limit for fetched pages; nothing is journalled
    then.
    """
    assert context.attachment is not None  # checked by the caller
    # Reading one byte more than the limit is enough to recognize a page that is too large.
    page_bytes = context.attachment.read(MAX_PAGE_BYTES + 1)
    if len(page_bytes) > MAX_PAGE_BYTES:
        raise UsageError(
            "{page} is larger than {size} MB. Nothing was recorded. Save the page without images and try again.",
            page=page_name,
            size=MAX_PAGE_BYTES >> 20,
        )
    page_file_name = names.name_as_text(os.fsencode(os.path.basename(page_name)))
    return _journal_page_check(context, filing, page_file_name, page_bytes, fetch_problem=None)


def _check_fetched_page(context: ActionContext, filing: Filing, page_address: str) -> dict[str, Any]:
    """Fetch a page, check it, journal the result, and return the result.

    If the page cannot be fetched, the result states the reason.
    """
    try:
        page = fetch_page(page_address, allow_private=context.config.desk.allow_private_addresses)
    except PageUnreachable as error:
        return _journal_page_check(context, filing, page_address, b"", fetch_problem=error.reason)
    return _journal_page_check(context, filing, page_address, page.body, fetch_problem=None)


def _journal_page_check(
    context: ActionContext,
    filing: Filing,
    page_source: str,
    page_bytes: bytes,
    *,
    fetch_problem: LazyMessage | None,
) -> dict[str, Any]:
    """Look for the filing number and the link in one page, journal the result, and return it.

    ``page_source`` is the address of the page, or the name of the saved file. ``fetch_problem`` is the reason why
    the page could not be fetched, or None; with a problem, ``page_bytes`` is empty, and nothing is found.

    Returns ``source``, ``number`` and ``link`` (True if found), and ``problem``. Raises Busy or StorageError if
    the result cannot be journalled.
    """
    page_check = check_display_page(filing, page_bytes)
    event_details = DisplayChecked(
        checked_on=clock.today(context.config.zone),
        source=page_source,
        number_found=page_check.number_found,
        link_found=page_check.link_found,
        problem=names.cut_text(str(fetch_problem)) if fetch_problem else "",
    )
    _append_page_check(context, filing.name, event_details, page_bytes if fetch_problem is None else None)
    return {
        "source": page_source,
        "number": page_check.number_found,
        "link": page_check.link_found,
        "problem": fetch_problem,
    }


def _append_page_check(
    context: ActionContext, filing_name: str, event_details: DisplayChecked, evidence_page: bytes | None
) -> None:
    """Append the event of a page check to the journal, with the checked page as evidence.

    ``evidence_page`` is None if there is no page. Raises Busy if the writer's lock is not free in time, and
    StorageError if the archive cannot be written.
    """
    attachments = {} if evidence_page is None else {f"{EVIDENCE}.html": io.BytesIO(evidence_page)}
    with context.archive.writing(context.lock_timeout) as writer:
        writer.append(Draft(filing_name, event_details, attachments))
