"""Describe a disposal plan, its approvals, and its progress."""

from __future__ import annotations

from typing import NamedTuple


class Approval(NamedTuple):
    """A person's consent to a disposal plan."""

    uid: int
    user: str
    reason: str
    #: When the plan was approved, by the wall clock.
    at: str
    #: When the plan was approved, by the compliance clock. If the first timestamp token after the approval has a
    #: later time, that time is used instead.
    clock: str


class Disposal(NamedTuple):
    """A disposal plan and its state."""

    #: The name of the plan, ``D`` and a number.
    identity: str
    #: The number of the event with the plan.
    seq: int
    #: The journal commit of the event with the plan.
    commit: str
    #: When the plan was recorded, by the wall clock.
    at: str
    #: The user who made the plan.
    uid: int
    user: str
    plan_sha256: str
    #: Days between the last approval and the earliest deletion.
    cooling_off_days: int
    #: The filing of the plan, as in refs. None in the old format 1, where a plan may be about several filings.
    filing: str | None = None
    #: Common to the plans that were made together. None for a single plan.
    act: str | None = None
    approvals: tuple[Approval, ...] = ()
    #: When the deletion began. None before.
    begun: str | None = None
    #: When the deletion was certified. None before it is complete.
    certified: str | None = None
    certified_commit: str | None = None
