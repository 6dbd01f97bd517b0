"""Disposal after retention (销毁): plan, two approvals, cooling-off, deletion, certificate.

Never automatic.  The journal is written first: without its events nothing is
deleted.  What was begun and interrupted is finished by running it again.
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
from archiver.retention import certificate, unread
from archiver.retention.disposal_selection import DisposalSelection, needed_content, select
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

APPROVALS = 2


@dataclass(frozen=True, slots=True)
class Rules:
    """What a disposal has to satisfy: retention, and the days between the last approval and the deletion."""

    policy: Policy
    cooling_off_days: int


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What a run has deleted, and how many of the planned objects are needed again and stay."""

    identity: str
    objects: int
    bytes: int
    kept: int


def plan(
    archive: Archive, versions: Sequence[Version], rules: Rules, wait_seconds: float
) -> tuple[str, DisposalSelection]:
    """Journal what may be disposed of; returns the plan's name.

    Raises RetentionRefused, with the earliest date on which anything could go,
    when nothing may; the refusal is journalled.
    """
    refuse_unread(archive, "dispose plan", wait_seconds)
    if select(archive.index, versions, rules.policy, archive.compliance_time()).going:
        with archive.writing(wait_seconds) as writer:
            selection = select(archive.index, versions, rules.policy, archive.compliance_time())
            identity = f"D{writer.next_seq}"
            details = DisposalPlanned(
                plan_sha256=selection.sha256,
                versions=len(selection.going),
                objects=len(selection.objects),
                bytes=sum(selection.objects.values()),
                cooling_off_days=rules.cooling_off_days,
            )
            writer.append(Draft(identity, details, {PLAN_FILE: io.BytesIO(selection.document())}))
            return identity, selection
    refused = _refusal(archive, versions, rules.policy)
    journal_refusal(archive, "dispose plan", refused, wait_seconds)
    raise refused


def _refusal(archive: Archive, versions: Sequence[Version], policy: Policy) -> ArchiverError:
    now = archive.compliance_time()
    left = [(version, decide(version, policy, now)) for version in versions if version.disposed is None]
    if not left:
        return NotFoundError("The archive holds no such version any more, so there is nothing to plan.")
    version, decision = min(left, key=lambda pair: pair[1].keep_until)
    names = ", ".join(each.tag for each, _ in left[:3])
    return RetentionRefused(
        "Disposal of {names} is refused. {first} is kept until {until}{open}. Nothing was deleted. "
        "See why with: archiver explain {first!q}",
        names=names + (", ..." if len(left) > 3 else ""),
        first=version.tag,
        until=decision.keep_until.date().isoformat(),
        open=decision.conditions,
    )


def approve(archive: Archive, identity: str, reason: str, rules: Rules, wait_seconds: float) -> Disposal:
    """Consent to a plan in the name of the archive's actor.

    Raises NotFoundError, UsageError without a reason, and RetentionRefused for the
    planner, for a second approval by the same user, and for a plan that does not
    fit the archive any more.
    """
    if not reason.strip():
        raise UsageError("A reason is needed, for whoever reads this in three years. Nothing was changed.")
    try:
        with archive.writing(wait_seconds) as writer:
            _refuse_doubt(archive)
            found = find(archive, identity)
            _check_approver(archive, found)
            _check_fresh(archive, found, rules.policy)
            writer.append(Draft(identity, DisposalApproved(plan_sha256=found.plan_sha256, reason=reason)))
            return find(archive, identity)
    except RetentionRefused as refused:
        journal_refusal(archive, "dispose approve", refused, wait_seconds)
        raise


def run(archive: Archive, identity: str, rules: Rules, wait_seconds: float) -> Destroyed:
    """Delete what an approved plan names and no other version needs; then certify it.

    Raises RetentionRefused (journalled) where plan, approvals, time or the
    archive's state do not allow it, StorageError where the journal or an
    object cannot be written; run it again then, it goes on where it stopped.
    """
    try:
        with archive.writing(wait_seconds) as writer:
            _refuse_doubt(archive)
            found = _allowing(archive, identity, rules.policy)
            if found.certified:
                raise RetentionRefused(
                    "{identity} was carried out before, on {at}. Nothing was deleted now.",
                    identity=identity,
                    at=found.certified,
                )
            if found.begun is None:
                _check_approved(archive, found, rules)
                selection = _check_fresh(archive, found, rules.policy)
                tags = [version.tag for version, _ in selection.going]
                # The commit point: from here on the deletion is explained, whatever happens.
                writer.append(Draft(identity, DisposalBegun(plan_sha256=found.plan_sha256, versions=tags)))
            return _carry_out(archive, writer, identity)
    except RetentionRefused as refused:
        journal_refusal(archive, "dispose run", refused, wait_seconds)
        raise


def _carry_out(archive: Archive, writer: Writer, identity: str) -> Destroyed:
    found = find(archive, identity)
    document = planned(archive, found)
    # Somebody may have put the same bytes into the watched folder since it was begun.
    needed = needed_content(archive.index)
    going = {sha256: size for sha256, size in document["objects"] if sha256 not in needed}
    kept = [sha256 for sha256, _ in document["objects"] if sha256 in needed]
    archive.content.destroy(going)
    DocumentCache(archive.root).drop(going)
    files = certificate.build(archive, found, document, kept)
    details = DisposalCertified(
        plan_sha256=found.plan_sha256, objects=len(going), bytes=sum(going.values()), kept=kept
    )
    attachments = {name: io.BytesIO(data) for name, data in files.items()}
    writer.append(Draft(identity, details, attachments))
    return Destroyed(identity, len(going), sum(going.values()), len(kept))


