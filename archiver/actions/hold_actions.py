"""Places and lifts holds: named reasons not to dispose of something, whatever the date."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.retention import holds
from archiver.store.resolve import find_object


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceHold(Request):
    """A hold on a filing, a submission or a version."""

    hold_name: Annotated[str, Argument("name")]
    #: A filing, a submission or a version's tag.
    target: Annotated[str, Argument("target", TextRule.LOOKED_UP)]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LiftHold(Request):
    """The end of a hold, on a single object or on all of them."""

    hold_name: Annotated[str, Argument("name")]
    #: None: everything that the hold is on.
    target: Annotated[str | None, Argument("target", TextRule.LOOKED_UP)] = None
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@action("hold-place")
def place_hold(context: ActionContext, request: PlaceHold) -> dict[str, Any]:
    """Place a hold, and return the object on hold.

    Raises NotFoundError for an unknown object, UsageError for a name or reason that says nothing, or a hold of
    this name that the object has already.
    """
    event = holds.place_hold(
        context.archive,
        request.hold_name,
        find_object(context.archive, request.target),
        request.reason,
        request.reported_by,
        context.lock_timeout,
    )
    return {"object": event.object}


@action("hold-lift")
def lift_hold(context: ActionContext, request: LiftHold) -> dict[str, Any]:
    """Lift a hold, and return the objects set free.

    Raises NotFoundError for an unknown object or where no such hold is in force, UsageError without a reason.
    """
    events = holds.lift_hold(
        context.archive,
        request.hold_name,
        None if request.target is None else find_object(context.archive, request.target),
        request.reason,
        request.reported_by,
        context.lock_timeout,
    )
    return {"objects": [event.object for event in events]}
