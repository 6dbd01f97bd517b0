"""Dispose of content after retention (销毁): plan, two approvals, cooling-off, deletion, certificate.

Nothing is disposed of automatically.  Each step is journalled before anything is deleted.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from archiver import clock
from archiver.documents.cache import DocumentCache
from archiver.errors import ArchiverError, LazyMessage, NotFoundError, RetentionRefused, UsageError
from archiver.model import Disposal, Version
from archiver.retention import unread
from archiver.retention.certificate import build_certificate
from archiver.retention.disposal_selection import (
    DisposalSelection,
    VersionDecision,
    find_needed_objects,
    select_disposable,
)
from archiver.retention.policy import RetentionPolicy, decide_retention
from archiver.store.archive import Archive
from archiver.store.events.attached_files import PLAN_FILE
from archiver.store.events.retention_events import (
    ActRefused,
    DisposalApproved,
    DisposalBegun,
    DisposalCertified,
    DisposalPlanned,
)
from archiver.store.names import make_displayable
from archiver.store.repair import set_aside
from archiver.store.writer import Draft, Writer

#: Approvals by users other than the planner. With one, two people who agree could delete; with three, a small
#: company would not find four people.
REQUIRED_APPROVALS = 2
#: Versions that a refusal names; "..." stands for the others.
_MAX_NAMED_VERSIONS = 3


@dataclass(frozen=True, slots=True)
class DisposalRules:
    """The conditions of a disposal, as configured now."""

    policy: RetentionPolicy
    cooling_off_days: int  # days between the last approval and the deletion


class JournalledPlan(NamedTuple):
    """A new disposal plan."""

    plan_id: str  # D and the number of the event that journals it
    selection: DisposalSelection


@dataclass(frozen=True, slots=True)
class DisposalResult:
    """The result of a run that finished a plan."""

    plan_id: str  # also the name of the certificate
    object_count: int  # deleted objects
    byte_count: int  # bytes of the deleted objects
    needed_count: int  # planned objects that were kept, because a version needs them


def journal_plan(
    archive: Archive, versions: Sequence[Version], rules: DisposalRules, lock_timeout: float
) -> JournalledPlan:
    """Journal a plan to delete the currently disposable ``versions``.

    Raises RetentionRefused if no version is disposable, or while a hold may be unknown (see
    :func:`check_holds_are_known`), and NotFoundError if all versions are already disposed of. The refusal is
    journalled.
    """
    check_holds_are_known(archive, "dispose plan", lock_timeout)
    if select_disposable(archive.index, versions, rules.policy, archive.compliance_time()).disposable_decisions:
        with archive.writing(lock_timeout) as writer:
            # Select again under the lock: another process may have added a version or a hold in the meantime.
            selection = select_disposable(archive.index, versions, rules.policy, archive.compliance_time())
            plan_id = f"D{writer.next_seq}"
            details = DisposalPlanned(
                plan_sha256=selection.plan_sha256,
                versions=len(selection.disposable_decisions),
                objects=len(selection.object_sizes),
                bytes=sum(selection.object_sizes.values()),
                cooling_off_days=rules.cooling_off_days,
            )
            writer.append(Draft(plan_id, details, {PLAN_FILE: io.BytesIO(selection.encode_plan())}))
            return JournalledPlan(plan_id, selection)
    refusal = _build_refusal(archive, versions, rules.policy)
    journal_refusal(archive, "dispose plan", refusal, lock_timeout)
    raise refusal


def _build_refusal(archive: Archive, versions: Sequence[Version], policy: RetentionPolicy) -> ArchiverError:
    """Return the error if none of ``versions`` is disposable: NotFoundError if all are already disposed of."""
    now = archive.compliance_time()
    undisposed_decisions = [
        VersionDecision(version, decide_retention(version, policy, now))
        for version in versions
        if version.disposed is None
    ]
    if not undisposed_decisions:
        return NotFoundError("All of these versions are already disposed of. Nothing was deleted.")
    first_version, decision = min(undisposed_decisions, key=lambda candidate: candidate.decision.keep_until)
    tags = ", ".join(version.tag for version, _ in undisposed_decisions[:_MAX_NAMED_VERSIONS])
    return RetentionRefused(
        "Cannot dispose of {names}: {first} is retained at least through {until}{open}. Nothing was deleted. To "
        "see why, run: archiver explain {first!q}",
        names=tags + (", ..." if len(undisposed_decisions) > _MAX_NAMED_VERSIONS else ""),
        first=first_version.tag,
        until=decision.keep_until.date().isoformat(),
        open=decision.conditions_clause,
    )


def approve_plan(
    archive: Archive, plan_id: str, reason: str, rules: DisposalRules, lock_timeout: float
) -> Disposal:
    """Journal the approval of a plan by the archive's actor, and return the plan with the new approval.

    Raises NotFoundError if there is no such plan, and UsageError if ``reason`` is blank. Raises RetentionRefused
    if the actor made or already approved the plan, if the deletion has begun, or if the plan would select
    something else by now. That refusal is journalled.
    """
    if not reason.strip():
        raise UsageError("A reason is required. Nothing was changed. Add --reason.")
    try:
        with archive.writing(lock_timeout) as writer:
            _refuse_unknown_holds(archive)
            disposal = find_plan(archive, plan_id)
            _check_approver(archive, disposal)
            _check_selection_unchanged(archive, disposal, rules.policy)
            writer.append(Draft(plan_id, DisposalApproved(plan_sha256=disposal.plan_sha256, reason=reason)))
            return find_plan(archive, plan_id)
    except RetentionRefused as refusal:
        journal_refusal(archive, "dispose approve", refusal, lock_timeout)
        raise


def run_plan(archive: Archive, plan_id: str, rules: DisposalRules, lock_timeout: float) -> DisposalResult:
    """Delete the objects of an approved plan, unless needed by other versions, and journal a certificate.

    Safe to repeat after a crash: a deletion that has begun is finished, without checking the approvals again.

    Raises RetentionRefused if the plan, its approvals, the time or the state of the archive does not allow the
    deletion; that refusal is journalled. Raises StorageError if the journal cannot be written or an object cannot
    be deleted; call this again then.
    """
    try:
        with archive.writing(lock_timeout) as writer:
            _refuse_unknown_holds(archive)
            disposal = _find_runnable_plan(archive, plan_id, rules.policy)
            if disposal.certified:
                raise RetentionRefused(
                    "Disposal {identity} was already completed on {at}. Nothing was changed.",
                    identity=plan_id,
                    at=disposal.certified,
                )
            if disposal.begun is None:
                _check_approvals(disposal)
                _check_cooling_off(archive, disposal, rules)
                selection = _check_selection_unchanged(archive, disposal, rules.policy)
                tags = [version.tag for version, _ in selection.disposable_decisions]
                # The commit point: once this event is durable, objects may be missing, and verify knows why.
                writer.append(Draft(plan_id, DisposalBegun(plan_sha256=disposal.plan_sha256, versions=tags)))
            return _delete_and_certify(archive, writer, plan_id)
    except RetentionRefused as refusal:
        journal_refusal(archive, "dispose run", refusal, lock_timeout)
        raise


def _delete_and_certify(archive: Archive, writer: Writer, plan_id: str) -> DisposalResult:
    """Delete the objects of a begun plan that nothing else needs, then journal the certificate (销毁证明).

    The deletion cannot be undone. If it is interrupted, a repetition deletes the rest. Raises StorageError.
    """
    disposal = find_plan(archive, plan_id)
    plan = read_plan(archive, disposal)
    # Since the plan began, a new version may have been captured with the same content.
    needed_digests = find_needed_objects(archive.index)
    deletable_sizes = {sha256: size for sha256, size in plan["objects"] if sha256 not in needed_digests}
    kept_digests = [sha256 for sha256, _ in plan["objects"] if sha256 in needed_digests]
    archive.content.destroy_objects(deletable_sizes)
    DocumentCache(archive.root).remove_entries(deletable_sizes)
    deleted_bytes = sum(deletable_sizes.values())
    details = DisposalCertified(
        plan_sha256=disposal.plan_sha256, objects=len(deletable_sizes), bytes=deleted_bytes, kept=kept_digests
    )
    certificate_files = build_certificate(archive, disposal, plan, kept_digests)
    attachments = {file_name: io.BytesIO(file_bytes) for file_name, file_bytes in certificate_files.items()}
    writer.append(Draft(plan_id, details, attachments))
    return DisposalResult(plan_id, len(deletable_sizes), deleted_bytes, len(kept_digests))


def check_holds_are_known(archive: Archive, command_name: str, lock_timeout: float) -> None:
    """Raise RetentionRefused, and journal that ``command_name`` was refused, if the index may lack a hold.

    The hold may be in an event that this release does not understand, or lost because the repository was restored
    from an older copy.
    """
    try:
        _refuse_unknown_holds(archive)
    except RetentionRefused as refusal:
        journal_refusal(archive, command_name, refusal, lock_timeout)
        raise


def _refuse_unknown_holds(archive: Archive) -> None:
    """Raise RetentionRefused if the index may lack a hold; unlike check_holds_are_known(), journal nothing."""
    unread.refuse_unread_events(archive.index.unread_events())
    if set_aside.databases(archive.root):
        raise RetentionRefused(
            "Disposal is suspended because the repository is older than its databases and a hold may be lost. "
            "Nothing was deleted. Look for lost holds in archiver status, and place them again. Then run: "
            "archiver reindex --accept"
        )


def find_plan(archive: Archive, plan_id: str) -> Disposal:
    """Return the plan with this id and its state. Raises NotFoundError if no such plan exists."""
    disposals = archive.index.disposals(plan_id)
    # For an empty id, the index returns all plans.
    if not disposals or not plan_id:
        raise NotFoundError(
            "Disposal plan {identity} does not exist. Nothing was changed. To list the disposal plans, run: "
            "archiver dispose list",
            identity=plan_id,
        )
    return disposals[0]


def _find_runnable_plan(archive: Archive, plan_id: str, policy: RetentionPolicy) -> Disposal:
    """Return the plan with this id.

    Raises RetentionRefused if there is no such plan; the caller journals the refusal. If ``plan_id`` is the tag of
    a version, the refusal says how long the version is kept.
    """
    try:
        return find_plan(archive, plan_id)
    except NotFoundError:
        version = archive.index.find_version(plan_id)
        if version is not None and not decide_retention(version, policy, archive.compliance_time()).is_disposable:
            raise _build_refusal(archive, [version], policy) from None
        raise RetentionRefused(
            "Disposal plan {identity} does not exist. Nothing was deleted. To see which versions can be disposed "
            "of, run: archiver dispose plan",
            identity=plan_id,
        ) from None


def read_plan(archive: Archive, disposal: Disposal) -> dict[str, Any]:
    """Return the plan written by :meth:`DisposalSelection.encode_plan`; raises StorageError if damaged."""
    plan_event = archive.journal.read_event(disposal.commit)
    plan: dict[str, Any] = json.loads(archive.journal.read_attachment(plan_event, PLAN_FILE))
    return plan


def _check_approver(archive: Archive, disposal: Disposal) -> None:
    """Raise RetentionRefused if the plan has begun, or was made or approved by the archive's actor."""
    actor = archive.actor
    if disposal.begun:
        raise RetentionRefused(
            "Disposal {identity} has already begun. Nothing was changed. To finish the disposal, run: archiver "
            "dispose run {identity!q}",
            identity=disposal.identity,
        )
    if actor.uid == disposal.uid:
        raise RetentionRefused(
            "{user} created disposal plan {identity} and therefore cannot approve the plan. Nothing was changed. "
            "Two other users of this server must approve the plan.",
            user=actor,
            identity=disposal.identity,
        )
    if any(approval.uid == actor.uid for approval in disposal.approvals):
        raise RetentionRefused(
            "{user} has already approved disposal plan {identity}. Nothing was changed. Another user must "
            "approve the plan.",
            user=actor,
            identity=disposal.identity,
        )


