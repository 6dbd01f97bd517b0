"""Care of the archive itself: packing, replication, drills, notes in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver import clock
from archiver.actions.context import NAME, Action, ActionContext
from archiver.errors import UsageProblem
from archiver.restore import drill
from archiver.store import events, maintenance, names
from archiver.store.journal import canonical
from archiver.store.writer import Draft

#: A restore at a time may name thousands of versions.
_LARGEST_NOTE = 1 << 20
_NOTES = ("restore", "export", "protect")
#: What a person typed, among the details of a note; the rest are names of folders and versions.
_TYPED = frozenset({"recipient", "reason"})


def _drill(context: ActionContext, files: int) -> dict[str, Any]:
    done = drill.drill(context.archive, min(max(files, 1), 100_000), context.wait_seconds)
    return {"versions": sorted(done.versions), "files": done.files, "bytes": done.bytes}


def _maintain(context: ActionContext) -> dict[str, Any]:
    done = maintenance.maintain(context.archive, context.wait_seconds)
    return {"objects": done.objects, "packs": done.packs}


def _replica_sync(context: ActionContext) -> dict[str, Any]:
    from archiver.replica.connect import opened
    from archiver.replica.replicate import replicate
    from archiver.replica.sync import described

    archive, config = context.archive, context.config
    with opened(archive, config) as replica:
        policy, wait = context.rules.policy, context.wait_seconds
        done = replicate(archive, replica, policy, wait, progress=context.progress)
    return {
        "done": described(done),
        "sent": done.sent,
        "bytes": done.sent_bytes,
        "holds": done.holds,
        "deleted": done.deleted,
        "extended": [{"object": key, "until": clock.stamp(until)} for key, until in sorted(done.extended)],
        "locked": [{"sha256": sha256, "until": clock.stamp(until)} for sha256, until in sorted(done.locked)],
        "missing": done.missing,
    }


def _note(context: ActionContext, what: str, about: str, details: dict[str, Any]) -> dict[str, Any]:
    """Journal what somebody did who may not write the journal."""
    if what not in _NOTES:
        raise UsageProblem("There is no action {name}. Nothing was changed.", name=what[:100])
    events.check_values(details)
    for key in _TYPED & details.keys():
        if isinstance(details[key], str):
            details = {**details, key: names.typed(details[key], key)}
    if len(canonical(details)) > _LARGEST_NOTE:
        raise UsageProblem(
            "A note for the journal is longer than {longest} bytes. Nothing was changed.", longest=_LARGEST_NOTE
        )
    with context.archive.writing(context.wait_seconds) as writer:
        return {"seq": writer.append(Draft(what, about[:500], details)).seq}


#: Name -> what does it, and the arguments with their kinds.
ACTIONS: Mapping[str, tuple[Action, Mapping[str, tuple[type, ...]]]] = {
    "replica-sync": (_replica_sync, {}),
    "maintain": (_maintain, {}),
    "drill": (_drill, {"files": (int,)}),
    "note": (_note, {"what": NAME, "about": NAME, "details": (dict,)}),
}
