"""Placing and lifting holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver.actions.context import MAYBE, MAYBE_NAME, NAME, TEXT, Action, ActionContext
from archiver.retention import holds
from archiver.store.resolve import find_object


def _hold_place(context: ActionContext, name: str, target: str, reason: str, by: str | None) -> dict[str, Any]:
    held = find_object(context.archive, target)
    return {"object": holds.place(context.archive, name, held, reason, by, context.wait_seconds).object}


def _hold_lift(
    context: ActionContext, name: str, target: str | None, reason: str, by: str | None
) -> dict[str, Any]:
    held = None if target is None else find_object(context.archive, target)
    lifted = holds.lift(context.archive, name, held, reason, by, context.wait_seconds)
    return {"objects": [event.object for event in lifted]}


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "hold-place": (_hold_place, {"name": TEXT, "target": NAME, "reason": TEXT, "by": MAYBE}),
    "hold-lift": (_hold_lift, {"name": TEXT, "target": MAYBE_NAME, "reason": TEXT, "by": MAYBE}),
}
