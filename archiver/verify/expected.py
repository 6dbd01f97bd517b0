"""What the journal, read on its own, says the archive must be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archiver.store.git.repository import Repository


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One event of the journal, where its attachments can be read."""

    repository: Repository
    commit: str
    event: dict[str, Any]

    def read(self, name: str) -> bytes:
        """An attachment's bytes; raises KeyError."""
        return self.repository.read(f"{self.commit}:{name}")

    def tag(self) -> bytes:
        """The signed tag that the event made under its object's name; raises KeyError."""
        return self.repository.read(self.event["refs"][f"refs/tags/{self.event['object']}"])

    @property
    def where(self) -> str:
        """The event, for a finding."""
        return f"event {self.event['seq']}"


@dataclass(frozen=True, slots=True)
class Expected:
    """What one version's commit must be, by its capture event."""

    seq: int
    tag: str
    parent: str | None
    blobs: dict[bytes, str | None]


@dataclass(frozen=True, slots=True)
class Watched:
    """What an event will be asked for later in the journal, found first so that memory stays flat.

    ``sealed``: tags of versions that were handed in; ``planned``: SHA-256 of the
    content that some disposal plan names.
    """

    sealed: frozenset[str]
    planned: frozenset[str]


@dataclass(slots=True)
class DisposalPlan:
    """A disposal, as its events tell it; ``approvals``: user id -> compliance clock (RFC 3339)."""

    uid: int
    sha256: str
    versions: list[str]
    objects: dict[str, int]
    cooling_off_days: int
    approvals: dict[int, str] = field(default_factory=dict)
    begun: bool = False
    certified: bool = False


@dataclass(slots=True)
class RetentionSpan:
    """From which version of a branch on, and up to but without which, some path held a content."""

    branch: str
    path: str
    first: int
    until: int | None = None


@dataclass(slots=True)
class JournalState:
    """The archive's past.

    ``states``: branch -> path -> (sha256, size) of the newest version so far;
    ``heads``: branch -> its newest commit so far; ``manifests``: tag of a sealed
    version -> digests of its manifest; ``referenced``: sha256 -> size;
    ``journal``: its commits, ``digests``: the SHA-256 of each event, in order;
    ``signers``: the list of keys, ``key``: the one that signs now; ``roots``: the
    pinned time-stamp authority (PEM); ``captured``: tag -> compliance clock;
    ``unproven``: tags since the last token, ``unproven_approvals`` likewise
    (disposal, user); ``numbers``: branch -> newest version; ``spans``: where planned
    content was held; ``gone``: sha256 of destroyed content -> its disposal;
    ``disposed``: tags.
    """

    refs: dict[str, str] = field(default_factory=dict)
    referenced: dict[str, int] = field(default_factory=dict)
    states: dict[str, dict[str, tuple[str | None, int]]] = field(default_factory=dict)
    heads: dict[str, str] = field(default_factory=dict)
    manifests: dict[str, dict[str, str]] = field(default_factory=dict)
    commits: dict[str, Expected] = field(default_factory=dict)
    signers: bytes = b""
    key: bytes = b""
    roots: bytes = b""
    digests: list[str] = field(default_factory=list)
    last_commit: str = ""
    journal: list[str] = field(default_factory=list)
    captured: dict[str, str] = field(default_factory=dict)
    unproven: list[str] = field(default_factory=list)
    unproven_approvals: list[tuple[str, int]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)
    spans: dict[str, list[RetentionSpan]] = field(default_factory=dict)
    holds: set[tuple[str, str]] = field(default_factory=set)
    plans: dict[str, DisposalPlan] = field(default_factory=dict)
    gone: dict[str, str] = field(default_factory=dict)
    disposed: set[str] = field(default_factory=set)
