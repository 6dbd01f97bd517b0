"""Dispose of content after retention (销毁): plan, two approvals, cooling-off, deletion, certificate.

Nothing is disposed of automatically.  Each step is journalled before anything is deleted.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from archiver.documents.cache import open_document_cache, present_cache_origin
from archiver.errors import ArchiverError, NotFoundError, RetentionRefused
from archiver.model import Version
from archiver.retention.certificate import build_certificate
from archiver.retention.disposal_conditions import (
    DisposalRules,
    check_approvals,
    check_approvals_are_signed,
    check_approver,
    check_cooling_off,
    check_selection_unchanged,
    filing_of_plan,
    find_plan,
    read_plan,
    refuse_unknown_holds,
)
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
from archiver.store.index.disposal_state import Disposal
from archiver.store.names import check_reason, cut_text, make_displayable
from archiver.store.writing.drafts import Draft
from archiver.store.writing.writer import HeadRule, Writer

#: Versions that a refusal names; "..." stands for the others.
_MAX_NAMED_VERSIONS = 3


class JournalledPlans(NamedTuple):
    """New disposal plans, one for each filing with versions to delete."""

    plan_ids: list[str]  # the name of each plan: D and the number of the event that journals the plan
    selection: DisposalSelection  # the selection of all plans together


@dataclass(frozen=True, slots=True)
class DisposalResult:
    """The result of a run that finished a plan."""

    plan_id: str  # also the name of the certificate
    object_count: int  # the number of deleted objects
    byte_count: int  # the total size of the deleted objects
    needed_count: int  # the number of planned objects that were kept, because a version needs them


def journal_plans(
    archive: Archive, versions: Sequence[Version], rules: DisposalRules, lock_timeout: float
) -> JournalledPlans:
    """Journal a plan for each filing to delete those of ``versions`` that are disposable now, all in one batch.

    Raises RetentionRefused if no version is disposable, or while a hold may be unknown (see
    :func:`check_holds_are_known`), and NotFoundError if all versions are already disposed of. The refusal is
    journalled in each case, and no plan is. Raises Busy if the archive is still locked after ``lock_timeout``
    seconds, StorageError if it cannot be written.
    """
    check_holds_are_known(archive, "dispose plan", lock_timeout)
    if select_disposable(archive.index, versions, rules.policy, archive.compliance_time()).disposable_decisions:
        with archive.writing(lock_timeout) as writer:
            # Select again under the lock: another process may have added a version or a hold in the meantime.
            selection = select_disposable(archive.index, versions, rules.policy, archive.compliance_time())
            drafts = _draft_plans(archive, selection, writer.next_seq, rules.cooling_off_days)
            writer.write_batch(drafts)
            return JournalledPlans([draft.object for draft in drafts], selection)
    refusal = _build_refusal(archive, versions, rules.policy)
    journal_refusal(archive, "dispose plan", refusal, lock_timeout)
    raise refusal


def _draft_plans(
    archive: Archive, selection: DisposalSelection, first_seq: int, cooling_off_days: int
) -> list[Draft]:
    """Return the events of the plans for ``selection``, one for each filing.

    The first event will have the number ``first_seq``. An event must not name two filings, because it belongs to
    the chain of events of a single filing.
    """
    filing_names = selection.filing_names
    # Commands that only read import this module, and this import takes milliseconds.
    import secrets

    # A random value that ties the plans together, so that each can be checked against all of their versions.
    act = secrets.token_hex(16) if len(filing_names) > 1 else None
    drafts = []
    for seq, filing_name in enumerate(filing_names, first_seq):
        filing_selection = selection.part_of_filing(archive.index, filing_name)
        details = DisposalPlanned(
            plan_sha256=filing_selection.plan_sha256,
            versions=len(filing_selection.disposable_decisions),
            objects=len(filing_selection.object_sizes),
            bytes=sum(filing_selection.object_sizes.values()),
            cooling_off_days=cooling_off_days,
            filing=filing_name,
            act=act,
        )
        drafts.append(Draft(f"D{seq}", details, {PLAN_FILE: io.BytesIO(filing_selection.encode_plan())}))
    return drafts


def _build_refusal(archive: Archive, versions: Sequence[Version], policy: RetentionPolicy) -> ArchiverError:
    """Return the error for a plan without any disposable version among ``versions``.

    It is NotFoundError if all versions are already disposed of; otherwise RetentionRefused, whose message names
    the version whose retention ends first.
    """
    now = archive.compliance_time()
    undisposed_decisions = [
        VersionDecision(version, decide_retention(version, policy, now))
        for version in versions
        if version.disposed is None
    ]
    if not undisposed_decisions:
        return NotFoundError("All of these versions are already disposed of. Nothing was deleted.")
    first_version, decision = min(undisposed_decisions, key=lambda candidate: candidate.decision.keep_until)
    tags = ", ".join(version.tag.for_people for version, _ in undisposed_decisions[:_MAX_NAMED_VERSIONS])
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
    if the actor created the plan or has already approved it, if the deletion has begun, if the plan would select
    something else by now, or while a hold may be unknown. That refusal is journalled. Raises StorageError if the
    key cannot sign the approval.
    """
    check_reason(reason)
    try:
        with archive.writing(lock_timeout) as writer:
            refuse_unknown_holds(archive)
            disposal = find_plan(archive, plan_id)
            check_approver(archive, disposal)
            check_selection_unchanged(archive, disposal, rules.policy)
            details = DisposalApproved(
                plan_sha256=disposal.plan_sha256, reason=reason, filing=filing_of_plan(archive, disposal)
            )
            # An approval without a signature does not count: anybody who can write to the repository could add it.
            writer.write_batch([Draft(plan_id, details)], head_rule=HeadRule.REQUIRED)
            return find_plan(archive, plan_id)
    except RetentionRefused as refusal:
        journal_refusal(archive, "dispose approve", refusal, lock_timeout)
        raise


