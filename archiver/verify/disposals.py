"""Checking disposals: every step follows the rules, and no version lacks needed content."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence, Set
from datetime import timedelta
from typing import Any

from archiver import clock
from archiver.errors import LazyMessage
from archiver.profiles import FLOOR_YEARS
from archiver.store.events.attached_files import CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, PLAN_FILE
from archiver.store.events.event_details import require_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.retention_events import DisposalApproved, DisposalCertified, DisposalPlanned
from archiver.verify.expected import DisposalPlan, HoldingSpan, JournalEntry, JournalState
from archiver.verify.findings import VerifyReport, verbatim
from archiver.verify.sshsig import is_signature_of

#: The code of a disposal without a valid certificate, which one that is under way has not either.
UNFINISHED = "A054"
_REQUIRED_APPROVALS = 2
_DISPOSED = LazyMessage.define(
    "{count} content objects were disposed of under certificate {name}",
    singular="{count} content object was disposed of under certificate {name}",
    code="note.disposed",
)
_TOO_FEW = LazyMessage.define(
    "{count} approvals by others than the planner", singular="{count} approval by others than the planner"
)
#: The least number of days that three calendar years have. No profile may be shorter, so anything disposed of
#: earlier breaks the rules, whatever the settings were at that time.
_FLOOR_DAYS = 365 * FLOOR_YEARS


def check_disposal(entry: JournalEntry, state: JournalState, report: VerifyReport) -> None:
    """Check a step of a disposal, and apply the step to ``state``.

    Raises KeyError or ValueError if the event lacks a member, or does not fit the steps before.
    """
    event = entry.event
    disposal, details = event["object"], event["details"]
    if event["action"] == Action.DISPOSE_PLAN:
        if disposal in state.disposal_plans:
            raise ValueError(f"{disposal} was planned before")
        state.disposal_plans[disposal] = _read_plan(entry, report)
        return
    plan = state.disposal_plans[disposal]
    if event["action"] == Action.DISPOSE_APPROVE:
        approval = DisposalApproved.from_details(details)
        # The planner's own approval and one of another plan are allowed, but do not count.
        uid = event["actor"]["uid"]
        if uid != plan.planner_uid and require_member(approval.plan_sha256, "plan_sha256") == plan.plan_sha256:
            plan.approval_times.setdefault(uid, event["clock"]["time"])
            state.unproven_approvals.append((disposal, uid))
    elif event["action"] == Action.DISPOSE_BEGIN:
        _check_preconditions(event, plan, state, report)
        plan.is_begun = True
        if disposed_twice := state.disposed_tags & set(plan.version_tags):
            raise ValueError(f"{min(disposed_twice)} was disposed of before")
        state.disposed_tags |= set(plan.version_tags)
        state.destroyed_content |= dict.fromkeys(plan.object_sizes, disposal)
        _check_content_unneeded(disposal, plan, state, report)
    elif event["action"] == Action.DISPOSE_CERTIFY:
        plan.is_certified = True
        kept_content = require_member(DisposalCertified.from_details(details).kept, "kept")
        for sha256 in kept_content:
            state.destroyed_content.pop(sha256, None)
        _check_certificate(entry, plan, set(kept_content), state, report)


def _read_plan(entry: JournalEntry, report: VerifyReport) -> DisposalPlan:
    """Return the plan in an event, and report a plan document with another digest than the event names.

    The approvals name this digest, so another document would be one that nobody approved.
    """
    event, document = entry.event, json.loads(entry.read_attachment(PLAN_FILE))
    approved_part = {"versions": document["versions"], "objects": document["objects"]}
    text = json.dumps(approved_part, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
    details = DisposalPlanned.from_details(event["details"])
    if hashlib.sha256(text.encode("utf-8")).hexdigest() != details.plan_sha256:
        report.add_finding("A055", event["object"], LazyMessage("its plan is not the one that was approved"))
    return DisposalPlan(
        event["actor"]["uid"],
        details.plan_sha256,
        list(document["versions"]),
        dict(document["objects"]),
        details.cooling_off_days,
    )


def _check_preconditions(
    event: dict[str, Any], plan: DisposalPlan, state: JournalState, report: VerifyReport
) -> None:
    """Check approvals, cooling-off, floor of retention and holds at the beginning of a disposal.

    All times are those of the compliance clock, moved later by tokens, so no wall clock shortens a period.
    """
    disposal, now = event["object"], clock.parse(event["clock"]["time"])
    if len(plan.approval_times) < _REQUIRED_APPROVALS:
        detail = _TOO_FEW.with_fields(count=len(plan.approval_times))
        report.add_finding("A055", disposal, detail)
    else:
        last_approval = max(map(clock.parse, plan.approval_times.values()))
        earliest_begin = last_approval + timedelta(days=plan.cooling_off_days)
        if now < earliest_begin:
            time = clock.stamp(earliest_begin)
            detail = LazyMessage("it began before its cooling-off was over, {time}", time=time)
            report.add_finding("A055", disposal, detail)
    for tag in plan.version_tags:
        captured_at = state.capture_times.get(tag)
        if captured_at is None or now - clock.parse(captured_at) < timedelta(days=_FLOOR_DAYS):
            detail = LazyMessage(
                "captured {captured}, disposed of at {time}",
                captured=str(captured_at),
                time=event["clock"]["time"],
            )
            report.add_finding("A056", tag, detail)
        filing, submission, _ = tag.split("/")
        for hold, held_object in state.active_holds:
            if held_object in (tag, filing, f"{filing}/{submission}"):
                report.add_finding("A056", tag, LazyMessage("it was held: {hold}", hold=hold))


def _check_content_unneeded(disposal: str, plan: DisposalPlan, state: JournalState, report: VerifyReport) -> None:
    """Report destroyed content still needed by a version."""
    for sha256 in plan.object_sizes:
        for span in state.holding_spans.get(sha256, ()):
            end_version = span.end_version or state.newest_numbers[span.branch] + 1
            submission = span.branch.removeprefix("refs/heads/filings/")
            tags = (f"{submission}/v{number}" for number in range(span.first_version, end_version))
            needing_tag = next((tag for tag in tags if tag not in state.disposed_tags), None)
            if needing_tag is not None:
                detail = LazyMessage("{name} destroyed it, but {tag} needs it", name=disposal, tag=needing_tag)
                report.add_finding("A057", sha256, detail)


def _check_certificate(
    entry: JournalEntry, plan: DisposalPlan, kept_content: Set[str], state: JournalState, report: VerifyReport
) -> None:
    """Check that the certificate is signed, and lists the content of the plan as destroyed or kept."""
    event, certificate_data = entry.event, entry.read_attachment(CERTIFICATE_FILE)
    signature = entry.read_attachment(CERTIFICATE_SIGNATURE_FILE)
    is_destroyed = {item["sha256"]: item["destroyed"] for item in json.loads(certificate_data)["objects"]}
    if not is_signature_of(certificate_data, signature, state.current_signer):
        report.add_finding("A054", event["object"], LazyMessage("its signature is not valid"))
    if is_destroyed != {sha256: sha256 not in kept_content for sha256 in plan.object_sizes}:
        report.add_finding("A054", event["object"], LazyMessage("it does not list what was planned"))


def check_outcomes(require_member: Set[str], state: JournalState, report: VerifyReport) -> None:
    """Compare the present objects with the certificates, after the whole journal was read.

    Destroyed content that is absent becomes a note per disposal. Unfinished disposals are findings.
    """
    destroyed_counts: Counter[str] = Counter()
    for sha256, disposal in state.destroyed_content.items():
        if not state.disposal_plans[disposal].is_certified:
            continue
        if sha256 in require_member:
            report.add_finding("A058", sha256, verbatim(disposal))
        else:
            destroyed_counts[disposal] += 1
    for disposal, plan in state.disposal_plans.items():
        if plan.is_begun and not plan.is_certified:
            detail = LazyMessage("it was begun and not finished; finish it with archiver dispose run")
            report.add_finding(UNFINISHED, disposal, detail)
    for disposal, count in destroyed_counts.items():
        report.add_note(disposal, _DISPOSED.with_fields(count=count, name=disposal))


def track_content(
    branch: str,
    version_number: int,
    changes: Sequence[dict[str, Any]],
    planned_content: Collection[str],
    state: JournalState,
) -> None:
    """Track in which versions planned content is held, before the changes of a version are applied to ``state``.

    Content that comes in again after its destruction has to be present from now on.
    """
    state.newest_numbers[branch] = version_number
    materials = state.materials.get(branch, {})
    for change in changes:
        is_replaced = change["op"] in ("delete", "modify")
        left_path = change.get("from") or (change["path"] if is_replaced else None)
        left_content = materials.get(left_path, (None, 0))[0] if left_path is not None else None
        for span in state.holding_spans.get(left_content or "", ()):
            if (span.branch, span.path, span.end_version) == (branch, left_path, None):
                span.end_version = version_number
    for change in changes:
        added_content = str(change.get("sha256") or "") if change["op"] != "delete" else ""
        if added_content in planned_content:
            span = HoldingSpan(branch, change["path"], version_number)
            state.holding_spans.setdefault(added_content, []).append(span)
        if added_content:
            state.destroyed_content.pop(added_content, None)
