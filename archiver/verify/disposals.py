"""Checking disposals: each step by the rules, and nothing gone that a version needs."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from archiver import clock
from archiver.errors import Phrase
from archiver.profiles import FLOOR_YEARS
from archiver.store.events.actions import Action
from archiver.store.events.attached_files import CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, PLAN_FILE
from archiver.store.events.event_details import present
from archiver.store.events.retention_events import DisposalApproved, DisposalCertified, DisposalPlanned
from archiver.verify.expected import DisposalPlan, JournalEntry, JournalState, RetentionSpan
from archiver.verify.findings import VerifyReport
from archiver.verify.sshsig import is_signature_of

#: The number of a disposal without a certificate.
UNFINISHED = "A054"
_APPROVALS = 2
_DISPOSED = "{count} content objects were disposed of under certificate {name}"
#: Three calendar years have at least so many days.
_FLOOR_DAYS = 365 * FLOOR_YEARS


def check_disposal(entry: JournalEntry, history: JournalState, report: VerifyReport) -> None:
    """Take one step of a disposal into ``history``; raises KeyError and ValueError for what is no event."""
    event = entry.event
    name, details = event["object"], event["details"]
    if event["action"] == Action.DISPOSE_PLAN:
        if name in history.plans:
            raise ValueError(f"{name} was planned before")
        history.plans[name] = _planned(entry, report)
        return
    plan = history.plans[name]
    if event["action"] == Action.DISPOSE_APPROVE:
        approved = DisposalApproved.from_details(details)
        if event["actor"]["uid"] != plan.uid and present(approved.plan_sha256, "plan_sha256") == plan.sha256:
            plan.approvals.setdefault(event["actor"]["uid"], event["clock"]["time"])
            history.unproven_approvals.append((name, event["actor"]["uid"]))
    elif event["action"] == Action.DISPOSE_BEGIN:
        _check_begin(event, plan, history, report)
        plan.begun = True
        if twice := history.disposed & set(plan.versions):
            raise ValueError(f"{min(twice)} was disposed of before")
        history.disposed |= set(plan.versions)
        history.gone |= dict.fromkeys(plan.objects, name)
        _check_needed(name, plan, history, report)
    elif event["action"] == Action.DISPOSE_CERTIFY:
        plan.certified = True
        kept = present(DisposalCertified.from_details(details).kept, "kept")
        for sha256 in kept:
            history.gone.pop(sha256, None)
        _check_certificate(entry, plan, set(kept), history, report)


def _planned(entry: JournalEntry, report: VerifyReport) -> DisposalPlan:
    event, document = entry.event, json.loads(entry.read(PLAN_FILE))
    what = {"versions": document["versions"], "objects": document["objects"]}
    text = json.dumps(what, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
    details = DisposalPlanned.from_details(event["details"])
    if hashlib.sha256(text.encode("utf-8")).hexdigest() != details.plan_sha256:
        report.add("A055", event["object"], "its plan is not the one that was approved")
    return DisposalPlan(
        event["actor"]["uid"],
        details.plan_sha256,
        list(document["versions"]),
        dict(document["objects"]),
        details.cooling_off_days,
    )


def _check_begin(event: dict[str, Any], plan: DisposalPlan, history: JournalState, report: VerifyReport) -> None:
    name, now = event["object"], clock.parse(event["clock"]["time"])
    if len(plan.approvals) < _APPROVALS:
        report.add("A055", name, f"{len(plan.approvals)} approvals by others than the planner")
    else:
        allowed = max(map(clock.parse, plan.approvals.values())) + timedelta(days=plan.cooling_off_days)
        if now < allowed:
            report.add("A055", name, f"it began before its cooling-off was over, {clock.stamp(allowed)}")
    for tag in plan.versions:
        captured = history.captured.get(tag)
        if captured is None or now - clock.parse(captured) < timedelta(days=_FLOOR_DAYS):
            report.add("A056", tag, f"captured {captured}, disposed of at {event['clock']['time']}")
        filing, submission, _ = tag.split("/")
        for hold, held in history.holds:
            if held in (tag, filing, f"{filing}/{submission}"):
                report.add("A056", tag, f"it was held: {hold}")


def _check_needed(name: str, plan: DisposalPlan, history: JournalState, report: VerifyReport) -> None:
    for sha256 in plan.objects:
        for span in history.spans.get(sha256, ()):
            until = span.until or history.numbers[span.branch] + 1
            prefix = span.branch.removeprefix("refs/heads/filings/")
            tags = (f"{prefix}/v{number}" for number in range(span.first, until))
            if needed := next((tag for tag in tags if tag not in history.disposed), None):
                report.add("A057", sha256, f"{name} destroyed it, but {needed} needs it")


def _check_certificate(
    entry: JournalEntry, plan: DisposalPlan, kept: Collection[str], history: JournalState, report: VerifyReport
) -> None:
    event, data = entry.event, entry.read(CERTIFICATE_FILE)
    certificate = json.loads(data)
    listed = {each["sha256"]: each["destroyed"] for each in certificate["objects"]}
    if not is_signature_of(data, entry.read(CERTIFICATE_SIGNATURE_FILE), history.key):
        report.add("A054", event["object"], "its signature is not valid")
    if listed != {sha256: sha256 not in kept for sha256 in plan.objects}:
        report.add("A054", event["object"], "it does not list what was planned")


def check_outcome(present: set[str], history: JournalState, report: VerifyReport) -> None:
    """What is gone is explained by a certificate, and what a certificate calls gone is gone."""
    counted: dict[str, int] = {}
    for sha256, name in history.gone.items():
        if not history.plans[name].certified:
            continue
        if sha256 in present:
            report.add("A058", sha256, name)
        else:
            counted[name] = counted.get(name, 0) + 1
    for name, plan in history.plans.items():
        if plan.begun and not plan.certified:
            report.add(UNFINISHED, name, "it was begun and not finished; finish it with archiver dispose run")
    for name, count in counted.items():
        report.note(name, Phrase(_DISPOSED, count=count, name=name))


def follow(
    branch: str, number: int, lines: list[dict[str, Any]], planned: Collection[str], history: JournalState
) -> None:
    """Note where planned content begins and ends to be held; before the changes are taken in."""
    history.numbers[branch] = number
    state = history.states.get(branch, {})
    for line in lines:
        left = line.get("from") or (line["path"] if line["op"] in ("delete", "modify") else None)
        held = state.get(left, (None, 0))[0] if left is not None else None
        for span in history.spans.get(held or "", ()):
            if (span.branch, span.path, span.until) == (branch, left, None):
                span.until = number
    for line in lines:
        sha256 = str(line.get("sha256") or "") if line["op"] != "delete" else ""
        if sha256 in planned:
            history.spans.setdefault(sha256, []).append(RetentionSpan(branch, line["path"], number))
        if sha256:
            # The same bytes came in again: from now on they have to be there.
            history.gone.pop(sha256, None)
