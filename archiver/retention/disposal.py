"""Disposal after retention (销毁): plan, two approvals, cooling-off, deletion, certificate.

Never automatic.  The journal is written first: without its events nothing is deleted.  A run that was
interrupted is finished by another run of the same plan.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from archiver import clock
from archiver.documents.cache import DocumentCache
from archiver.errors import ArchiverError, LazyMessage, NotFoundError, RetentionRefused, UsageError
from archiver.model import Disposal, Version
from archiver.retention import unread
from archiver.retention.certificate import build_certificate
from archiver.retention.disposal_selection import DisposalSelection, needed_content, select_disposable
from archiver.retention.policy import Policy, decide
from archiver.store.archive import Archive
from archiver.store.events.attached_files import PLAN_FILE
from archiver.store.events.retention_events import (
    ActRefused,
    DisposalApproved,
    DisposalBegun,
    DisposalCertified,
    DisposalPlanned,
)
from archiver.store.names import screen
from archiver.store.repair import set_aside
from archiver.store.writer import Draft, Writer

#: By others than the planner. With one, two people who agree could delete; with three, a small company would not
#: find the four people.
REQUIRED_APPROVALS = 2


@dataclass(frozen=True, slots=True)
class DisposalRules:
    """The conditions of a disposal: retention, and the days between the last approval and the deletion."""

    policy: Policy
    cooling_off_days: int


@dataclass(frozen=True, slots=True)
class DisposalResult:
    """The objects deleted by a run, and the number of planned objects kept because a version needs them."""

    plan_id: str
    object_count: int
    byte_count: int
    needed_count: int


def journal_plan(
    archive: Archive, versions: Sequence[Version], rules: DisposalRules, lock_timeout: float
) -> tuple[str, DisposalSelection]:
    """Journal a plan to delete the disposable ones of ``versions``; return its name, and the selection.

    Raises RetentionRefused if nothing is disposable, with the date on which the first version is, or while a hold
    may be unknown (see :func:`check_holds_are_known`); NotFoundError if all versions are disposed of already. The
    refusal is journalled.
    """
    check_holds_are_known(archive, "dispose plan", lock_timeout)
    if select_disposable(archive.index, versions, rules.policy, archive.compliance_time()).disposable:
        with archive.writing(lock_timeout) as writer:
            # Once more under the lock: another process may have added a version or a hold by now.
            selection = select_disposable(archive.index, versions, rules.policy, archive.compliance_time())
            plan_id = f"D{writer.next_seq}"
            details = DisposalPlanned(
                plan_sha256=selection.sha256,
                versions=len(selection.disposable),
                objects=len(selection.object_sizes),
                bytes=sum(selection.object_sizes.values()),
                cooling_off_days=rules.cooling_off_days,
            )
            writer.append(Draft(plan_id, details, {PLAN_FILE: io.BytesIO(selection.plan_document())}))
            return plan_id, selection
    refusal = _explain_refusal(archive, versions, rules.policy)
    journal_refusal(archive, "dispose plan", refusal, lock_timeout)
    raise refusal


def _explain_refusal(archive: Archive, versions: Sequence[Version], policy: Policy) -> ArchiverError:
    """Return an error with the version of ``versions`` that is disposable first, and the date."""
    now = archive.compliance_time()
    remaining = [(version, decide(version, policy, now)) for version in versions if version.disposed is None]
    if not remaining:
        return NotFoundError("The archive holds no such version any more, so there is nothing to plan.")
    first_version, decision = min(remaining, key=lambda pair: pair[1].keep_until)
    tags = ", ".join(version.tag for version, _ in remaining[:3])
    return RetentionRefused(
        "Disposal of {names} is refused. {first} is kept until {until}{open}. Nothing was deleted. "
        "See why with: archiver explain {first!q}",
        names=tags + (", ..." if len(remaining) > 3 else ""),
        first=first_version.tag,
        until=decision.keep_until.date().isoformat(),
        open=decision.conditions,
    )


def approve_plan(
    archive: Archive, plan_id: str, reason: str, rules: DisposalRules, lock_timeout: float
) -> Disposal:
    """Consent to a plan in the name of the archive's actor; return the plan with the new approval.

    Raises NotFoundError for an unknown plan, UsageError without a reason, and RetentionRefused for the planner,
    for a second approval by the same user, and for a plan that does not fit the archive any more. A refusal is
    journalled.
    """
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    try:
        with archive.writing(lock_timeout) as writer:
            _refuse_unknown_holds(archive)
            disposal = find_plan(archive, plan_id)
            _check_approver(archive, disposal)
            _check_unchanged(archive, disposal, rules.policy)
            writer.append(Draft(plan_id, DisposalApproved(plan_sha256=disposal.plan_sha256, reason=reason)))
            return find_plan(archive, plan_id)
    except RetentionRefused as refusal:
        journal_refusal(archive, "dispose approve", refusal, lock_timeout)
        raise


def run_plan(archive: Archive, plan_id: str, rules: DisposalRules, lock_timeout: float) -> DisposalResult:
    """Delete the objects of an approved plan, except those needed by other versions; then certify the deletion.

    Safe to repeat after a crash: a plan that was begun is finished, without a second look at the approvals.

    Raises RetentionRefused (journalled) if plan, approvals, time or the state of the archive do not allow the
    deletion, StorageError if the journal or an object cannot be written. Run it again then.
    """
    try:
        with archive.writing(lock_timeout) as writer:
            _refuse_unknown_holds(archive)
            disposal = _find_runnable_plan(archive, plan_id, rules.policy)
            if disposal.certified:
                raise RetentionRefused(
                    "{identity} was carried out before, on {at}. Nothing was deleted now.",
                    identity=plan_id,
                    at=disposal.certified,
                )
            if disposal.begun is None:
                _check_approvals(archive, disposal, rules)
                selection = _check_unchanged(archive, disposal, rules.policy)
                tags = [version.tag for version, _ in selection.disposable]
                # The commit point: from here on the deletion is explained, whatever happens.
                writer.append(Draft(plan_id, DisposalBegun(plan_sha256=disposal.plan_sha256, versions=tags)))
            return _delete_and_certify(archive, writer, plan_id)
    except RetentionRefused as refusal:
        journal_refusal(archive, "dispose run", refusal, lock_timeout)
        raise


def _delete_and_certify(archive: Archive, writer: Writer, plan_id: str) -> DisposalResult:
    disposal = find_plan(archive, plan_id)
    plan = read_plan(archive, disposal)
    # Somebody may have put the same bytes into the watched folder since it was begun.
    all_needed = needed_content(archive.index)
    deleted_sizes = {sha256: size for sha256, size in plan["objects"] if sha256 not in all_needed}
    needed_objects = [sha256 for sha256, _ in plan["objects"] if sha256 in all_needed]
    archive.content.destroy(deleted_sizes)
    DocumentCache(archive.root).drop(deleted_sizes)
    certificate_files = build_certificate(archive, disposal, plan, needed_objects)
    byte_count = sum(deleted_sizes.values())
    details = DisposalCertified(
        plan_sha256=disposal.plan_sha256, objects=len(deleted_sizes), bytes=byte_count, kept=needed_objects
    )
    attachments = {name: io.BytesIO(data) for name, data in certificate_files.items()}
    writer.append(Draft(plan_id, details, attachments))
    return DisposalResult(plan_id, len(deleted_sizes), byte_count, len(needed_objects))


def check_holds_are_known(archive: Archive, action: str, lock_timeout: float) -> None:
    """Refuse ``action`` while a hold may be unknown, and journal the refusal.

    A hold may hide in an event that this release does not understand, or be lost with a repository that was put
    back from an older copy.

    Raises RetentionRefused.
    """
    try:
        _refuse_unknown_holds(archive)
    except RetentionRefused as refusal:
        journal_refusal(archive, action, refusal, lock_timeout)
        raise


def _refuse_unknown_holds(archive: Archive) -> None:
    unread.refuse_unread_events(archive.index.unread())
    if set_aside.databases(archive.root):
        raise RetentionRefused(
            "Nothing is disposed of while the repository is older than its databases: a hold may be lost. Nothing "
            "was deleted. See what is lost: archiver status. Then place lost holds again, and run: "
            "archiver reindex --accept"
        )


def find_plan(archive: Archive, plan_id: str) -> Disposal:
    """Return the plan with this name, and its state; raises NotFoundError for an unknown name."""
    disposals = archive.index.disposals(plan_id)
    # An empty name stands for all plans in the index.
    if not disposals or not plan_id:
        raise NotFoundError(
            "There is no disposal plan {identity}. Nothing was changed. See them with: archiver dispose list; "
            "make one with: archiver dispose plan",
            identity=plan_id,
        )
    return disposals[0]


def _find_runnable_plan(archive: Archive, plan_id: str, policy: Policy) -> Disposal:
    """Return the plan; raises RetentionRefused for an unknown one, so that the attempt to delete is journalled.

    Somebody may name a version in its place: the refusal then says how long this version is kept.
    """
    try:
        return find_plan(archive, plan_id)
    except NotFoundError:
        version = archive.index.version(plan_id)
        if version is not None and not decide(version, policy, archive.compliance_time()).disposable:
            raise _explain_refusal(archive, [version], policy) from None
        raise RetentionRefused(
            "dispose run {identity} is refused: no approved disposal plan of that name allows it. Nothing was "
            "deleted. See what may go, and when, with: archiver dispose plan",
            identity=plan_id,
        ) from None


def read_plan(archive: Archive, disposal: Disposal) -> dict[str, list[tuple[str, int]]]:
    """Read the plan from the journal: the JSON of :meth:`DisposalSelection.plan_document`.

    Raises StorageError if the event or its attachment is damaged.
    """
    event = archive.journal.event(disposal.commit)
    document: dict[str, list[tuple[str, int]]] = json.loads(archive.journal.attachment(event, PLAN_FILE))
    return document


def _check_approver(archive: Archive, disposal: Disposal) -> None:
    actor = archive.actor
    if disposal.begun:
        raise RetentionRefused(
            "{identity} has begun already. Nothing was changed. Finish it with: archiver dispose run {identity!q}",
            identity=disposal.identity,
        )
    if actor.uid == disposal.uid:
        raise RetentionRefused(
            "{user} planned {identity} and so cannot approve it. Nothing was changed. Two other users of this "
            "server have to approve it.",
            user=actor,
            identity=disposal.identity,
        )
    if any(approval.uid == actor.uid for approval in disposal.approvals):
        raise RetentionRefused(
            "{user} has approved {identity} already. Nothing was changed. Another user has to approve it.",
            user=actor,
            identity=disposal.identity,
        )


def _check_approvals(archive: Archive, disposal: Disposal, rules: DisposalRules) -> None:
    """Refuse a plan without enough approvals by different users, or before the end of the cooling-off."""
    approver_uids = {approval.uid for approval in disposal.approvals} - {disposal.uid}
    missing_count = REQUIRED_APPROVALS - len(approver_uids)
    if missing_count > 0:
        raise RetentionRefused(
            "{identity} lacks {missing} of {needed} approvals. Nothing was deleted. Another user than the planner "
            "approves it with: archiver dispose approve {identity!q} --reason WHY",
            identity=disposal.identity,
            missing=missing_count,
            needed=REQUIRED_APPROVALS,
        )
    end = cooling_off_end(disposal, rules)
    if archive.compliance_time() < end:
        raise RetentionRefused(
            "{identity} is cooling off until {until} by the compliance clock. Nothing was deleted. Until then "
            "anybody may object with: archiver hold place NAME OBJECT --reason WHY",
            identity=disposal.identity,
            until=clock.stamp(end),
        )


def cooling_off_end(disposal: Disposal, rules: DisposalRules) -> datetime:
    """Return the time, by the compliance clock, from which the deletion may begin.

    Counted from the latest approval; the longer period of the plan's and today's configuration counts, so that
    shortening the setting hastens no plan.
    """
    days = max(disposal.cooling_off_days, rules.cooling_off_days)
    return max(clock.parse(approval.clock) for approval in disposal.approvals) + timedelta(days=days)


def _check_unchanged(archive: Archive, disposal: Disposal, policy: Policy) -> DisposalSelection:
    """Select the planned versions anew, and return the selection if it is exactly the planned one.

    Raises RetentionRefused otherwise: people approved something else.
    """
    tags = read_plan(archive, disposal)["versions"]
    versions = [version for tag in tags if (version := archive.index.version(str(tag))) is not None]
    selection = select_disposable(archive.index, versions, policy, archive.compliance_time())
    if selection.sha256 == disposal.plan_sha256:
        return selection
    reason = (
        LazyMessage("{tag} may not go now", tag=selection.retained[0][0].tag)
        if selection.retained
        else LazyMessage("other versions share or shared their content")
    )
    raise RetentionRefused(
        "The archive has changed since {identity} was made: {why}. Nothing was deleted. Make a new plan with: "
        "archiver dispose plan",
        identity=disposal.identity,
        why=reason,
    )


def journal_refusal(archive: Archive, action: str, refusal: ArchiverError, lock_timeout: float) -> None:
    """Journal that ``action`` was refused, and why, unless the caller may not write to the journal."""
    try:
        with archive.writing(lock_timeout) as writer:
            writer.append(Draft(action, ActRefused(reason=screen(str(refusal)))))
    except ArchiverError:
        # Refused all the same; a reader without write access cannot journal it.
        return
