"""Collect the events of a batch, which become durable together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from archiver import __version__, clock
from archiver.errors import UsageError
from archiver.model import Actor, Attachment, Change, Event
from archiver.store.event_decoding import GENESIS_DIGEST, parse_event
from archiver.store.events import event_files
from archiver.store.events.digests import name_algorithm
from archiver.store.events.event_details import WritableDetails
from archiver.store.events.event_files import BodyFields, EventFiles
from archiver.store.journal import compute_compliance_time
from archiver.store.writing.chain_heads import ChainHeads


class PreparedEvent(NamedTuple):
    """An event that has no commit yet."""

    files: EventFiles
    #: The event as it will be read from ``files``, with an empty ``commit``.
    event: Event


class EventBatch:
    """The events of a batch, which become durable together and have the same time."""

    def __init__(
        self, newest: Event | None, reading: clock.ClockReading, chain_heads: ChainHeads, actor: Actor
    ) -> None:
        """Begin a batch after ``newest``, the newest event of the journal; None in a new archive.

        ``reading`` is the time of all events in the batch, and ``actor`` is the user for whom they are written.
        :meth:`advance_chain` changes ``chain_heads``.
        """
        self.newest = newest
        self.reading = reading
        self.chain_heads = chain_heads
        self.events: list[Event] = []
        #: The changes to materials in each event; only an event that captures a version has any.
        self.changes: list[Sequence[Change]] = []
        #: The object id of each moved ref before the batch, by the ref's full name.
        self.old_oids: dict[str, str] = {}
        self._actor = {"uid": actor.uid, "user": actor.user, "program": f"archiver {__version__}"}

    @property
    def seconds(self) -> int:
        """Return the time of the batch's commits, in seconds since 1970."""
        return int(self.reading.wall.timestamp())

    def prepare_event(
        self,
        object_name: str,
        details: WritableDetails,
        refs: Mapping[str, str],
        attachments: Sequence[Attachment],
        proven: datetime | None,
    ) -> PreparedEvent:
        """Encode the next event of the journal, and return it without a commit; :meth:`add` appends it later.

        ``refs`` has the new object ids of the refs that the event moves.  ``proven`` is a time that a timestamp
        authority vouches for, if any.  Raises UsageError for an event that could not be read back, because an
        event can never be removed from the journal.
        """
        newest, details_json = self.newest, details.to_details()
        compliance_time = compute_compliance_time(newest, self.reading)
        try:
            position, event_class = self.chain_heads.place_event(details.action, object_name, details_json)
            body = event_files.encode_body(
                BodyFields(
                    action=details.action.value,
                    object=object_name,
                    details=details_json,
                    actor=self._actor,
                    refs=dict(refs),
                    attachments=tuple((item.name, item.sha256, item.size) for item in attachments),
                )
            )
            visible = event_files.encode_visible(
                seq=1 if newest is None else newest.seq + 1,
                at=clock.format_time(self.reading.wall),
                clock=clock.make_evidence(max(compliance_time, proven or compliance_time), self.reading),
                prev=GENESIS_DIGEST if newest is None else newest.sha256,
                position=position,
                event_class=event_class,
                body=body,
            )
            return PreparedEvent(EventFiles(visible, body), parse_event(visible, "", body))
        except ValueError as error:
            raise UsageError(
                "The journal event {action} cannot be recorded because it would not be readable ({reason}). "
                "Nothing was recorded.",
                action=details.action.value,
                reason=error,
            ) from None

    def add(self, event: Event, changes: Sequence[Change], old_oids: Mapping[str, str]) -> None:
        """Append an event; ``old_oids`` has the object ids, before the event, of the refs that the event moves."""
        self.events.append(event)
        self.changes.append(changes)
        self.newest = event
        for ref, oid in old_oids.items():
            # Keep the first object id: a second version of a submission in the same batch moves its branch again.
            self.old_oids.setdefault(ref, oid)

    def advance_chain(self, event: Event) -> None:
        """Make ``event`` the newest of its chain, before a head is signed or the next event is prepared."""
        self.chain_heads.advance(event.chain, event.chain_number, name_algorithm("sha256", event.sha256))

    def new_oids(self) -> dict[str, str]:
        """Return the object id of each moved ref after the batch.

        Each ref occurs once, even if several events move it, because git moves a ref only once in a transaction.
        """
        return {ref: oid for event in self.events for ref, oid in event.refs.items()}
