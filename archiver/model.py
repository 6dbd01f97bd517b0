"""The words of the program as frozen values.

Paths of materials are ``bytes``: a file server holds names in any encoding, and
they must come back byte for byte.  Their readable form is made at the edge by
:mod:`archiver.store.names`.
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
#: Where the signed tags of checkpoints lie, among the filings.
CHECKPOINTS = "_checkpoints"


@dataclass(frozen=True, slots=True)
class Submission:
    """One handing-in to the regulator (报送).

    ``filing`` and ``name`` are the ref components and together the identity;
    ``filing_folder`` and ``folder`` are the raw names of the watched folders,
    empty where the materials lie directly in the level above.
    """

    filing: str
    name: str
    filing_folder: bytes = field(compare=False, default=b"")
    folder: bytes = field(compare=False, default=b"")

    def __str__(self) -> str:
        return f"{self.filing}/{self.name}"

    @property
    def branch(self) -> str:
        """The branch that holds the submission's versions."""
        return f"refs/heads/filings/{self.filing}/{self.name}"

    @property
    def number(self) -> int | None:
        """Its place among a filing's numbered submissions, which share one folder; else None."""
        numbered = self.name.isdigit() and not self.folder and self.filing_folder
        return int(self.name) if numbered else None

    @property
    def prefix(self) -> bytes:
        """Where its materials lie, relative to the watched folder."""
        return b"/".join(part for part in (self.filing_folder, self.folder) if part)

    def tag(self, version: int) -> str:
        """The tag of one version, without ``refs/tags/``."""
        return f"{self.filing}/{self.name}/v{version}"


@dataclass(frozen=True, slots=True)
class Material:
    """One file of a submission, or an empty folder (``sha256`` is None).

    ``health`` is what was noted at capture, a word of :data:`archiver.documents.integrity.NOTES`.
    """

    path: bytes
    sha256: str | None
    size: int
    mtime_ns: int
    health: str = field(compare=False, default="")


class Op(StrEnum):
    """What a version did to one path."""

    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"
    RENAME = "rename"
    MKDIR = "mkdir"
    RMDIR = "rmdir"


@dataclass(frozen=True, slots=True)
class Change:
    """One line of ``changes.jsonl``; ``source`` is the old path of a rename, ``health`` as a material's."""

    op: Op
    path: bytes
    sha256: str | None = None
    size: int = 0
    mtime_ns: int = 0
    source: bytes | None = None
    health: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file that travels with a journal event."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something, as the kernel names them; ``user`` is empty for a number without a name."""

    uid: int
    user: str

    def __str__(self) -> str:
        return self.user or f"uid {self.uid}"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the journal, as read back."""

    seq: int
    at: str
    clock: dict[str, Any]
    actor: dict[str, Any]
    action: str
    object: str
    details: dict[str, Any]
    refs: dict[str, str]
    attachments: tuple[Attachment, ...]
    prev: str
    sha256: str
    commit: str


@dataclass(frozen=True, slots=True)
class JournalPoint:
    """The event that derived data was complete up to.

    A database whose event the journal does not have must not be believed.
    ``archive_id`` is :attr:`archiver.store.index.Index.archive_id`, ``sha256`` the digest of the event's bytes.
    """

    archive_id: str
    seq: int
    sha256: str
    commit: str


@dataclass(frozen=True, slots=True)
class UnreadEvent:
    """An event that this release does not understand; ``action`` is empty where not even that can be read.

    It may be a hold, so nothing is disposed of while there is one.
    """

    seq: int
    commit: str
    action: str


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """An event of a filing's life (备案进程): a handing-in, a notice, a decision, a look at the review."""

    seq: int
    at: str
    user: str
    action: str
    filing: str
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Submitted:
    """One handing-in of a version."""

    tag: str
    on: str
    kind: str
    number: str | None
    by: str | None
    receipt: str | None
    at: str
    clock: str
    #: What somebody gave as the reason to hand in just this version; None: nothing.
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Promises:
    """The strictest retention ever in force: years by scope, zones in which days end, hold while live.

    A scope is empty for everything, else a filing's folder or FILING/SUBMISSION, readable.
    ``unread``: the events that may promise more, because they are not understood.
    """

    years: Mapping[str, int]
    zones: tuple[str, ...]
    live: bool
    unread: tuple[UnreadEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Hold:
    """A named reason not to dispose of something, whatever the date (冻结).

    ``object`` is a filing, a submission or a version's tag, as in refs; ``lifted``
    is when it was lifted (RFC 3339), None while it is in force.
    """

    name: str
    object: str
    reason: str
    by: str | None
    user: str
    placed: str
    lifted: str | None = None
    lift_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's consent to a disposal plan.

    ``clock`` is the compliance clock then, or the time of the first token after it.
    """

    uid: int
    user: str
    reason: str
    at: str
    clock: str


@dataclass(frozen=True, slots=True)
class Disposal:
    """A disposal plan and what became of it; times are RFC 3339, None: not yet."""

    identity: str
    seq: int
    commit: str
    at: str
    uid: int
    user: str
    plan_sha256: str
    cooling_off_days: int
    approvals: tuple[Approval, ...] = ()
    begun: str | None = None
    certified: str | None = None
    certified_commit: str | None = None


@dataclass(frozen=True, slots=True)
class Version:
    """One durable state of one submission.

    ``clock`` is the compliance clock at its capture, ``superseded`` that at the
    capture of the next version of the submission, None for the newest; ``ended``
    that of every end of its filing, ``live`` whether the filing is not ended now.
    A time-stamp token moves each of them to its own time where that is later.
    ``disposed`` names the disposal that its content fell under.
    """

    submission: Submission
    number: int
    commit: str
    captured_at: str
    clock: str
    files: int
    bytes: int
    added: int
    modified: int
    deleted: int
    submitted: tuple[Submitted, ...] = ()
    holds: tuple[Hold, ...] = ()
    superseded: str | None = None
    ended: tuple[str, ...] = ()
    live: bool = True
    disposed: str | None = None

    @property
    def tag(self) -> str:
        """The version's tag, without ``refs/tags/``."""
        return self.submission.tag(self.number)
