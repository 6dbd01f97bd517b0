"""Correct and void records of a filing; the journal keeps both the record and the correction."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from archiver.actions.context import ActionContext
from archiver.actions.filing_actions import clean_typed_value, make_record_context
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request
from archiver.errors import UsageError
from archiver.filings import record_corrections


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrectRecord(Request):
    """A request to replace fields of a record, or to void the record."""

    #: The number of the record's event, or of the event of an earlier correction of this record.
    seq: Annotated[int, Argument("event")]
    #: The new values as typed, by the name of the field. Products are a list of texts. Empty to void the record.
    typed_values: Annotated[Mapping[str, Any], Argument("fields")]
    is_void: Annotated[bool, Argument("void")]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@action("correct")
def correct_record(context: ActionContext, request: CorrectRecord) -> dict[str, Any]:
    """Correct or void a record.

    Returns ``filing``, the name of the filing; ``corrects``, the number of the record's event; ``seq``, the number
    of the correction's event; ``kind``, the action of the record's event; ``void``, True if the record is void
    now; and ``changes``, a list with ``field``, ``old`` and ``new`` of each changed field.

    Raises NotFoundError if there is no such event, and UsageError if the event is not a record, if the record is
    void, if the record cannot have a field or a value, or if the reason is blank. Nothing is journalled then.
    """
    if bool(request.typed_values) == request.is_void:
        raise UsageError(
            "A correction needs either --set FIELD=VALUE or --void. Nothing was recorded. Choose one of them."
        )
    record_context = make_record_context(context, None)
    if request.is_void:
        correction = record_corrections.void_record(
            record_context, request.seq, request.reason, request.reported_by
        )
    else:
        typed_values = {name: clean_typed_value(name, value) for name, value in request.typed_values.items()}
        correction = record_corrections.correct_record(
            record_context, request.seq, typed_values, request.reason, request.reported_by
        )
    return {
        "filing": correction.record.filing,
        "corrects": correction.record.seq,
        "seq": correction.seq,
        "kind": correction.record.action,
        "void": request.is_void,
        "changes": [
            {"field": record_corrections.field_name(change.name), "old": change.old, "new": change.new}
            for change in correction.changes
        ],
    }
