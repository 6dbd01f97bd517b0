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
    """Return the events of a retention promise, for one batch."""
    return [Draft("retention", promise) for promise in promised]


def draft_first_events(
    created: ArchiveCreated,
    signers: IO[bytes],
    attachments: Mapping[str, bytes],
    promised: Iterable[RetentionPromised],
) -> list[Draft]:
    """Return the events of a new archive's first batch.

    ``signers`` is the open ``allowed_signers``, and ``attachments`` are the bytes of the other attachments by
    name.  ``promised`` is the retention beyond that of ``created``.
    """
    # The first event is in every package, so that the path of the watched folder has an event for itself.
    first_event = replace(created, watch=None)
    attached_streams = {name: io.BytesIO(data) for name, data in attachments.items()}
    drafts = [
        Draft("archive", first_event, {SIGNERS_FILE: signers, **attached_streams}),
        Draft("archive", state_format()),
    ]
    if created.watch:
        drafts.append(Draft("watch", WatchPathChanged(old_path="", new_path=created.watch)))
    return drafts + draft_promises(promised)
