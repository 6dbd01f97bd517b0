"""Signing the archive as it stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver.actions.context import Action, ActionContext
from archiver.errors import ArchiverError, Phrase
from archiver.evidence import request_timestamp
from archiver.evidence.checkpoint import checkpoint, witness


def _checkpoint(context: ActionContext) -> dict[str, Any]:
    event = checkpoint(context.archive, context.wait_seconds)
    answer: dict[str, Any] = {"line": str(witness(context.archive, event)), "proven": None, "problem": None}
    if context.config.timestamp_url:
        try:
            stamped = request_timestamp.stamp(context.archive, context.config.timestamp_url, context.wait_seconds)
            answer["proven"] = stamped.details["time"]
        except ArchiverError as error:
            answer["problem"] = Phrase(error.template, **error.fields)
    return answer


def sign(context: ActionContext) -> Phrase | None:
    """A checkpoint after what matters; what was done stands without it too."""
    try:
        checkpoint(context.archive, context.wait_seconds)
    except ArchiverError as error:
        return Phrase(error.template, **error.fields)
    return None


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "checkpoint": (_checkpoint, {}),
}