def run_plan(archive: Archive, plan_id: str, rules: DisposalRules, lock_timeout: float) -> DisposalResult:
    """Delete the objects of an approved plan, unless needed by other versions, and journal a certificate.

    Safe to repeat after a crash: a deletion that has begun is finished, without checking the approvals again.

    Raises RetentionRefused if the plan, its approvals, the time or the state of the archive does not allow the
    deletion; that refusal is journalled. Raises StorageError if the key cannot sign, the journal cannot be written
    or an object cannot be deleted; call this again after the cause is removed.
    """
    try:
        with archive.writing(lock_timeout) as writer:
            refuse_unknown_holds(archive)
            disposal = _find_plan_or_refuse(archive, plan_id, rules.policy)
            if disposal.certified:
                raise RetentionRefused(
                    "Disposal {identity} was already completed on {at}. Nothing was changed.",
                    identity=plan_id,
                    at=disposal.certified,
                )
            if disposal.begun is None:
                check_approvals(disposal)
                check_approvals_are_signed(archive, disposal)
                check_cooling_off(archive, disposal, rules)
                selection = check_selection_unchanged(archive, disposal, rules.policy)
                tags = [version.tag for version, _ in selection.disposable_decisions]
                details = DisposalBegun(
                    plan_sha256=disposal.plan_sha256, versions=tags, filing=filing_of_plan(archive, disposal)
                )
                # The point of no return: from this event on, objects may be missing, and `verify` knows why. The
                # event has to be signed, so that an unusable key is noticed before anything is deleted: the
                # certificate needs the key at a time when nothing can be restored any more.
                writer.write_batch([Draft(plan_id, details)], head_rule=HeadRule.REQUIRED)
            return _delete_and_certify(archive, writer, plan_id)
    except RetentionRefused as refusal:
        journal_refusal(archive, "dispose run", refusal, lock_timeout)
        raise


def _delete_and_certify(archive: Archive, writer: Writer, plan_id: str) -> DisposalResult:
    """Delete the objects of a plan that has begun, except needed ones, then journal the certificate (销毁证明).

    An object is needed if a version that was not disposed of has it. The deletion cannot be undone. If it is
    interrupted, a repeated call deletes the rest. Raises StorageError if an object cannot be deleted, the key
    cannot sign or the journal cannot be written.
    """
    disposal = find_plan(archive, plan_id)
    plan = read_plan(archive, disposal)
    # Since the plan began, a new version may have been captured with the same content.
    needed_digests = find_needed_objects(archive.index)
    deletable_sizes = {sha256: size for sha256, size in plan["objects"] if sha256 not in needed_digests}
    kept_digests = [sha256 for sha256, _ in plan["objects"] if sha256 in needed_digests]
    archive.content.destroy_objects(deletable_sizes)
    document_cache = open_document_cache(archive)
    document_cache.remove_entries(deletable_sizes)
    deleted_bytes = sum(deletable_sizes.values())
    details = DisposalCertified(
        plan_sha256=disposal.plan_sha256,
        objects=len(deletable_sizes),
        bytes=deleted_bytes,
        kept=kept_digests,
        filing=filing_of_plan(archive, disposal),
    )
    certificate_files = build_certificate(archive, disposal, plan, kept_digests)
    attachments = {file_name: io.BytesIO(file_bytes) for file_name, file_bytes in certificate_files.items()}
    # REQUIRED refuses any key but the journal's: a certificate signed by another key would be a finding for ever.
    writer.write_batch([Draft(plan_id, details, attachments)], head_rule=HeadRule.REQUIRED)
    # The remaining entries of the cache stay valid although the number of disposals has changed.
    document_cache.renew(present_cache_origin(archive))
    return DisposalResult(plan_id, len(deletable_sizes), deleted_bytes, len(kept_digests))


def check_holds_are_known(archive: Archive, command_name: str, lock_timeout: float) -> None:
    """Raise RetentionRefused if the index may lack a hold, and journal that a command was refused.

    ``command_name`` is the name of the command, such as ``dispose plan``. The hold may be in an event that this
    release does not understand, or lost because the repository was restored from an older copy.
    """
    try:
        refuse_unknown_holds(archive)
    except RetentionRefused as refusal:
        journal_refusal(archive, command_name, refusal, lock_timeout)
        raise


def _find_plan_or_refuse(archive: Archive, plan_id: str, policy: RetentionPolicy) -> Disposal:
    """Return the plan with this id.

    Raises RetentionRefused instead of NotFoundError if there is no such plan, because the caller journals every
    RetentionRefused. If ``plan_id`` is the tag of a version, the refusal says how long the version is kept.
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


def journal_refusal(archive: Archive, command_name: str, refusal: ArchiverError, lock_timeout: float) -> None:
    """Journal that the command ``command_name``, such as ``dispose run``, was refused, and why.

    If the journal cannot be written, no error is raised, because the caller raises ``refusal`` in any case.
    """
    try:
        with archive.writing(lock_timeout) as writer:
            writer.append(Draft(command_name, ActRefused(reason=cut_text(make_displayable(str(refusal))))))
    except ArchiverError:
        # A reader without write access must see the refusal, and not the error about the journal.
        return
