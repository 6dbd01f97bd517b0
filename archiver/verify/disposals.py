"""Check disposals: every step follows the rules, and no content was destroyed that a version still needs.

A disposal destroys the content of versions whose retention has ended. Its steps are a plan, approvals by two other
users, a cooling-off period of some days, the beginning, and a signed certificate that lists what was destroyed.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence, Set
from datetime import timedelta
from typing import Any

from archiver import clock
from archiver.errors import LazyMessage
from archiver.naming.ref_names import RefName
from archiver.profiles import FLOOR_YEARS
from archiver.store.events.attached_files import CERTIFICATE_FILE, CERTIFICATE_SIGNATURE_FILE, PLAN_FILE
from archiver.store.events.event_details import require_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.retention_events import DisposalApproved, DisposalCertified, DisposalPlanned
from archiver.verify.expected import DisposalPlan, JournalEntry, JournalState, PlannedContentSpan, UnprovenApproval
from archiver.verify.findings import VerifyReport, untranslated
from archiver.verify.signed_heads import is_format_2
from archiver.verify.sshsig import is_valid_signature

#: The code of the finding for a disposal without a valid certificate. A disposal that is still running has no
#: certificate yet, so it has this finding until the certificate is journalled.
UNCERTIFIED_DISPOSAL = "A054"
#: Users other than the planner who must approve a plan.
_REQUIRED_APPROVALS = 2
_DISPOSED = LazyMessage.define(
    "{count} objects were deleted in disposal {name}, with a certificate of destruction",
    singular="{count} object was deleted in disposal {name}, with a certificate of destruction",
    code="note.disposed",
)
_TOO_FEW_APPROVALS = LazyMessage.define(
    "{count} approvals by users other than the planner",
    singular="{count} approval by users other than the planner",
)
#: The smallest number of days that FLOOR_YEARS calendar years can have. No profile allows a shorter retention, so
#: an earlier disposal breaks the rules under any settings.
_MIN_RETENTION_DAYS = 365 * FLOOR_YEARS


def check_disposal_step(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Check one step of a disposal (plan, approve, begin or certify), and apply the step to ``journal_state``.

    Raises KeyError or ValueError if the event lacks a member, or if the earlier steps do not allow this one.
    """
    action, disposal_name = entry.event["action"], entry.event["object"]
    if action == Action.DISPOSE_PLAN:
        if disposal_name in journal_state.disposal_plans:
            raise ValueError(f"{disposal_name} was planned before")
        journal_state.disposal_plans[disposal_name] = _read_plan(entry, report)
        return
    plan = journal_state.disposal_plans[disposal_name]
    if action == Action.DISPOSE_APPROVE:
        _apply_approval(entry.event, plan, journal_state)
    elif action == Action.DISPOSE_BEGIN:
        _apply_begin(entry.event, plan, journal_state, report)
    elif action == Action.DISPOSE_CERTIFY:
        _apply_certificate(entry, plan, journal_state, report)


def _apply_approval(event: Mapping[str, Any], plan: DisposalPlan, journal_state: JournalState) -> None:
    """Record the time of the user's first approval of the plan.

    An approval by the planner, or of another plan document, is allowed but does not count.

    Raises ValueError if the event lacks a member.
    """
    approval = DisposalApproved.from_details(event["details"])
    uid = event["actor"]["uid"]
    if uid != plan.planner_uid and require_member(approval.plan_sha256, "plan_sha256") == plan.plan_sha256:
        plan.approval_times.setdefault(uid, event["clock"]["time"])
        if is_format_2(event):
            plan.approval_seqs.setdefault(uid, event["seq"])
        journal_state.unproven_approvals.append(UnprovenApproval(event["object"], uid))


def _apply_begin(
    event: Mapping[str, Any], plan: DisposalPlan, journal_state: JournalState, report: VerifyReport
) -> None:
    """Check that the disposal was allowed to begin, and record its versions and content as disposed of.

    Raises ValueError if one of the versions was disposed of before. No content is recorded as destroyed then.
    """
    _check_approvals(event, plan, report)
    _check_signed_approvals(event, plan, journal_state, report)
    _check_planned_versions(event, plan, journal_state, report)
    plan.is_begun = True
    if disposed_twice := journal_state.disposed_tags & set(plan.version_tags):
        raise ValueError(f"{min(disposed_twice)} was disposed of before")
    journal_state.disposed_tags |= set(plan.version_tags)
    journal_state.destroyed_content |= dict.fromkeys(plan.object_sizes, event["object"])


def _apply_certificate(
    entry: JournalEntry, plan: DisposalPlan, journal_state: JournalState, report: VerifyReport
) -> None:
    """Record the completion of the disposal, and check the certificate.

    Planned content that the event lists as kept must be present from now on, because another version needs it.

    Raises KeyError if the certificate or its signature is not attached, ValueError if the event lacks a member.
    """
    plan.is_certified = True
    kept_content = require_member(DisposalCertified.from_details(entry.event["details"]).kept, "kept")
    for sha256 in kept_content:
        journal_state.destroyed_content.pop(sha256, None)
    _report_needed_content(entry.event["object"], plan, set(kept_content), journal_state, report)
    _check_certificate(entry, plan, set(kept_content), journal_state, report)


