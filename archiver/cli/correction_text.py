"""Show records and their corrections, as text and as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.model import Correction, LifeEvent, Version


def describe_changes(console: Console, changes: Iterable[tuple[str, Any, Any]]) -> str:
    """Return the changes of a correction in one line.

    ``changes`` are tuples of a member's name, the old value, and the new value.
    """
    from archiver.filings.record_corrections import field_name, format_value

    return console.join(
        f"{field_name(name)} {format_value(old_value)} -> {format_value(new_value)}"
        for name, old_value, new_value in changes
    )


def print_corrections(console: Console, seq: int, action: str, corrections: Iterable[Correction]) -> None:
    """Print a line for each correction of the record in event number ``seq``, with author and reason.

    ``action`` is the action of that event.
    """
    from archiver.filings.code_names import RECORD_NAMES, name_for_code

    for correction in corrections:
        console.info(
            "Event {seq} corrects event {corrects} ({kind}): {changes}. By {user}: {reason}",
            seq=correction.seq,
            corrects=seq,
            kind=name_for_code(action, RECORD_NAMES),
            changes=LazyMessage("void") if correction.is_void else describe_changes(console, correction.changes),
            user=correction.by or correction.user,
            reason=correction.reason,
        )


def corrections_to_json(corrections: Iterable[Correction]) -> list[dict[str, Any]]:
    """Convert corrections to dicts for ``--json``, whose keys must never change; times are RFC 3339 in UTC."""
    from archiver.filings.record_corrections import field_name

    return [
        {
            "seq": correction.seq,
            "at": correction.at,
            "user": correction.user,
            "by": correction.by,
            "reason": correction.reason,
            "void": correction.is_void,
            "changes": [
                {"field": field_name(change.name), "old": change.old, "new": change.new}
                for change in correction.changes
            ],
        }
        for correction in corrections
    ]


def print_submission_corrections(console: Console, version: Version) -> None:
    """Print the corrections of all submissions of a version, including void submissions."""
    from archiver.store.events.event_kinds import Action

    for submission_record in version.submitted:
        print_corrections(console, submission_record.seq, Action.SUBMIT, submission_record.corrections)


def record_to_json(record: LifeEvent) -> dict[str, Any]:
    """Convert a correctable record to a dict for ``--json``, whose keys must never change.

    The member ``fields`` has the values after all corrections.
    """
    from archiver.filings.record_corrections import field_name
    from archiver.store.events.corrections import correctable_values

    values = correctable_values(record.action, record.details)
    return {
        "seq": record.seq,
        "at": record.at,
        "filing": record.filing,
        "kind": record.action,
        "user": record.user,
        "fields": {field_name(name): value for name, value in values.items()},
        "void": record.is_void,
        "corrections": corrections_to_json(record.corrections),
    }
