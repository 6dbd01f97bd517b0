"""Events of retention: holds, disposals and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from archiver.naming.ref_names import RefName
from archiver.store.events.attached_files import (
    CERTIFICATE_FILE,
    CERTIFICATE_PAGE,
    CERTIFICATE_SIGNATURE_FILE,
    PLAN_FILE,
    AttachedFile,
)
from archiver.store.events.event_details import (
    MAX_LISTING_LENGTH,
    EventDetails,
    act_member,
    checked_member,
    filing_member,
    noted_member,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import DAYS, INTEGER, REF_NAMES, TEXT, TEXTS, nullable

_HOLD_TARGET = "the filing, submission or version tag on hold, as in refs"
_HOLD_NAME = "name of the hold"
_PLAN_ID = "name of the plan, `D<seq>` with the number of its event"
_PLAN_SHA256 = "SHA-256 of the versions and objects that the plan lists"
_REPORTED_BY = "person for whom it was done, in addition to the user named by the kernel"
_REASON = "reason, as a person gave it"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaced(EventDetails):
    """Written when somebody places a hold, which prevents the disposal of the object until the hold is lifted."""

    action: ClassVar = Action.HOLD
    object_meaning: ClassVar = _HOLD_TARGET
    name: str = field(metadata=checked_member(TEXT, _HOLD_NAME, typed=True))
    reason: str = field(metadata=checked_member(TEXT, _REASON, typed=True))
    reported_by: str | None = field(metadata=checked_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLifted(EventDetails):
    """Written when a hold ends."""

    action: ClassVar = Action.LIFT
    object_meaning: ClassVar = _HOLD_TARGET
    name: str = field(metadata=checked_member(TEXT, _HOLD_NAME, typed=True))
    reason: str = field(metadata=checked_member(TEXT, _REASON, typed=True))
    reported_by: str | None = field(metadata=noted_member(nullable(TEXT), _REPORTED_BY, name="by", typed=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalPlanned(EventDetails):
    """Written when somebody plans to dispose of versions whose retention is over."""

    action: ClassVar = Action.DISPOSE_PLAN
    object_meaning: ClassVar = _PLAN_ID
    attached_files: ClassVar = (
        AttachedFile(
            PLAN_FILE,
            "the plan: `versions`, and `objects` with SHA-256 and size; as canonical JSON, these two have the "
            "SHA-256 that is approved",
            is_required=True,
        ),
    )
    plan_sha256: str = field(metadata=checked_member(TEXT, _PLAN_SHA256))
    cooling_off_days: int = field(
        metadata=checked_member(DAYS, "days from the last approval to the earliest deletion")
    )
    versions: int = field(metadata=noted_member(INTEGER, "number of versions that it lists"))
    objects: int = field(metadata=noted_member(INTEGER, "number of content objects that it lists"))
    bytes: int = field(metadata=noted_member(INTEGER, "total size of these objects in bytes"))
    filing: str | None = filing_member()
    act: str | None = act_member()


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalApproved(EventDetails):
    """Written when a user other than the planner approves a plan; a plan needs two approvals."""

    action: ClassVar = Action.DISPOSE_APPROVE
    object_meaning: ClassVar = _PLAN_ID
    plan_sha256: str | None = field(metadata=noted_member(TEXT, _PLAN_SHA256))
    reason: str = field(metadata=checked_member(TEXT, _REASON, typed=True))
    filing: str | None = filing_member()


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalBegun(EventDetails):
    """Written before the first deletion; from here on, this event explains why content is missing."""

    action: ClassVar = Action.DISPOSE_BEGIN
    max_details_length: ClassVar = MAX_LISTING_LENGTH
    object_meaning: ClassVar = _PLAN_ID
    plan_sha256: str = field(metadata=noted_member(TEXT, _PLAN_SHA256))
    versions: Sequence[RefName] = field(
        metadata=checked_member(REF_NAMES, "tags of the versions that are being disposed of")
    )
    filing: str | None = filing_member()


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalCertified(EventDetails):
    """Written after the last deletion, with the certificate of destruction."""

    action: ClassVar = Action.DISPOSE_CERTIFY
    max_details_length: ClassVar = MAX_LISTING_LENGTH
    object_meaning: ClassVar = _PLAN_ID
    attached_files: ClassVar = (
        AttachedFile(CERTIFICATE_FILE, "the certificate: what was destroyed, when, by which plan and approvals"),
        AttachedFile(CERTIFICATE_SIGNATURE_FILE, "SSH signature over it with the archive's key"),
        AttachedFile(CERTIFICATE_PAGE, "the certificate as a page to read"),
    )
    plan_sha256: str = field(metadata=noted_member(TEXT, _PLAN_SHA256))
    objects: int = field(metadata=noted_member(INTEGER, "number of deleted content objects"))
    bytes: int = field(metadata=noted_member(INTEGER, "total size of these objects in bytes"))
    kept: Sequence[str] | None = field(
        metadata=noted_member(
            TEXTS, "SHA-256 of the planned objects that were kept, because a version needs them again"
        )
    )
    filing: str | None = filing_member()


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRefused(EventDetails):
    """Written when a step of a disposal was refused, or when git's hooks or the socket rejected attempts."""

    action: ClassVar = Action.REFUSE
    object_meaning: ClassVar = "command that was refused, or `git`"
    reason: str | None = field(
        default=None, metadata=noted_member(TEXT, "message that the caller received", optional=True)
    )
    attempts: Sequence[str] | None = field(
        default=None,
        metadata=noted_member(TEXTS, "lines noted by the hooks and the socket, at most 100", optional=True),
    )
    count: int | None = field(default=None, metadata=noted_member(INTEGER, "number of attempts", optional=True))
