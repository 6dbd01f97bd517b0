"""The state of an archive according to the journal, collected event by event."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from archiver.store.git.repository import Repository


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An event of the journal with access to the attachments."""

    repository: Repository
    commit: str
    event: dict[str, Any]

    def read_attachment(self, name: str) -> bytes:
        """Return the bytes of an attachment.  Raises KeyError if the commit has none of this name."""
        return self.repository.read(f"{self.commit}:{name}")

    def read_signed_tag(self) -> bytes:
        """Return the tag object created by the event, named like the object of the event.

        Raises KeyError if the event created no such tag, or the tag object is missing.
        """
        return self.repository.read(self.event["refs"][f"refs/tags/{self.event['object']}"])

    @property
    def label(self) -> str:
        """The event in the words of a finding."""
        return f"event {self.event['seq']}"


@dataclass(frozen=True, slots=True)
class ExpectedCommit:
    """The commit of a version, according to the capture event."""

    version_tag: str
    #: None for the first version of a submission.
    parent_commit: str | None
    #: Path in the tree -> blob after the change; None: the path was removed.
    changed_blobs: dict[bytes, str | None]


@dataclass(frozen=True, slots=True)
class ForwardReferences:
    """Versions and content mentioned by later events.

    Collected in a pass of its own, so that the main pass keeps details of these alone and memory stays flat.
    """

    #: Tags of versions that were submitted: their manifests are needed.
    submitted_tags: frozenset[str]
    #: SHA-256 of content in any disposal plan: the versions that hold it are needed.
    planned_content: frozenset[str]


@dataclass(slots=True)
class DisposalPlan:
    """A disposal, with the progress recorded by later events."""

    planner_uid: int
    plan_sha256: str
    version_tags: list[str]
    #: SHA-256 -> size.
    object_sizes: dict[str, int]
    cooling_off_days: int
    #: User id -> compliance clock (RFC 3339) of the first approval, or of a later token that proves it.
    approval_times: dict[int, str] = field(default_factory=dict)
    is_begun: bool = False
    is_certified: bool = False


@dataclass(slots=True)
class HoldingSpan:
    """The versions of a branch in which a path held a content: from the first, up to and without the end."""

    branch: str
    path: str
    first_version: int
    #: None: the newest version still holds the content.
    end_version: int | None = None


@dataclass(slots=True)
class JournalState:
    """The demands on the archive of all events read so far."""

    # --- the journal itself
    #: Commits of the journal, oldest first.
    journal_commits: list[str] = field(default_factory=list)
    #: SHA-256 of each event, in order; empty for an event that is missing.
    event_digests: list[str] = field(default_factory=list)
    #: The commit of the event before the current one.
    last_commit: str = ""
    #: Ref -> the object id it must have.
    expected_refs: dict[str, str] = field(default_factory=dict)

    # --- keys and authorities
    #: Lines of all keys so far, as ``keys/allowed_signers`` must have them.
    allowed_signers: bytes = b""
    #: The line of the key in force.
    current_signer: bytes = b""
    #: Certificates of the time-stamp authority (PEM); empty without one.
    pinned_roots: bytes = b""

    # --- versions
    #: Version commit -> what it must be.
    expected_commits: dict[str, ExpectedCommit] = field(default_factory=dict)
    #: Branch -> commit of the newest version.
    branch_heads: dict[str, str] = field(default_factory=dict)
    #: Branch -> number of the newest version.
    newest_numbers: dict[str, int] = field(default_factory=dict)
    #: Branch -> path -> SHA-256 (None: an empty folder) and size in the newest version.
    materials: dict[str, dict[str, tuple[str | None, int]]] = field(default_factory=dict)
    #: SHA-256 -> size of all content that was ever captured.
    content_sizes: dict[str, int] = field(default_factory=dict)
    #: Tag of a submitted version -> algorithm -> digest of its manifest.
    manifest_digests: dict[str, dict[str, str]] = field(default_factory=dict)
    #: Version tag -> compliance clock of the capture, or of a later token that proves it.
    capture_times: dict[str, str] = field(default_factory=dict)
    #: Version tags captured since the last token.
    unproven_captures: list[str] = field(default_factory=list)

    # --- holds and disposals
    #: Name of the hold, and the object that is held.
    active_holds: set[tuple[str, str]] = field(default_factory=set)
    #: Name of the disposal -> its plan.
    disposal_plans: dict[str, DisposalPlan] = field(default_factory=dict)
    #: Disposal and user of approvals since the last token.
    unproven_approvals: list[tuple[str, int]] = field(default_factory=list)
    #: SHA-256 of planned content -> where it was held.
    holding_spans: dict[str, list[HoldingSpan]] = field(default_factory=dict)
    #: SHA-256 of destroyed content -> the disposal.
    destroyed_content: dict[str, str] = field(default_factory=dict)
    disposed_tags: set[str] = field(default_factory=set)
