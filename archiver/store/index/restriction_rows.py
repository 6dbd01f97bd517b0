"""Turn the events of restrictions, and of exports, into rows of ``index.db``.

The caller owns the transaction.  Each function raises ValueError if the event is malformed.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping

from archiver.model import Event
from archiver.store import names
from archiver.store.events.chain_rules import filing_of_event
from archiver.store.events.digests import parse_sha256
from archiver.store.events.event_details import FILING_MEMBER
from archiver.store.events.event_kinds import Action
from archiver.store.events.evidence_events import PackageExported
from archiver.store.events.restriction_events import FileRestricted, RestrictionLifted
from archiver.store.events.value_kinds import TEXTS


def _apply_restriction(database: sqlite3.Connection, event: Event) -> None:
    """Record a restriction. If the same one is in force already, nothing changes."""
    details = FileRestricted.from_details(event.details)
    database.execute(
        "insert or ignore into restrictions "
        '(seq, filing, path, sha256, reason, "by", user, at, lifted, lift_reason) '
        "values (?, ?, ?, ?, ?, ?, ?, ?, null, null)",
        (
            event.seq,
            filing_of_event(event.action, event.object, event.details),
            names.name_from_text(details.path),
            parse_sha256(details.digest),
            details.reason,
            details.reported_by,
            event.actor["user"] or str(event.actor["uid"]),
            event.at,
        ),
    )


def _apply_lifting(database: sqlite3.Connection, event: Event) -> None:
    """Record the end of a restriction. If it is not in force, nothing changes."""
    details = RestrictionLifted.from_details(event.details)
    database.execute(
        "update restrictions set lifted = ?, lift_reason = ? "
        "where filing = ? and path = ? and sha256 = ? and lifted is null",
        (
            event.at,
            details.reason,
            filing_of_event(event.action, event.object, event.details),
            names.name_from_text(details.path),
            parse_sha256(details.digest),
        ),
    )


def _apply_export(database: sqlite3.Connection, event: Event) -> None:
    """Record an export, with the names of the filings in the package; an empty list stands for all filings.

    An event that another program wrote may have other values in there: it is recorded as an export of all filings.
    """
    details = PackageExported.from_details(event.details)
    filing_name = event.details.get(FILING_MEMBER)
    # An event of format 2 is about one filing.  An event of the old format 1 has only the selected filings.
    filing_names = details.filings if TEXTS.accepts(details.filings) else ()
    if isinstance(filing_name, str):
        filing_names = [filing_name]
    database.execute(
        "insert into exports (seq, at, target, recipient, filings) values (?, ?, ?, ?, ?)",
        (
            event.seq,
            event.at,
            str(details.target or ""),
            str(details.recipient) if details.recipient else None,
            json.dumps(list(filing_names)),
        ),
    )


#: Action -> function that applies its event.
APPLY_BY_RESTRICTION_ACTION: Mapping[str, Callable[[sqlite3.Connection, Event], None]] = {
    Action.RESTRICT: _apply_restriction,
    Action.UNRESTRICT: _apply_lifting,
    Action.EXPORT: _apply_export,
}