def _check_approvals(disposal: Disposal) -> None:
    """Raise RetentionRefused if fewer than REQUIRED_APPROVALS users, without the planner, approved the plan."""
    missing_count = REQUIRED_APPROVALS - len({approval.uid for approval in disposal.approvals} - {disposal.uid})
    if missing_count > 0:
        raise RetentionRefused(
            "Disposal plan {identity} lacks {missing} of {needed} approvals. Nothing was deleted. A user other "
            "than the planner must approve the plan. To approve, run: archiver dispose approve {identity!q} "
            "--reason TEXT",
            identity=disposal.identity,
            missing=missing_count,
            needed=REQUIRED_APPROVALS,
        )


def _check_cooling_off(archive: Archive, disposal: Disposal, rules: DisposalRules) -> None:
    """Raise RetentionRefused if the cooling-off period, in which anybody may object, has not ended yet."""
    cooling_off_until = compute_cooling_off_end(disposal, rules)
    if archive.compliance_time() < cooling_off_until:
        raise RetentionRefused(
            "Disposal plan {identity} is in its cooling-off period until {until} by the compliance clock. Nothing "
            "was deleted. To object before then, run: archiver hold place NAME TAG --reason TEXT",
            identity=disposal.identity,
            until=clock.format_time(cooling_off_until),
        )


