"""The words of the program as frozen values.

Paths of materials are ``bytes``: a file server holds names in any encoding, and names must come back byte for
byte.  :mod:`archiver.store.names` makes the readable form at the edge.  Times are RFC 3339 in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

#: Kinds of submissions.
KINDS = ("subject", "first", "correction", "change", "deregistration", "inspection", "annual", "other")
#: Submission of materials that lie directly in a filing's folder.
COMMON = "_common"
#: Filing of materials that lie directly in the watched folder.
UNFILED = "_unfiled"
#: In place of a filing, in the names of the signed tags of checkpoints.
CHECKPOINTS = "_checkpoints"


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission to the regulator (报送): a folder of materials, captured version by version."""

    #: Components of refs; together they identify the submission.
    filing: str
    name: str
    #: The raw names of the watched folders; empty if the materials lie directly in the level above.
    filing_folder: bytes = field(compare=False, default=b"")
    folder: bytes = field(compare=False, default=b"")

    def __str__(self) -> str:
        return f"{self.filing}/{self.name}"

    @property
    def branch(self) -> str:
        """The branch with the submission's versions."""
        return f"refs/heads/filings/{self.filing}/{self.name}"

    @property
    def number(self) -> int | None:
        """The position among a filing's numbered submissions, all of the same folder; None for a named one."""
        is_numbered = self.name.isdigit() and not self.folder and self.filing_folder
        return int(self.name) if is_numbered else None

    @property
    def prefix(self) -> bytes:
        """The folder of the materials, relative to the watched folder."""
        return b"/".join(part for part in (self.filing_folder, self.folder) if part)

    def tag(self, version: int) -> str:
        """Return the tag of a version by number, without ``refs/tags/``."""
        return f"{self.filing}/{self.name}/v{version}"


@dataclass(frozen=True, slots=True)
class Material:
    """A file of a submission, or an empty folder."""

    #: Relative to the folder of the submission.
    path: bytes
    #: None for an empty folder.
    sha256: str | None
    size: int
    mtime_ns: int
    #: Damage noted at the capture, a key of :data:`archiver.documents.integrity.NOTES`; empty for none.
    health: str = field(compare=False, default="")


class Op(StrEnum):
    """The kind of a change, as ``changes.jsonl`` calls it."""

    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"
    RENAME = "rename"
    MKDIR = "mkdir"
    RMDIR = "rmdir"


@dataclass(frozen=True, slots=True)
class Change:
    """A line of ``changes.jsonl``: the difference of a version from the one before, at a path."""

    op: Op
    path: bytes
    sha256: str | None = None
    size: int = 0
    mtime_ns: int = 0
    #: The old path of a rename.
    source: bytes | None = None
    #: As in :class:`Material`.
    health: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file attached to a journal event."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Actor:
    """The user behind an act, as the kernel names the user of the process."""

    uid: int
    #: Empty for a number without a name.
    user: str

    def __str__(self) -> str:
        return self.user or f"uid {self.uid}"


@dataclass(frozen=True, slots=True)
class Event:
    """An entry of the journal, as read back; docs/journal.md describes the members."""

    seq: int
    #: The wall clock.
    at: str
    #: The compliance clock, and the readings that prove it.
    clock: dict[str, Any]
    actor: dict[str, Any]
    action: str
    #: The filing, submission, version or part of the archive that the event is about.
    object: str
    details: dict[str, Any]
    refs: dict[str, str]
    attachments: tuple[Attachment, ...]
    #: The digest of the event before.
    prev: str
    #: The digest of the event's bytes.
    sha256: str
    commit: str


@dataclass(frozen=True, slots=True)
class JournalPoint:
    """The last event in derived data.

    A database with an event that the journal does not have must not be believed: it belongs to another archive,
    or to a later state of this one.
    """

    #: As :attr:`archiver.store.index.Index.archive_id`.
    archive_id: str
    seq: int
    #: The digest of the event's bytes.
    sha256: str
    commit: str


@dataclass(frozen=True, slots=True)
class UnreadEvent:
    """An event unknown to this release, or damaged: it may be a hold, so nothing is disposed of meanwhile."""

    seq: int
    commit: str
    #: Empty if not even the action can be read.
    action: str


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """An event of a filing's life (备案进程): a submission, a notice, a decision, a check of the review."""

    seq: int
    at: str
    user: str
    action: str
    filing: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class SubmissionRecord:
    """A version that was submitted to the regulator, as somebody recorded it."""

    #: The signed tag of the submission, not the tag of the version.
    tag: str
    #: The day on the portal, as entered; no period counts from a day that somebody typed.
    on: str
    #: One of :data:`KINDS`.
    kind: str
    #: The filing number; None before one is issued.
    number: str | None
    #: The person who submitted, if not the user who recorded it.
    by: str | None
    #: The name of the receipt's file; None without a receipt.
    receipt: str | None
    #: The time of the record, by the wall clock.
    at: str
    #: The time of the record, by the compliance clock.
    clock: str
    #: Why just this version was submitted; None if no reason was given.
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Promises:
    """The strictest retention ever in force, as journalled: no later setting shortens it."""

    #: Scope -> years. A scope is empty for everything, a filing's folder, or FILING/SUBMISSION, readable.
    years: Mapping[str, int]
    #: All time zones ever in force.
    zones: tuple[str, ...]
    #: Versions are held while their filing is live.
    live: bool
    #: Events that are not understood; each may promise more.
    unread: tuple[UnreadEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """A named reason not to dispose of something, whatever the date (冻结)."""

    name: str
    #: A filing, a submission or a version's tag, as in refs.
    object: str
    reason: str
    #: The person who wanted the hold, if not the user who placed it.
    by: str | None
    user: str
    #: The time of the hold.
    placed: str
    #: None while the hold is in force.
    lifted: str | None = None
    lift_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A person's consent to a disposal plan."""

    uid: int
    user: str
    reason: str
    #: The wall clock.
    at: str
    #: The compliance clock, or the time of the first token afterwards.
    clock: str


@dataclass(frozen=True, slots=True)
class Disposal:
    """A disposal plan and its state."""

    #: The name of the plan, ``D`` and a number.
    identity: str
    seq: int
    #: The commit of the event with the plan.
    commit: str
    at: str
    #: The planner.
    uid: int
    user: str
    plan_sha256: str
    cooling_off_days: int
    approvals: tuple[Approval, ...] = ()
    #: The time at which the deletion began; None before.
    begun: str | None = None
    #: The time of the certificate; None before the deletion is complete.
    certified: str | None = None
    certified_commit: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """A durable state of a submission.

    ``clock``, ``superseded`` and ``ended`` are times of the compliance clock; a time-stamp token moves each to the
    time of the token if that is later.
    """

    submission: Submission
    number: int
    commit: str
    captured_at: str
    #: The compliance clock at the capture.
    clock: str
    #: Files and bytes of the whole version.
    files: int
    bytes: int
    #: Changes from the version before.
    added: int
    modified: int
    deleted: int
    submitted: tuple[SubmissionRecord, ...] = ()
    holds: tuple[Hold, ...] = ()
    #: The capture of the next version of the submission; None for the newest.
    superseded: str | None = None
    #: Every end of the filing.
    ended: tuple[str, ...] = ()
    #: The filing has not ended.
    live: bool = True
    #: The name of the disposal that the content fell under; None before.
    disposed: str | None = None

    @property
    def tag(self) -> str:
        """The version's tag, without ``refs/tags/``."""
        return self.submission.tag(self.number)
