"""Read disposal plans, and check that a plan may be approved or run: approvals, cooling-off, selection."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from archiver import clock
from archiver.errors import LazyMessage, NotFoundError, RetentionRefused
from archiver.retention import unread
from archiver.retention.disposal_selection import DisposalSelection, select_disposable
from archiver.retention.policy import RetentionPolicy
from archiver.store.archive import Archive
from archiver.store.event_decoding import StoredHead
from archiver.store.events.attached_files import PLAN_FILE
from archiver.store.events.event_kinds import Action
from archiver.store.events.signed_head import HEAD_NAMESPACE, HEAD_SIGNATURE_FILE
from archiver.store.index.disposal_state import Disposal
from archiver.store.repair import set_aside
from archiver.verify.sshsig import is_valid_signature

#: Approvals by users other than the planner. With one, two people who agree could delete; with three, a small
#: company would not find four people.
REQUIRED_APPROVALS = 2


@dataclass(frozen=True, slots=True)
class DisposalRules:
    """The conditions of a disposal, as configured now."""

    policy: RetentionPolicy
    cooling_off_days: int  # days between the last approval and the deletion


def find_plan(archive: Archive, plan_id: str) -> Disposal:
    """Return the plan with this id, and its state. Raises NotFoundError if no such plan exists."""
    matching_plans = archive.index.disposals(plan_id)
    # For an empty id, the index returns all plans.
    if not matching_plans or not plan_id:
        raise NotFoundError(
            "Disposal plan {identity} does not exist. Nothing was changed. To list the disposal plans, run: "
            "archiver dispose list",
            identity=plan_id,
        )
    return matching_plans[0]


def read_plan(archive: Archive, disposal: Disposal) -> dict[str, Any]:
    """Return the content of a plan, as :meth:`DisposalSelection.encode_plan` wrote it.

    Raises StorageError if the journal's event or its attachment is damaged.
    """
    plan_event = archive.journal.read_event(disposal.commit)
    plan: dict[str, Any] = json.loads(archive.journal.read_attachment(plan_event, PLAN_FILE))
    return plan


def filing_of_plan(archive: Archive, disposal: Disposal) -> str:
    """Return the name of the filing, as in refs, to whose chain of events the events of a plan belong.

    A plan of the old journal format 1 names no filing, and may be about several filings.  Its events go to the
    chain of the filing in the planned tag that sorts first.
    """
    if disposal.filing is not None:
        return disposal.filing
    first_tag = min(read_plan(archive, disposal)["versions"])
    return str(first_tag).split("/", 1)[0]


def refuse_unknown_holds(archive: Archive) -> None:
    """Raise RetentionRefused if the index may lack a hold, which would forbid the disposal.

    Unlike ``check_holds_are_known`` in :mod:`archiver.retention.disposal`, this journals nothing.
    """
    unread.refuse_unread_events(archive.index.unread_events())
    # Databases are set aside if they know events that the repository lacks, as after the restore of an old copy.
    if set_aside.databases(archive.root):
        raise RetentionRefused(
            "Disposal is suspended because the repository is older than its databases and a hold may be lost. "
            "Nothing was deleted. Look for lost holds in archiver status, and place them again. Then run: "
            "archiver reindex --accept"
        )


def check_approver(archive: Archive, disposal: Disposal) -> None:
    """Raise RetentionRefused if the archive's actor may not approve the plan.

    A plan needs no approval any more when its deletion has begun.  The user who created the plan may not approve
    it, and nobody may approve it twice.
    """
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


def check_approvals(disposal: Disposal) -> None:
    """Raise RetentionRefused if fewer than REQUIRED_APPROVALS users other than the planner approved the plan."""
    approver_uids = {approval.uid for approval in disposal.approvals} - {disposal.uid}
    missing_count = REQUIRED_APPROVALS - len(approver_uids)
    if missing_count > 0:
        raise RetentionRefused(
            "Disposal plan {identity} lacks {missing} of {needed} approvals. Nothing was deleted. A user other "
            "than the planner must approve the plan. To approve, run: archiver dispose approve {identity!q} "
            "--reason TEXT",
            identity=disposal.identity,
            missing=missing_count,
            needed=REQUIRED_APPROVALS,
        )


def check_approvals_are_signed(archive: Archive, disposal: Disposal) -> None:
    """Raise RetentionRefused if an approval of the plan was journalled without a signature.

    Anybody who can write to the repository can append an approval, and the next signed head covers it.  Therefore
    an approval counts only if it is in a batch of events that ends with a head signed by a key of the archive.  In
    the old journal format 1, no approval was signed, and all approvals count.  Raises StorageError if the journal
    is damaged.
    """
    signers, signed_batches = archive.journalled_signers(), []
    for stored_head in archive.head_history.signed_heads():
        head = stored_head.head
        if head is not None and head.last < disposal.seq:
            # The newest head comes first, so this head and all further heads are older than the plan.
            break
        if head is not None and _has_valid_signature(archive, stored_head, signers):
            signed_batches.append(range(head.batch, head.last + 1))
    for event in archive.journal.events_since(disposal.commit):
        # An event of format 1 belongs to no chain.
        is_approval = event.action == Action.DISPOSE_APPROVE and event.object == disposal.identity
        if is_approval and event.chain and not any(event.seq in batch for batch in signed_batches):
            raise RetentionRefused(
                "The approval of disposal plan {identity} by {user} (journal event {seq}) was written without a "
                "signature. Nothing was deleted. To create a new plan, run: archiver dispose plan",
                identity=disposal.identity,
                user=event.actor,
                seq=event.seq,
            )


def _has_valid_signature(archive: Archive, stored_head: StoredHead, signers: bytes) -> bool:
    """Return True if the head was signed by a key of ``signers``, the list of all keys of the archive."""
    try:
        signature = archive.repository.read(f"{stored_head.commit}:{HEAD_SIGNATURE_FILE}")
    except KeyError:
        # The head was written without a signature.
        return False
    return is_valid_signature(stored_head.data, signature, signers, HEAD_NAMESPACE)


def check_cooling_off(archive: Archive, disposal: Disposal, rules: DisposalRules) -> None:
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

    The period counts from the latest approval.  It has the number of days of the plan or of today's configuration,
    whichever is larger, so a shorter setting does not shorten the period of an existing plan.  Raises ValueError
    if the plan has no approval.
    """
    latest_approval_time = max(clock.parse_time(approval.clock) for approval in disposal.approvals)
    return latest_approval_time + timedelta(days=max(disposal.cooling_off_days, rules.cooling_off_days))


def check_selection_unchanged(archive: Archive, disposal: Disposal, policy: RetentionPolicy) -> DisposalSelection:
    """Select again from the planned versions, and return the selection.

    Raises RetentionRefused if the selection differs from the plan, because people approved other deletions then.
    """
    tags = list(read_plan(archive, disposal)["versions"])
    for other_plan in archive.index.disposals():
        if disposal.act is not None and other_plan.act == disposal.act and other_plan.begun is None:
            # The plans were created as one selection. An object that only their versions share is in several of
            # these plans, so the versions of plans that have not begun yet must not count as needing the object.
            tags += read_plan(archive, other_plan)["versions"]
    versions = [version for tag in dict.fromkeys(tags) if (version := archive.index.find_version(str(tag)))]
    combined_selection = select_disposable(archive.index, versions, policy, archive.compliance_time())
    selection = combined_selection
    if disposal.filing is not None:
        selection = combined_selection.part_of_filing(archive.index, disposal.filing)
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
