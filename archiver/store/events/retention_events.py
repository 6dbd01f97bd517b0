"""Events of retention: holds, disposals and refusals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from archiver.store.events.attached_files import (
    CERTIFICATE_FILE,
    CERTIFICATE_PAGE,
    CERTIFICATE_SIGNATURE_FILE,
    PLAN_FILE,
    AttachedFile,
)
from archiver.store.events.event_details import EventDetails, checked, noted
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import DAYS, INTEGER, TEXT, TEXTS, nullable

_HELD = "what is held: a filing, a submission or a version's tag, as in refs"
_HOLD_NAME = "name of the hold"
_PLAN_ID = "name of the plan, `D<seq>` of its event"
_PLAN_SHA256 = "SHA-256 of what the plan lists"
_REPORTED_BY = "person it was done for, beside the user that the kernel named"
_WHY = "reason, as a person gave it"


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldPlaced(EventDetails):
    """Written when somebody forbids disposals, whatever the date, until the hold is lifted."""

    action: ClassVar = Action.HOLD
    about: ClassVar = _HELD
    name: str = field(metadata=checked(TEXT, _HOLD_NAME))
    reason: str = field(metadata=checked(TEXT, _WHY))
    reported_by: str | None = field(metadata=checked(nullable(TEXT), _REPORTED_BY, name="by"))


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldLifted(EventDetails):
    """Written when a hold ends."""

    action: ClassVar = Action.LIFT
    about: ClassVar = _HELD
    name: str = field(metadata=checked(TEXT, _HOLD_NAME))
    reason: str = field(metadata=checked(TEXT, _WHY))
    reported_by: str | None = field(metadata=noted(nullable(TEXT), _REPORTED_BY, name="by"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalPlanned(EventDetails):
    """Written when somebody plans to dispose of versions whose retention is over."""

    action: ClassVar = Action.DISPOSE_PLAN
    about: ClassVar = _PLAN_ID
    attached: ClassVar = (
        AttachedFile(
            PLAN_FILE,
            "the plan: `versions`, and `objects` with SHA-256 and size; as canonical JSON, these two have the "
            "SHA-256 that is approved",
            is_required=True,
        ),
    )
    plan_sha256: str = field(metadata=checked(TEXT, _PLAN_SHA256))
    cooling_off_days: int = field(metadata=checked(DAYS, "days from the last approval to the earliest deletion"))
    versions: int = field(metadata=noted(INTEGER, "how many versions it lists"))
    objects: int = field(metadata=noted(INTEGER, "how many content objects it lists"))
    bytes: int = field(metadata=noted(INTEGER, "size of these objects"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalApproved(EventDetails):
    """Written when a user other than the planner consents to a plan; two have to."""

    action: ClassVar = Action.DISPOSE_APPROVE
    about: ClassVar = _PLAN_ID
    plan_sha256: str | None = field(metadata=noted(TEXT, _PLAN_SHA256))
    reason: str = field(metadata=checked(TEXT, _WHY))


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalBegun(EventDetails):
    """Written before the first deletion: from here on missing content is explained."""

    action: ClassVar = Action.DISPOSE_BEGIN
    about: ClassVar = _PLAN_ID
    plan_sha256: str = field(metadata=noted(TEXT, _PLAN_SHA256))
    versions: Sequence[str] = field(metadata=checked(TEXTS, "tags of the versions that are disposed of"))


@dataclass(frozen=True, slots=True, kw_only=True)
class DisposalCertified(EventDetails):
    """Written after the last deletion, with the certificate of destruction."""

    action: ClassVar = Action.DISPOSE_CERTIFY
    about: ClassVar = _PLAN_ID
    attached: ClassVar = (
        AttachedFile(CERTIFICATE_FILE, "the certificate: what was destroyed, when, by which plan and approvals"),
        AttachedFile(CERTIFICATE_SIGNATURE_FILE, "SSH signature over it with the archive's key"),
        AttachedFile(CERTIFICATE_PAGE, "the certificate as a page to read"),
    )
    plan_sha256: str = field(metadata=noted(TEXT, _PLAN_SHA256))
    objects: int = field(metadata=noted(INTEGER, "how many content objects were deleted"))
    bytes: int = field(metadata=noted(INTEGER, "size of these objects"))
    kept: Sequence[str] | None = field(
        metadata=noted(TEXTS, "SHA-256 of planned objects that stay, because a version needs them again")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ActRefused(EventDetails):
    """Written when a step of a disposal was refused, or git's hooks or the socket stopped attempts."""

    action: ClassVar = Action.REFUSE
    about: ClassVar = "command that was refused, or `git`"
    reason: str | None = field(default=None, metadata=noted(TEXT, "sentence that the caller got", optional=True))
    attempts: Sequence[str] | None = field(
        default=None, metadata=noted(TEXTS, "lines of the hooks and the socket, at most 100", optional=True)
    )
    count: int | None = field(default=None, metadata=noted(INTEGER, "how many attempts there were", optional=True))