def _read_plan(entry: JournalEntry, report: VerifyReport) -> DisposalPlan:
    """Return the plan that an event records.

    Reports A055 if the digest of the attached document differs from the digest in the event. Approvals name the
    digest in the event, so nobody approved such a document.

    Raises KeyError or ValueError if the document is missing or malformed.
    """
    event, plan_document = entry.event, json.loads(entry.read_attachment(PLAN_FILE))
    # The digest covers only versions and objects, as one line of canonical JSON.
    approved_part = {"versions": plan_document["versions"], "objects": plan_document["objects"]}
    canonical_line = json.dumps(approved_part, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
    details = DisposalPlanned.from_details(event["details"])
    if hashlib.sha256(canonical_line.encode("utf-8")).hexdigest() != details.plan_sha256:
        report.add_finding("A055", event["object"], LazyMessage("its plan differs from the approved plan"))
    return DisposalPlan(
        planner_uid=event["actor"]["uid"],
        plan_sha256=details.plan_sha256,
        version_tags=list(plan_document["versions"]),
        object_sizes=dict(plan_document["objects"]),
        cooling_off_days=details.cooling_off_days,
    )


def _check_approvals(begin_event: Mapping[str, Any], plan: DisposalPlan, report: VerifyReport) -> None:
    """Report a disposal that began with too few approvals, or before the end of the cooling-off period (A055).

    The period begins with the last approval. All times come from the compliance clock, not from the wall
    clock, so nobody can shorten a period by changing the wall clock.
    """
    disposal_name, begun_at = begin_event["object"], clock.parse_time(begin_event["clock"]["time"])
    if len(plan.approval_times) < _REQUIRED_APPROVALS:
        detail = _TOO_FEW_APPROVALS.with_fields(count=len(plan.approval_times))
        report.add_finding("A055", disposal_name, detail)
    else:
        last_approval_time = max(map(clock.parse_time, plan.approval_times.values()))
        earliest_begin = last_approval_time + timedelta(days=plan.cooling_off_days)
        if begun_at < earliest_begin:
            detail = LazyMessage(
                "it began before its cooling-off period ended at {time}", time=clock.format_time(earliest_begin)
            )
            report.add_finding("A055", disposal_name, detail)


def _check_signed_approvals(
    begin_event: Mapping[str, Any], plan: DisposalPlan, journal_state: JournalState, report: VerifyReport
) -> None:
    """Report each approval that was written without a signature (A055).

    Somebody without the key can append an approval, which the signed head of the next batch then covers. So the
    approval must belong to a batch that ends with a valid signed head. Approvals in format 1, which has no signed
    heads, are not checked.
    """
    for seq in plan.approval_seqs.values():
        if not any(seq in batch for batch in journal_state.signed_batches):
            detail = LazyMessage("its approval in event {seq} was written without a signature", seq=seq)
            report.add_finding("A055", begin_event["object"], detail)


def _check_planned_versions(
    begin_event: Mapping[str, Any], plan: DisposalPlan, journal_state: JournalState, report: VerifyReport
) -> None:
    """Report each version that was disposed of before the minimum retention had passed, or under a hold (A056).

    A version without a capture event is reported as well. All times come from the compliance clock, so nobody can
    shorten the retention by changing the wall clock.
    """
    begun_at = clock.parse_time(begin_event["clock"]["time"])
    for tag in plan.version_tags:
        captured_at = journal_state.capture_times.get(tag)
        if captured_at is None or begun_at - clock.parse_time(captured_at) < timedelta(days=_MIN_RETENTION_DAYS):
            detail = LazyMessage(
                "captured {captured}, disposed of at {time}",
                captured=str(captured_at),
                time=begin_event["clock"]["time"],
            )
            report.add_finding("A056", RefName(tag), detail)
        # A tag is FILING/SUBMISSION/vN, and a hold can be on any of the three.
        filing_name, submission_name, _ = tag.split("/")
        for hold in journal_state.active_holds:
            if hold.object_name in (tag, filing_name, f"{filing_name}/{submission_name}"):
                report.add_finding(
                    "A056", RefName(tag), LazyMessage("it was under a hold: {hold}", hold=hold.hold_name)
                )


def _report_needed_content(
    disposal_name: str,
    plan: DisposalPlan,
    kept_content: Set[str],
    journal_state: JournalState,
    report: VerifyReport,
) -> None:
    """Report deleted content that a version still needs, because the version was not disposed of (A057).

    ``kept_content`` has the SHA-256 of the planned content that was kept, because a version needs it.

    There is one finding for each path and each span of consecutive versions with the content. The finding names
    the first of these versions that still needs the content.
    """
    for sha256 in plan.object_sizes.keys() - kept_content:
        for span in journal_state.planned_content_spans.get(sha256, ()):
            tags = span.version_tags(journal_state.newest_numbers[span.branch])
            needing_tag = next((tag for tag in tags if tag not in journal_state.disposed_tags), None)
            if needing_tag is not None:
                detail = LazyMessage(
                    "disposal {name} deleted the content, but {tag} still needs the content",
                    name=disposal_name,
                    tag=needing_tag,
                )
                report.add_finding("A057", sha256, detail)


def _check_certificate(
    entry: JournalEntry,
    plan: DisposalPlan,
    kept_content: Set[str],
    journal_state: JournalState,
    report: VerifyReport,
) -> None:
    """Check the signature of the certificate, and compare its list of content with the plan (A054).

    The certificate must list all planned content: the content in ``kept_content`` (SHA-256) as kept, all other
    content as destroyed. Raises KeyError or ValueError if an attachment is missing or malformed.
    """
    event, certificate_data = entry.event, entry.read_attachment(CERTIFICATE_FILE)
    signature = entry.read_attachment(CERTIFICATE_SIGNATURE_FILE)
    listed_objects = json.loads(certificate_data)["objects"]
    is_destroyed_by_sha256 = {listed["sha256"]: listed["destroyed"] for listed in listed_objects}
    if not is_valid_signature(certificate_data, signature, journal_state.current_signer):
        report.add_finding("A054", event["object"], LazyMessage("its signature is not valid"))
    if is_destroyed_by_sha256 != {sha256: sha256 not in kept_content for sha256 in plan.object_sizes}:
        report.add_finding("A054", event["object"], LazyMessage("it does not list what was planned"))


def check_disposal_outcomes(present_sha256s: Set[str], journal_state: JournalState, report: VerifyReport) -> None:
    """Compare the content objects in the archive with the certificates of all disposals.

    ``present_sha256s`` has the SHA-256 of each object in the archive. ``journal_state`` must cover the whole
    journal.

    Reports destroyed content that is present (A058) and disposals that were begun but not certified (A054). Adds
    one note for each disposal that destroyed content.
    """
    destroyed_counts: Counter[str] = Counter()
    for sha256, disposal_name in journal_state.destroyed_content.items():
        if not journal_state.disposal_plans[disposal_name].is_certified:
            continue
        if sha256 in present_sha256s:
            report.add_finding("A058", sha256, untranslated(disposal_name))
        else:
            destroyed_counts[disposal_name] += 1
    for disposal_name, plan in journal_state.disposal_plans.items():
        if plan.is_begun and not plan.is_certified:
            detail = LazyMessage(
                "it was begun but not finished; to finish the disposal, run: archiver dispose run ID"
            )
            report.add_finding(UNCERTIFIED_DISPOSAL, disposal_name, detail)
    for disposal_name, count in destroyed_counts.items():
        report.add_note(disposal_name, _DISPOSED.with_fields(count=count, name=disposal_name))


def update_content_spans(
    branch: str,
    version_number: int,
    changes: Sequence[Mapping[str, Any]],
    planned_content: Collection[str],
    journal_state: JournalState,
) -> None:
    """Record which versions of ``branch`` contain content in ``planned_content``, when a version is captured.

    ``changes`` are the parsed lines of ``changes.jsonl`` of the new version. ``planned_content`` has the SHA-256
    of all content in any disposal plan, later plans included.

    Call this before the changes are applied to ``journal_state.materials``, from which the old content of each
    path is read. All content that the version adds, planned or not, must be present from now on, even content that
    was destroyed before.
    """
    journal_state.newest_numbers[branch] = version_number
    _end_spans(branch, version_number, changes, journal_state)
    _start_spans(branch, version_number, changes, planned_content, journal_state)


def _end_spans(
    branch: str, version_number: int, changes: Sequence[Mapping[str, Any]], journal_state: JournalState
) -> None:
    """End the open span of each path that the changes remove, rename or modify.

    ``version_number`` is the first version without the old content.
    """
    materials = journal_state.materials.get(branch, {})
    for change in changes:
        removed_path = change.get("from") or None
        if removed_path is None and change["op"] in ("delete", "modify"):
            removed_path = change["path"]
        removed_sha256 = ""
        if removed_path is not None and removed_path in materials:
            removed_sha256 = materials[removed_path].sha256 or ""
        for span in journal_state.planned_content_spans.get(removed_sha256, ()):
            if span.branch == branch and span.path == removed_path and span.end_version is None:
                span.end_version = version_number


def _start_spans(
    branch: str,
    version_number: int,
    changes: Sequence[Mapping[str, Any]],
    planned_content: Collection[str],
    journal_state: JournalState,
) -> None:
    """Begin a span with ``version_number`` for each path to which the changes add planned content.

    Added content, planned or not, is removed from ``journal_state.destroyed_content``: it must be present again.
    """
    for change in changes:
        added_sha256 = str(change.get("sha256") or "") if change["op"] != "delete" else ""
        if added_sha256 in planned_content:
            span = PlannedContentSpan(branch, change["path"], version_number)
            journal_state.planned_content_spans.setdefault(added_sha256, []).append(span)
        if added_sha256:
            journal_state.destroyed_content.pop(added_sha256, None)