def compute_cooling_off_end(disposal: Disposal, rules: DisposalRules) -> datetime:
    """Return the time, by the compliance clock, from which the deletion may begin.

    The period counts from the latest approval. It is the longer of those in the plan and in today's configuration,
    so a shorter setting does not hasten an existing plan. Raises ValueError if the plan has no approval.
    """
    latest_approval_time = max(clock.parse_time(approval.clock) for approval in disposal.approvals)
    return latest_approval_time + timedelta(days=max(disposal.cooling_off_days, rules.cooling_off_days))


def _check_selection_unchanged(archive: Archive, disposal: Disposal, policy: RetentionPolicy) -> DisposalSelection:
    """Select again from the planned versions, and return the selection.

    Raises RetentionRefused if the selection differs from the plan, because people approved other deletions.
    """
    tags = read_plan(archive, disposal)["versions"]
    versions = [version for tag in tags if (version := archive.index.find_version(str(tag))) is not None]
    selection = select_disposable(archive.index, versions, policy, archive.compliance_time())
    if selection.plan_sha256 == disposal.plan_sha256:
        return selection
    change_reason = (
        LazyMessage("{tag} cannot be disposed of now", tag=selection.retained_decisions[0].version.tag)
        if selection.retained_decisions
        else LazyMessage("other versions share or shared their content")
    )
    raise RetentionRefused(
        "The archive has changed since disposal plan {identity} was created: {why}. Nothing was deleted. To "
        "create a new plan, run: archiver dispose plan",
        identity=disposal.identity,
        why=change_reason,
    )


def journal_refusal(archive: Archive, command_name: str, refusal: ArchiverError, lock_timeout: float) -> None:
    """Journal that the command ``command_name``, such as ``dispose run``, was refused, and why.

    Raises nothing if the journal cannot be written, because the caller raises ``refusal`` in any case.
    """
    try:
        with archive.writing(lock_timeout) as writer:
            writer.append(Draft(command_name, ActRefused(reason=make_displayable(str(refusal)))))
    except ArchiverError:
        # A reader without write access must see the refusal, and not the error about the journal.
        return
