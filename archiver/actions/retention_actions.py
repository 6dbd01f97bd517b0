"""Accept the retention in the settings that nobody has accepted yet.

A retention in the settings applies only as long as it stays in the settings. An accepted retention is a promise in
the journal, and nothing can shorten the promise. So people must accept exactly the retention that they were shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.config.settings import Config
from archiver.errors import UsageError
from archiver.retention.promise_effects import compute_effects
from archiver.retention.promises import (
    RetentionItem,
    WaitingPromise,
    check_typed_years,
    find_waiting_promise,
    needs_typed_years,
)
from archiver.store.archive import Archive
from archiver.store.creation.first_events import draft_promises


@dataclass(frozen=True, slots=True, kw_only=True)
class ShowWaitingRetention(Request):
    """A request to describe the retention that waits for acceptance. Nothing is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptRetention(Request):
    """A request to accept the waiting retention, exactly as it was shown to the caller."""

    #: The ``promise`` in the description that was shown to the caller: it identifies the waiting retention.
    promise_id: Annotated[str, Argument("promise", TextRule.LOOKED_UP)]
    #: The longest waiting period in years, as typed by the caller; None if the caller did not type a number.
    typed_years: Annotated[int | None, Argument("years")] = None


@action("retention-waiting")
def show_waiting_retention(context: ActionContext, _: ShowWaitingRetention) -> dict[str, Any]:
    """Describe the retention that waits for acceptance; see :func:`describe_waiting_retention` for the result."""
    return describe_waiting_retention(context.archive, context.config)


@action("retention-accept")
def accept_retention(context: ActionContext, request: AcceptRetention) -> dict[str, Any]:
    """Journal the configured retention that nobody has accepted yet, in one batch.

    Returns ``events``, the numbers of the new events. The list is empty if no retention waits any more.

    Raises UsageError if the waiting retention has changed since it was shown to the caller, or if the typed years
    are missing or wrong. Nothing is recorded then.
    """
    archive = context.archive
    with archive.writing(context.lock_timeout) as writer:
        # Read after the lock is held: from now on, nobody else can accept a retention.
        waiting_promise = find_waiting_promise(context.config, archive.index.retention_promises())
        if waiting_promise is None:
            return {"events": []}
        _check_shown_promise(waiting_promise, request.promise_id)
        check_typed_years(waiting_promise, request.typed_years)
        events = writer.write_batch(draft_promises(waiting_promise.draft_events()))
    return {"events": [event.seq for event in events]}


def _check_shown_promise(waiting_promise: WaitingPromise, shown_promise_id: str) -> None:
    """Raise UsageError if the waiting retention is not the retention with the id ``shown_promise_id``."""
    if shown_promise_id != waiting_promise.promise_id:
        raise UsageError(
            "The retention that waits for acceptance has changed since it was shown. Nothing was recorded. To see "
            "it again, run: archiver retention show"
        )


def describe_accepted_retention(archive: Archive) -> list[dict[str, Any]]:
    """Describe each accepted retention, for people and for ``--json``.

    Besides ``kind``, ``scope``, ``years`` and ``timezone``, each description has the number of the journal event
    with the promise (``event``), the time of the event (``at``, RFC 3339 in UTC), and the user who accepted the
    retention (``user``).
    """
    return [
        {
            **RetentionItem(promise.kind, promise.name, promise.years).as_json(),
            "event": promise.seq,
            "at": promise.accepted_at,
            "user": promise.user,
        }
        for promise in archive.index.accepted_promises()
    ]


def describe_waiting_retention(archive: Archive, config: Config) -> dict[str, Any]:
    """Describe the retention in ``config`` that nobody has accepted yet, for people and for ``--json``.

    Returns ``promise``, the id with which it can be accepted (None if nothing waits); ``longest_years``, the
    longest waiting period in years (0 without a waiting period); ``needs_years``, True if the person who accepts
    has to type these years; and ``waiting``, a list of the waiting items. Each item has ``kind``, ``scope``,
    ``years`` and ``timezone``; ``versions`` and ``bytes``, the number and the total size of the versions that it
    retains longer; and ``retained_through``, the last day of their retention (ISO 8601, None without a date).
    """
    accepted_promises = archive.index.retention_promises()
    waiting_promise = find_waiting_promise(config, accepted_promises)
    if waiting_promise is None:
        return {"promise": None, "longest_years": 0, "needs_years": False, "waiting": []}
    effects = compute_effects(archive.index, waiting_promise, config, accepted_promises, archive.compliance_time())
    return {
        "promise": waiting_promise.promise_id,
        "longest_years": waiting_promise.longest_years,
        "needs_years": needs_typed_years(waiting_promise),
        "waiting": [
            {
                **effect.item.as_json(),
                "versions": effect.version_count,
                "bytes": effect.byte_count,
                "retained_through": effect.retained_through.isoformat() if effect.retained_through else None,
            }
            for effect in effects
        ],
    }
