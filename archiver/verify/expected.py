"""Describe the state that the journal requires of an archive; the checks collect it event by event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from archiver.naming.ref_names import RefName
from archiver.store.events.corrections import CORRECTABLE_MEMBERS, RecordCorrected
from archiver.store.git.repository import Repository
from archiver.verify.chain_replay import ChainReplay


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """An event of the journal, with access to the attachments."""

    repository: Repository
    #: The journal commit that has the event and its attachments.
    commit: str
    #: The members of the event, those of both files in format 2; docs/journal.md describes them.
    event: dict[str, Any]

    def read_attachment(self, file_name: str) -> bytes:
        """Return the bytes of an attachment.  Raises KeyError if the commit has no file with this name."""
        return self.repository.read(f"{self.commit}:{file_name}")

    def read_signed_tag(self) -> bytes:
        """Return the bytes of the tag object that the event created.

        The tag is named after the object of the event. Raises KeyError if the event created no such tag, or if the
        tag object is missing.
        """
        return self.repository.read(self.event["refs"][f"refs/tags/{self.event['object']}"])

    @property
    def display_name(self) -> str:
        """The event's name in findings, such as ``event 12``."""
        return f"event {self.event['seq']}"


@dataclass(frozen=True, slots=True)
class ExpectedCommit:
    """The expected commit of a version, according to the capture event."""

    version_tag: RefName
    #: None for the first version of a submission.
    parent_commit: str | None
    #: Path in the tree -> object id of the blob after the change; None if the change removed the path.
    changed_blobs: dict[bytes, str | None]


class RecordedMaterial(NamedTuple):
    """The content of a path in a version."""

    sha256: str | None  # None for an empty folder
    size: int  # bytes


#: Readable path and SHA-256 of the files of a version that are about a submission to the regulator, such as a
#: receipt, and not part of the submission.
LeftOutFiles: TypeAlias = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ForwardReferences:
    """Versions and content to which later events refer.

    A first pass over the journal collects these references. So the main pass has to remember only details of these
    versions and this content, and needs little memory for a long journal.
    """

    #: Tag of a version that was submitted to the regulator -> the files about each submission. The main pass
    #: computes the manifests without these.
    left_out_by_tag: Mapping[str, frozenset[LeftOutFiles]]
    #: SHA-256 of all content in any disposal plan or restriction. The main pass records which versions have it.
    planned_content: frozenset[str]


@dataclass(slots=True)
class DisposalPlan:
    """A disposal plan, with the steps that later events recorded."""

    planner_uid: int
    #: The digest that approvals must name.
    plan_sha256: str
    version_tags: list[str]
    #: SHA-256 of each object to destroy -> size in bytes.
    object_sizes: dict[str, int]
    #: Days between the last approval and the earliest beginning.
    cooling_off_days: int
    #: User id -> compliance clock (RFC 3339) of the first approval. If the first timestamp token after the
    #: approval has a later time, that time is used instead.
    approval_times: dict[int, str] = field(default_factory=dict)
    #: User id -> number of the event of format 2 with the first approval.
    approval_seqs: dict[int, int] = field(default_factory=dict)
    is_begun: bool = False
    is_certified: bool = False


@dataclass(slots=True)
class PlannedContentSpan:
    """Consecutive versions of a submission that have the same content at the same path.

    Spans are recorded only for content in a disposal plan or a restriction.
    """

    #: The ref of the submission's branch.
    branch: str
    path: str
    first_version: int
    #: The first version without the content; None if the newest version still has it.
    end_version: int | None = None

    def version_tags(self, newest_version: int) -> Iterator[str]:
        """Yield the tags of the versions in the span, oldest first.

        ``newest_version`` is the number of the newest version of the branch, and the last version of an open span.
        """
        end_version = self.end_version or newest_version + 1
        submission_name = self.branch.removeprefix("refs/heads/filings/")
        for version_number in range(self.first_version, end_version):
            yield f"{submission_name}/v{version_number}"


class ActiveHold(NamedTuple):
    """A hold that was placed and not lifted."""

    hold_name: str
    object_name: str  # the filing, submission or version tag that is held


class UnprovenApproval(NamedTuple):
    """An approval not yet covered by a timestamp token, so no outsider confirms the time."""

    disposal_name: str
    uid: int  # the user who approved


class CorrectableRecord(NamedTuple):
    """An event of a filing that a correction may name."""

    action: str
    filing: str


