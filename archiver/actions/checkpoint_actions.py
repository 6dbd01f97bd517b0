"""Signs the present state of the archive: on request, and after every act with legal effect."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Request
from archiver.errors import ArchiverError, LazyMessage
from archiver.evidence import request_timestamp
from archiver.evidence.checkpoint import make_checkpoint, witness_of
from archiver.store.events.evidence_events import TimestampReceived


@dataclass(frozen=True, slots=True, kw_only=True)
class SignArchive(Request):
    """A signature over the present state of the archive."""


@action("checkpoint")
def sign_archive(context: ActionContext, _: SignArchive) -> dict[str, Any]:
    """Sign a checkpoint, request a time-stamp if an authority is configured, and return the witness line.

    An authority that fails is reported in the answer: the signature stands without its token, and the daemon asks
    again later.  Raises StorageError if the archive cannot be written.
    """
    event = make_checkpoint(context.archive, context.lock_timeout)
    answer: dict[str, Any] = {"line": str(witness_of(context.archive, event)), "proven": None, "problem": None}
    if context.config.timestamp_url:
        try:
            token_event = request_timestamp.journal_token(
                context.archive, context.config.timestamp_url, context.lock_timeout
            )
            answer["proven"] = TimestampReceived.from_details(token_event.details).time
        except ArchiverError as error:
            answer["problem"] = error.message
    return answer


def sign_checkpoint(context: ActionContext) -> LazyMessage | None:
    """Sign a checkpoint after a journalled act, and return the problem if signing fails.

    The act cannot be taken back, so a missing signature is reported and never raised.
    """
    try:
        make_checkpoint(context.archive, context.lock_timeout)
    except ArchiverError as error:
        return error.message
    return None
