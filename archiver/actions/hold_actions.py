"""Place and lift holds.

A hold is a named reason not to dispose of a filing, a submission or a version, whatever its retention period.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.retention import holds
from archiver.store.resolve import resolve_object_name


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold(Request):
    """A request to place a hold."""

    hold_name: Annotated[str, Argument("name")]
    #: Name of a filing or of a submission (FILING/SUBMISSION), or the tag of a version.
    held_object_name: Annotated[str, Argument("target", TextRule.LOOKED_UP)]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftHold(Request):
    """A request to lift a hold."""

    hold_name: Annotated[str, Argument("name")]
    #: The filing, submission or version to release. None: everything that the hold covers.
    held_object_name: Annotated[str | None, Argument("target", TextRule.LOOKED_UP)] = None
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@action("hold-place")
def place_hold(context: ActionContext, request: PlaceHold) -> dict[str, Any]:
    """Place a hold; return the name of the object on hold, spelled as in the journal (``object``).

    Raises NotFoundError for an unknown object, and UsageError if the name or the reason is blank, the name is too
    long or not printable, or a hold of this name is already on the object. Nothing is journalled then.
    """
    hold_event = holds.place_hold(
        context.archive,
        request.hold_name,
        resolve_object_name(context.archive, request.held_object_name),
        request.reason,
        request.reported_by,
        context.lock_timeout,
    )
    return {"object": hold_event.object}


@action("hold-lift")
def lift_hold(context: ActionContext, request: LiftHold) -> dict[str, Any]:
    """Lift a hold; return the names of the released objects, spelled as in the journal (``objects``).

    Raises NotFoundError for an unknown object or if no such hold is in force, and UsageError for a blank name or
    reason. Nothing is journalled then.
    """
    held_object_name = request.held_object_name
    lift_events = holds.lift_hold(
        context.archive,
        request.hold_name,
        None if held_object_name is None else resolve_object_name(context.archive, held_object_name),
        request.reason,
        request.reported_by,
        context.lock_timeout,
    )
    return {"objects": [lift_event.object for lift_event in lift_events]}
