"""Sign the current state of the archive: on request, and after every act with legal effect."""

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
class SignArchive(Request):
    """A request to sign the current state of the archive."""


@action("checkpoint")
def sign_archive(context: ActionContext, _: SignArchive) -> dict[str, Any]:
    """Sign a checkpoint, and request a time-stamp for it if an authority is configured.

    The result holds the witness line (``line``), the time in the authority's token (``proven``, RFC 3339 in UTC,
    None without a token), and the reason why the authority gave none (``problem``, else None). If the
    authority fails, the checkpoint is valid without a token, and the daemon requests one later.

    Raises Busy if another process keeps writing, and StorageError if the archive cannot be signed or written.
    """
    checkpoint = make_checkpoint(context.archive, context.lock_timeout)
    witness_line = str(make_witness(context.archive, checkpoint))
    result: dict[str, Any] = {"line": witness_line, "proven": None, "problem": None}
    if context.config.timestamp_url:
        try:
            token_event = request_timestamp.request_and_journal_token(
                context.archive, context.config.timestamp_url, context.lock_timeout
            )
            result["proven"] = TimestampReceived.from_details(token_event.details).time
        except ArchiverError as error:
            result["problem"] = error.message
    return result


def sign_checkpoint(context: ActionContext) -> LazyMessage | None:
    """Sign a checkpoint after a journalled act; return the reason if signing fails, else None.

    Never raises ArchiverError: the act is journalled and cannot be undone, so the command must not report a
    failure.
    """
    try:
        make_checkpoint(context.archive, context.lock_timeout)
    except ArchiverError as error:
        return error.message
    return None
