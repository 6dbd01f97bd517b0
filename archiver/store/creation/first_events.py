"""Draft the events with which an archive begins."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import IO

from archiver.store.archive_format import state_format
from archiver.store.events.archive_events import ArchiveCreated, RetentionPromised
from archiver.store.events.attached_files import SIGNERS_FILE
from archiver.store.events.capture_events import WatchPathChanged
from archiver.store.writing.drafts import Draft


def draft_promises(promised: Iterable[RetentionPromised]) -> list[Draft]:
    """Return a draft of the event for each promise of retention; the caller writes all of them in one batch."""
    return [Draft("retention", promise) for promise in promised]


def draft_first_events(
    created: ArchiveCreated,
    signers: IO[bytes],
    attachments: Mapping[str, bytes],
    promised: Iterable[RetentionPromised],
) -> list[Draft]:
    """Return the drafts of the events with which a new archive begins, for one batch.

    ``created`` are the details of the first event.  ``signers`` is the file ``allowed_signers``, open for reading,
    and ``attachments`` are the bytes of the other attachments by their names.  ``promised`` are the promises of
    retention beyond that of ``created``.
    """
    # Every inspection package contains the first event, but the path of the watched folder must not be in every
    # package: that path has a separate event.
    first_event = replace(created, watch=None)
    attached_streams = {name: io.BytesIO(data) for name, data in attachments.items()}
    drafts = [
        Draft("archive", first_event, {SIGNERS_FILE: signers, **attached_streams}),
        Draft("archive", state_format()),
    ]
    if created.watch:
        drafts.append(Draft("watch", WatchPathChanged(old_path="", new_path=created.watch)))
    return drafts + draft_promises(promised)
