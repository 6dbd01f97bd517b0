"""Sign the current state of the archive: on request, and after every act with legal effect.

A *checkpoint* is a signed event of the journal. Its *witness line* is a short text which proves later that the
archive continues from this checkpoint. A *token* is the signed time of a timestamp authority (RFC 3161).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Request
from archiver.errors import ArchiverError, LazyMessage
from archiver.evidence import request_timestamp
from archiver.evidence.checkpoint import make_checkpoint, make_witness
from archiver.store.events.evidence_events import TimestampReceived


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCheckpoint(Request):
    """A request to sign a checkpoint of the archive, and to request a timestamp."""


@action("checkpoint")
def make_checkpoint_with_token(context: ActionContext, _: MakeCheckpoint) -> dict[str, Any]:
    """Sign a checkpoint and, if a timestamp authority is configured, request a token for the checkpoint.

    Returns ``line``, the witness line; ``proven``, the time in the token (RFC 3339 in UTC, None without a token);
    and ``problem``, the reason why the token could not be obtained or journalled (None without a failure). The
    checkpoint is valid without a token, and the daemon requests a missing token later.

    Raises Busy if another process keeps writing, and StorageError if the archive cannot be signed or written.
    """
    checkpoint = make_checkpoint(context.archive, context.lock_timeout)
    witness_line = str(make_witness(context.archive, checkpoint))
    checkpoint_result: dict[str, Any] = {"line": witness_line, "proven": None, "problem": None}
    if context.config.timestamp_url:
        try:
            token_event = request_timestamp.request_and_journal_token(
                context.archive, context.config.timestamp_url, context.lock_timeout
            )
            checkpoint_result["proven"] = TimestampReceived.from_details(token_event.details).time
        except ArchiverError as error:
            checkpoint_result["problem"] = error.message
    return checkpoint_result


def try_make_checkpoint(context: ActionContext) -> LazyMessage | None:
    """Sign a checkpoint after another action; return the reason if that fails, and None if it succeeds.

    Never raises ArchiverError: the other action is journalled and cannot be undone, so the user's command must not
    fail.
    """
    try:
        make_checkpoint(context.archive, context.lock_timeout)
    except ArchiverError as error:
        return error.message
    return None
