"""Which events an act must append, in which batches, or with which error it must be refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.model.reference import Materials, ReferencePlan, ReferenceVersion
from tests.model.retention_rules import (
    Selection,
    cooling_off_end,
    is_plan_unchanged,
    needed_objects,
)
from tests.model.world import COMMON, World

ARCHIVE, HOUSE = "archive", "house"
#: Stands for any error, or none.
ANY_ERROR = "*"
REFUSED = "RetentionRefused"


@dataclass(frozen=True)
class ExpectedEvent:
    """What an event must say; ``details`` need not name every member."""

    action: str
    object: str
    #: ``archive``, ``house``, or the name of a filing.
    chain: str
    details: Mapping[str, Any] = field(default_factory=dict)
    #: What a captured version must hold.
    materials: Materials | None = None
    #: The tags and objects of a disposal plan.
    plan: tuple[Sequence[str], Mapping[str, int]] | None = None


class Batch(NamedTuple):
    """Events that become durable together."""

    events: Sequence[ExpectedEvent]
    #: True if the key that the batch itself brings signs its head.
    is_signed_by_new_key: bool = False


class Expectation(NamedTuple):
    """What an act must do, unless it crashes: then some of the first batches count, each as a whole."""

    batches: Sequence[Batch] = ()
    #: The name of the error's class; empty without one.
    error: str = ""


def one_event(event: ExpectedEvent) -> Expectation:
    return Expectation([Batch([event])])


def refusal(command: str, error: str = REFUSED) -> Expectation:
    return Expectation([Batch([ExpectedEvent("refuse", command, HOUSE)])], error)


# --- versions and submissions


def expect_capture(world: World, submissions: Sequence[str], extra: Sequence[ExpectedEvent] = ()) -> Expectation:
    events = [*changed_versions(world, submissions), *extra]
    return Expectation([Batch(events)] if events else [])


def changed_versions(world: World, submissions: Sequence[str]) -> list[ExpectedEvent]:
    """Return the versions that a capture of these submissions makes."""
    versions = []
    for submission in submissions:
        materials, newest = world.materials_of(submission), world.state.newest(submission)
        is_first_material = newest is None and not any(materials.values())
        if not is_first_material and materials != (newest.materials if newest else {}):
            number = newest.number + 1 if newest else 1
            files = [file for file in materials.values() if file]
            versions.append(
                ExpectedEvent(
                    "capture",
                    f"{submission}/v{number}",
                    submission.split("/")[0],
                    {"version": number, "files": len(files), "bytes": sum(size for _, size in files)},
                    materials=materials,
                )
            )
    return versions


def expect_submit(
    world: World, submission: str, number: int, reason: str | None, *, captures_first: bool = False
) -> Expectation:
    """Of one version, complete unless a reason is given; it may be the one that a capture before makes."""
    state, batches = world.state, []
    captured: Sequence[ExpectedEvent] = []
    if captures_first:
        if state.watch_path != str(world.watch):
            batches.append(Batch([ExpectedEvent("watch-path", "watch", HOUSE, {"to": str(world.watch)})]))
        captured = changed_versions(world, [submission])
        batches += [Batch(captured)] if captured else []
    if captured and captured[0].object == f"{submission}/v{number}":
        tag, materials = captured[0].object, world.materials_of(submission)
    else:
        version = state.versions[f"{submission}/v{number}"]
        tag, materials = version.tag, version.materials
        if reason is None and not _is_complete(world, version):
            return Expectation(batches, "SubmissionRefused")
    if not world.is_key_usable():
        return Expectation(batches, "StorageError")
    count = sum(signed.rsplit("/", 1)[0] == submission for signed in state.signed_tags)
    signed_tag = f"{submission}/submitted" + (f"-{count + 1}" if count else "")
    filing = submission.split("/")[0]
    common = None if submission == f"{filing}/{COMMON}" else state.newest_tags.get(f"{filing}/{COMMON}")
    details = {"version": tag, "tag": signed_tag, "common": common, "manifest_sha256": manifest_digest(materials)}
    batches.append(Batch([ExpectedEvent("submit", signed_tag, filing, details)]))
    return Expectation([*batches, Batch([CHECKPOINT])])


def _is_complete(world: World, version: ReferenceVersion) -> bool:
    return bool(version.files) and all(map(world.has_content, version.objects))


def manifest_digest(materials: Materials) -> str:
    """Return the SHA-256 over one line of canonical JSON for each material, in the order of the raw paths."""
    lines = [
        {"path": path, "sha256": file[0] if file else None, "size": file[1] if file else 0}
        for path, file in sorted(materials.items(), key=lambda item: item[0].encode())
    ]
    text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
    return hashlib.sha256(text.encode()).hexdigest()


# --- holds, filings, and the clock

CHECKPOINT = ExpectedEvent("checkpoint", "journal", HOUSE)


def expect_checkpoint(world: World) -> Expectation:
    return one_event(CHECKPOINT) if world.is_key_usable() else Expectation(error="StorageError")


def expect_hold(world: World, name: str, held_object: str) -> Expectation:
    if (name, held_object) in world.state.holds:
        return Expectation(error="UsageError")
    return one_event(ExpectedEvent("hold", held_object, held_object.split("/")[0], {"name": name}))


def expect_lift(world: World, name: str, held_object: str | None) -> Expectation:
    holds = sorted(
        (placed, each, where)
        for (each, where), placed in world.state.holds.items()
        if each == name and held_object in (None, where)
    )
    events = [ExpectedEvent("lift", where, where.split("/")[0], {"name": name}) for _, _, where in holds]
    return Expectation([Batch([event]) for event in events], "" if events else "NotFoundError")


def expect_tick(world: World) -> Expectation:
    newest, reading = world.state.clock, world.reading
    is_day_old = reading["boottime_ns"] - int(newest["boottime_ns"]) > 86_400 * 10**9
    is_due = newest["boot_id"] != reading["boot_id"] or is_day_old
    return one_event(ExpectedEvent("tick", "clock", ARCHIVE)) if is_due else Expectation()


# --- keys and formats


def expect_new_key(world: World, *, is_old_key_lost: bool) -> Expectation:
    if not is_old_key_lost and not world.is_key_usable():
        return Expectation(error="StorageError")
    action = "key-replace" if is_old_key_lost else "key-rotate"
    events = upgrade_events(world) if is_old_key_lost else []
    events += [ExpectedEvent("key-reason", "key", HOUSE), ExpectedEvent(action, "key", ARCHIVE)]
    return Expectation([Batch(events, is_signed_by_new_key=is_old_key_lost)])


def expect_upgrade(world: World) -> Expectation:
    if world.state.format > 1:
        return Expectation()
    return (
        Expectation([Batch(upgrade_events(world))]) if world.is_key_usable() else Expectation(error="StorageError")
    )


def upgrade_events(world: World) -> list[ExpectedEvent]:
    if world.state.format > 1:
        return []
    counts = sorted((filing, len(events)) for filing, events in world.state.counted_events.items())
    return [
        ExpectedEvent("format", "archive", ARCHIVE, {"number": 2}),
        *(ExpectedEvent("earlier-events", filing, filing, {"count": count}) for filing, count in counts),
    ]


def expect_accepted_loss(world: World, *, is_journal_behind: bool = False) -> Expectation:
    """Expect an event that lists what the databases set aside prove, and an upgrade of an older format.

    What the newest event about a loss lists already, after a crash, needs no second event.  With
    ``is_journal_behind``, the refs have to be put right, and all events of ``world`` are whole.
    """
    if not world.set_aside and not is_journal_behind:
        return Expectation()
    state = world.state
    lost_versions = {
        tag: captured_at
        for history in world.set_aside
        for tag, (commit, captured_at) in history.versions.items()
        if tag not in state.versions or state.versions[tag].commit != commit
    }
    lost_records = {record for history in world.set_aside for record in history.records} - state.records
    listed: dict[str, Any] = {
        "lost_versions": [{"tag": tag, "captured_at": at} for tag, at in sorted(lost_versions.items())],
        "lost_records": [
            {"action": action, "object": about, "at": at} for action, about, at in sorted(lost_records)
        ],
    }
    if not is_journal_behind and (lost_versions or lost_records) and listed == state.accepted_loss:
        return Expectation()
    details = listed | {
        "last_event": state.seq,
        "lost_events": max([0, *(history.seq - state.seq for history in world.set_aside)]),
    }
    if not is_journal_behind:
        details |= {"lost_refs": {}, "restored_refs": []}
    return Expectation([Batch([ExpectedEvent("recover", "archive", HOUSE, details), *upgrade_events(world)])])


# --- disposals


def expect_plan(world: World, tags: Sequence[str]) -> Expectation:
    state = world.state
    considered = list(tags) or list(state.versions)
    if world.set_aside:
        return refusal("dispose plan")
    selection = Selection(state, considered, world.now, world.terms)
    if not selection.versions:
        is_anything_left = any(not state.versions[tag].disposed for tag in considered)
        return refusal("dispose plan", REFUSED if is_anything_left else "NotFoundError")
    events = []
    for seq, filing in enumerate(selection.filings, state.seq + 1):
        versions, objects = selection.plan_of(filing)
        details = {
            "of_filing": filing,
            "versions": len(versions),
            "objects": len(objects),
            "bytes": sum(objects.values()),
            "cooling_off_days": world.cooling_off_days,
        }
        events.append(ExpectedEvent("dispose-plan", f"D{seq}", filing, details, plan=(versions, objects)))
    return Expectation([Batch(events)])


def filing_of_plan(plan: ReferencePlan) -> str:
    return plan.filing if plan.filing is not None else min(plan.versions).split("/")[0]


def expect_approval(world: World, plan: ReferencePlan, uid: int) -> Expectation:
    is_refused = (
        bool(world.set_aside)
        or plan.is_begun
        or uid == plan.planner
        or uid in plan.approvals
        or not is_plan_unchanged(world.state, plan, world.now, world.terms)
    )
    if is_refused:
        return refusal("dispose approve")
    if not world.is_key_usable():
        return Expectation(error="StorageError")
    filing = filing_of_plan(plan)
    return one_event(ExpectedEvent("dispose-approve", plan.identity, filing, {"of_filing": filing}))


def expect_disposal(world: World, plan: ReferencePlan) -> Expectation:
    """Expect begin and certificate; a deletion that has begun is only finished."""
    state = world.state
    if world.set_aside or world.expected_findings() - {("A054", plan.identity)} or plan.is_certified:
        return refusal("dispose run")
    if not plan.is_begun:
        approvers = set(plan.approvals) - {plan.planner}
        is_allowed = (
            len(approvers) >= 2
            and world.now >= cooling_off_end(state, plan)
            and is_plan_unchanged(state, plan, world.now, world.terms)
        )
        if not is_allowed:
            return refusal("dispose run")
    if not world.is_key_usable():
        return Expectation(error="StorageError")
    filing = filing_of_plan(plan)
    needed = needed_objects(state, plan.versions)
    kept = [digest for digest in sorted(plan.objects) if digest in needed]
    begin = ExpectedEvent("dispose-begin", plan.identity, filing, {"versions": list(plan.versions)})
    certify = ExpectedEvent(
        "dispose-certify", plan.identity, filing, {"objects": len(plan.objects) - len(kept), "kept": kept}
    )
    steps = [certify] if plan.is_begun else [begin, certify]
    return Expectation([*(Batch([step]) for step in steps), Batch([CHECKPOINT])])