@dataclass(slots=True)
class JournalState:
    """The state that the events read so far require of the archive.

    Times are those of the compliance clock (RFC 3339), by which retention is decided. A *token* is the signed
    reply of a timestamp authority. Object ids are Git's; content is named by its SHA-256.
    """

    # --- the journal itself
    #: Commits of the journal, oldest first.
    journal_commits: list[str] = field(default_factory=list)
    #: SHA-256 of each event's bytes, oldest event first; empty for an event that is missing.
    event_digests: list[str] = field(default_factory=list)
    #: The commit of the previous event; empty before the first event.
    last_commit: str = ""
    #: Full name of the ref -> the object id that it must have.
    expected_refs: dict[str, str] = field(default_factory=dict)

    # --- chains and signed heads of format 2
    chain_replay: ChainReplay = field(default_factory=ChainReplay)
    #: The numbers of the events of each batch whose head has a valid signature, oldest first.
    signed_batches: list[range] = field(default_factory=list)
    #: Number of an event -> SHA-256 of the signed head with it, in hexadecimal.
    head_digests: dict[int, str] = field(default_factory=dict)
    #: Name of a filing's chain -> name of the filing, and the reverse.
    filing_by_chain: dict[str, str] = field(default_factory=dict)
    chain_by_filing: dict[str, str] = field(default_factory=dict)
    #: Filing -> commits of its events of format 1.
    earlier_commits: dict[str, list[str]] = field(default_factory=dict)
    #: The reason for a new key, from the event before the key's own event; empty without such a reason.
    key_reason: str = ""

    # --- records of filings
    #: Number of the event -> what a correction must name.
    correctable_records: dict[int, CorrectableRecord] = field(default_factory=dict)
    #: Numbers of the events that are void.
    void_records: set[int] = field(default_factory=set)

    # --- keys and authorities
    #: Lines of all keys so far, byte for byte as the file ``keys/allowed_signers`` must have them.
    allowed_signers: bytes = b""
    #: The line of the signing key in force.
    current_signer: bytes = b""
    #: Certificates of the timestamp authority (PEM); empty for an archive without an authority.
    pinned_roots: bytes = b""

    # --- versions
    #: Commit of a version -> what the commit must be.
    expected_commits: dict[str, ExpectedCommit] = field(default_factory=dict)
    #: Branch -> commit of the newest version.
    branch_heads: dict[str, str] = field(default_factory=dict)
    #: Branch -> number of the newest version.
    newest_numbers: dict[str, int] = field(default_factory=dict)
    #: Branch -> path -> content of the path in the newest version.
    materials: dict[str, dict[str, RecordedMaterial]] = field(default_factory=dict)
    #: SHA-256 -> size in bytes, of all content that was ever captured. Empty files have no content object.
    content_sizes: dict[str, int] = field(default_factory=dict)
    #: Tag of a submitted version, and the files about one of its submissions -> name of the algorithm -> digest of
    #: the manifest in hexadecimal; no digest if the version lacks one of the files.
    manifest_digests: dict[tuple[str, LeftOutFiles], dict[str, str]] = field(default_factory=dict)
    #: Version tag -> time of the capture. If the first token after it has a later time, that time is used instead.
    capture_times: dict[str, str] = field(default_factory=dict)
    #: Tags of versions captured since the last token.
    unproven_captures: list[str] = field(default_factory=list)

    # --- holds and disposals
    #: A hold is a named reason not to dispose of something.
    active_holds: set[ActiveHold] = field(default_factory=set)
    #: Name of the disposal -> its plan.
    disposal_plans: dict[str, DisposalPlan] = field(default_factory=dict)
    #: Approvals since the last token.
    unproven_approvals: list[UnprovenApproval] = field(default_factory=list)
    #: SHA-256 of planned content -> the versions that have it, a span for each path.
    planned_content_spans: dict[str, list[PlannedContentSpan]] = field(default_factory=dict)
    #: The restrictions in force: filing, path, and SHA-256.
    active_restrictions: set[tuple[str, str, str]] = field(default_factory=set)
    #: SHA-256 of content that may be missing -> name of the disposal that destroyed it.
    destroyed_content: dict[str, str] = field(default_factory=dict)
    #: Tags of the versions in all disposals that were begun.
    disposed_tags: set[str] = field(default_factory=set)

    def note_record(self, event: Mapping[str, Any]) -> None:
        """Remember an event that a correction may name."""
        if event["action"] in CORRECTABLE_MEMBERS:
            filing_name = event["object"].split("/", 1)[0]
            self.correctable_records[event["seq"]] = CorrectableRecord(event["action"], filing_name)

    def apply_correction(self, event: Mapping[str, Any]) -> None:
        """Apply a correction, which may void the corrected event.

        Raises ValueError if the event lacks a member, if the filing has no such event, or if that event is void.
        """
        details = RecordCorrected.from_details(event["details"])
        expected_record = CorrectableRecord(details.corrected_action, event["object"])
        if self.correctable_records.get(details.corrected_seq) != expected_record:
            raise ValueError("it corrects no such event of the filing")
        if details.corrected_seq in self.void_records:
            raise ValueError("it corrects an event that is void")
        if details.is_void:
            self.void_records.add(details.corrected_seq)