def refuse_unread(archive: Archive, action: str, wait_seconds: float) -> None:
    """Refuse where an event of the journal may be a hold, for all that this release understands; journalled.

    Raises RetentionRefused.
    """
    try:
        _refuse_doubt(archive)
    except RetentionRefused as refused:
        journal_refusal(archive, action, refused, wait_seconds)
        raise


def _refuse_doubt(archive: Archive) -> None:
    unread.refuse(archive.index.unread())
    if set_aside.databases(archive.root):
        raise RetentionRefused(
            "Nothing is disposed of while the repository is older than its databases: a hold may be lost. Nothing "
            "was deleted. See what is lost: archiver status. Then place lost holds again, and run: "
            "archiver reindex --accept"
        )


def find(archive: Archive, identity: str) -> Disposal:
    """The plan of that name; raises NotFoundError."""
    found = archive.index.disposals(identity)
    if not found or not identity:
        raise NotFoundError(
            "There is no disposal plan {identity}. Nothing was changed. See them with: archiver dispose list; "
            "make one with: archiver dispose plan",
            identity=identity,
        )
    return found[0]


def _allowing(archive: Archive, identity: str, policy: Policy) -> Disposal:
    try:
        return find(archive, identity)
    except NotFoundError:
        version = archive.index.version(identity)
        if version is not None and not decide(version, policy, archive.compliance_time()).disposable:
            raise _refusal(archive, [version], policy) from None
        raise RetentionRefused(
            "dispose run {identity} is refused: no approved disposal plan of that name allows it. Nothing was "
            "deleted. See what may go, and when, with: archiver dispose plan",
            identity=identity,
        ) from None


def planned(archive: Archive, found: Disposal) -> dict[str, list[tuple[str, int]]]:
    """What the plan's own event says; raises StorageError where that is damaged."""
    event = archive.journal.event(found.commit)
    document: dict[str, list[tuple[str, int]]] = json.loads(archive.journal.attachment(event, PLAN_FILE))
    return document


def _check_approver(archive: Archive, found: Disposal) -> None:
    actor = archive.actor
    if found.begun:
        raise RetentionRefused(
            "{identity} has begun already. Nothing was changed. Finish it with: archiver dispose run {identity!q}",
            identity=found.identity,
        )
    if actor.uid == found.uid:
        raise RetentionRefused(
            "{user} planned {identity} and so cannot approve it. Nothing was changed. Two other users of this "
            "server have to approve it.",
            user=actor,
            identity=found.identity,
        )
    if any(approval.uid == actor.uid for approval in found.approvals):
        raise RetentionRefused(
            "{user} has approved {identity} already. Nothing was changed. Another user has to approve it.",
            user=actor,
            identity=found.identity,
        )


def _check_approved(archive: Archive, found: Disposal, rules: Rules) -> None:
    missing = APPROVALS - len({approval.uid for approval in found.approvals} - {found.uid})
    if missing > 0:
        raise RetentionRefused(
            "{identity} lacks {missing} of {needed} approvals. Nothing was deleted. Another user than the planner "
            "approves it with: archiver dispose approve {identity!q} --reason WHY",
            identity=found.identity,
            missing=missing,
            needed=APPROVALS,
        )
    allowed = cooled_off(found, rules)
    if archive.compliance_time() < allowed:
        raise RetentionRefused(
            "{identity} is cooling off until {until} by the compliance clock. Nothing was deleted. Until then "
            "anybody may object with: archiver hold place NAME OBJECT --reason WHY",
            identity=found.identity,
            until=clock.stamp(allowed),
        )


def cooled_off(found: Disposal, rules: Rules) -> datetime:
    """When the deletion may begin, by the compliance clock: counted from the latest approval."""
    days = max(found.cooling_off_days, rules.cooling_off_days)
    return max(clock.parse(approval.clock) for approval in found.approvals) + timedelta(days=days)


def _check_fresh(archive: Archive, found: Disposal, policy: Policy) -> DisposalSelection:
    """What goes now, if that is exactly what was planned; raises RetentionRefused."""
    tags = planned(archive, found)["versions"]
    versions = [version for tag in tags if (version := archive.index.version(str(tag))) is not None]
    selection = select(archive.index, versions, policy, archive.compliance_time())
    if selection.sha256 == found.plan_sha256:
        return selection
    why = (
        LazyMessage("{tag} may not go now", tag=selection.staying[0][0].tag)
        if selection.staying
        else LazyMessage("other versions share or shared their content")
    )
    raise RetentionRefused(
        "The archive has changed since {identity} was made: {why}. Nothing was deleted. Make a new plan with: "
        "archiver dispose plan",
        identity=found.identity,
        why=why,
    )


def journal_refusal(archive: Archive, action: str, refused: ArchiverError, wait_seconds: float) -> None:
    """Record what was refused, where that can be written."""
    try:
        with archive.writing(wait_seconds) as writer:
            writer.append(Draft(action, ActRefused(reason=screen(str(refused)))))
    except ArchiverError:
        # Refused all the same; a reader without write access cannot journal it.
        return
