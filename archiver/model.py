"""Define the terms of the program, such as submission, version and event, as classes of frozen values.

Most of the classes are named tuples: every command would have to wait for the definition of dataclasses, which
takes nine times as long.

Paths of materials are ``bytes``: a file server may have names in any encoding, and a restore must return the names
byte for byte. :mod:`archiver.store.names` converts the paths to text for people and for JSON. Times are texts in
the form of RFC 3339, in UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

from archiver.naming.ref_names import RefName, remember_folder_name

#: The kinds of submissions to the regulator.
KINDS = ("subject", "first", "correction", "change", "deregistration", "inspection", "annual", "other")


@dataclass(frozen=True, slots=True)
class Submission:
    """A submission to the regulator (报送): a folder of materials, captured version by version."""

    #: Components of the names of refs. Together they identify the submission.
    filing: RefName
    name: RefName
    #: The raw names of the folders in the watched folder. Empty if the materials are directly in the folder above.
    filing_folder: bytes = field(compare=False, default=b"")
    folder: bytes = field(compare=False, default=b"")

    def __post_init__(self) -> None:
        # A row of the index has texts, which this object alone knows to be names.
        object.__setattr__(self, "filing", RefName(self.filing))
        object.__setattr__(self, "name", RefName(self.name))
        remember_folder_name(self.filing, self.filing_folder)
        remember_folder_name(self.name, self.folder)

    def __str__(self) -> str:
        return self.ref_name

    @property
    def ref_name(self) -> RefName:
        """FILING/SUBMISSION, as in refs."""
        return RefName(f"{self.filing}/{self.name}")

    @property
    def branch(self) -> str:
        """The full name of the branch with the submission's versions."""
        return f"refs/heads/filings/{self.filing}/{self.name}"

    @property
    def number(self) -> int | None:
        """The position among the numbered submissions of a filing, or None for a submission with a name.

        All numbered submissions share the filing's folder. After the newest of them was submitted to the
        regulator, the next change in the folder begins another numbered submission.
        """
        is_numbered = self.name.isdigit() and not self.folder and self.filing_folder
        return int(self.name) if is_numbered else None

    @property
    def prefix(self) -> bytes:
        """The folder of the materials, relative to the watched folder. Empty if both are the same folder."""
        return b"/".join(part for part in (self.filing_folder, self.folder) if part)

    def tag(self, version: int) -> RefName:
        """Return the name of the tag of version number ``version``, without ``refs/tags/``."""
        return RefName(f"{self.filing}/{self.name}/v{version}")


@dataclass(frozen=True, slots=True)
class Material:
    """A file of a submission, or an empty folder."""

    #: Relative to the folder of the submission.
    path: bytes
    #: Hex digest of the content. None for an empty folder.
    sha256: str | None
    #: In bytes. 0 for an empty folder.
    size: int
    #: Modification time in nanoseconds since 1970.
    mtime_ns: int
    #: Damage that the capture noticed: a key of :data:`archiver.documents.integrity.DEFECTS`. Empty if none.
    health: str = field(compare=False, default="")


class Op(StrEnum):
    """The kind of a change, with the word used in ``changes.jsonl``."""

    ADD = "add"
    MODIFY = "modify"
    DELETE = "delete"
    RENAME = "rename"
    MKDIR = "mkdir"
    RMDIR = "rmdir"


class Change(NamedTuple):
    """A line of ``changes.jsonl``: how a version differs from the previous version at a path.

    Digest, size and time describe the new state of the path, except that a deletion has the digest and the size of
    the deleted file. Fields without a recorded value, such as the digest and the size of a folder, have their
    defaults.
    """

    op: Op
    path: bytes
    sha256: str | None = None
    size: int = 0
    mtime_ns: int = 0
    #: The old path of a rename. None for any other change.
    source: bytes | None = None
    #: Damage that the capture noticed, as in :attr:`Material.health`.
    health: str = ""


class Attachment(NamedTuple):
    """A file attached to a journal event."""

    name: str
    sha256: str
    size: int


class Actor(NamedTuple):
    """The user behind an action, as the kernel identifies the process."""

    uid: int
    #: The name of the user. Empty for a number without a name.
    user: str

    def __str__(self) -> str:
        return self.user or f"uid {self.uid}"


class Event(NamedTuple):
    """An event as read from the journal. docs/journal.md describes the members of its JSON."""

    #: The number of the event. The first event has the number 1.
    seq: int
    #: The time by the wall clock.
    at: str
    #: The compliance clock and the reading from which it was computed, in the form of
    #: :func:`archiver.clock.make_evidence`.
    clock: dict[str, Any]
    actor: dict[str, Any]
    action: str
    #: The filing, submission, version or part of the archive that the event is about.
    object: RefName
    #: The members that only events of this action have; :mod:`archiver.store.events` defines them.
    details: dict[str, Any]
    #: Full name of a ref -> the object id that the event moved the ref to.
    refs: dict[str, str]
    attachments: tuple[Attachment, ...]
    #: SHA-256 of the previous event's bytes, in hexadecimal.
    prev: str
    #: SHA-256 of this event's bytes, in hexadecimal.
    sha256: str
    #: The journal commit of the event.
    commit: str
    #: The chain of events to which the event belongs (docs/format.md), its number in the chain, and the digest of
    #: the previous event in the chain, as ``sha256:<hex>``. An event of the old journal format 1 belongs to no
    #: chain, so the values are empty, 0 and empty.
    chain: str = ""
    chain_number: int = 0
    chain_prev: str = ""
    #: ``act`` or ``note``. Empty for an event of the old journal format 1.
    event_class: str = ""


class JournalPoint(NamedTuple):
    """The last journal event whose data is in a database derived from the journal.

    If the journal lacks this event, the database must not be used: it belongs to another archive, or to a later
    state of the same archive.
    """

    #: The id of the archive, as in :attr:`archiver.store.index.queries.Index.archive_id`.
    archive_id: str
    seq: int
    #: SHA-256 of the event's bytes, in hexadecimal.
    sha256: str
    commit: str


class UnreadEvent(NamedTuple):
    """An event of the journal that is damaged, or of a kind unknown to this release.

    The event may be a hold, so nothing is disposed of while the journal contains such an event.
    """

    seq: int
    commit: str
    #: Empty if the action cannot be read either.
    action: str


class FieldChange(NamedTuple):
    """A field of a record that a correction replaced."""

    #: The name as in the journal. For a field of the filing's sheet, ``fields.`` and the name of the field.
    name: str
    old: Any
    new: Any


class Correction(NamedTuple):
    """A correction (更正) or the voiding (作废) of a record."""

    seq: int
    at: str
    #: The user who recorded the correction.
    user: str
    #: The person who made the correction or for whom it was made. None: the user who recorded it.
    by: str | None
    reason: str
    is_void: bool
    #: Empty if the record is void.
    changes: tuple[FieldChange, ...]


class LifeEvent(NamedTuple):
    """An event in the life of a filing (备案进程): a submission, a notice, a decision, a check of the review."""

    seq: int
    at: str
    user: str
    action: str
    filing: RefName
    #: The details of the record, with the corrected values.
    details: dict[str, Any]
    #: Oldest first.
    corrections: tuple[Correction, ...] = ()

    @property
    def is_void(self) -> bool:
        """True if a correction says that the record never applied."""
        return any(correction.is_void for correction in self.corrections)


class SubmissionRecord(NamedTuple):
    """The record of a version that was submitted to the regulator."""

    #: The signed tag of the submission, not the tag of the version.
    tag: RefName
    #: The day on the portal (YYYY-MM-DD), as entered by a user. No retention period counts from an entered day.
    on: str
    #: One of :data:`KINDS`.
    kind: str
    #: The filing number. None if the regulator had not issued a number yet.
    number: str | None
    #: The person who submitted. None: the user who recorded the submission.
    by: str | None
    #: The file name of the receipt. None without a receipt.
    receipt: str | None
    #: When the submission was recorded, by the wall clock.
    at: str
    #: When the submission was recorded, by the compliance clock.
    clock: str
    #: Why this version was submitted. None if no reason was given.
    reason: str | None = None
    #: The number of the event.
    seq: int = 0
    #: Oldest first. The other fields have the corrected values. Retention still counts from the record's own time.
    corrections: tuple[Correction, ...] = ()
    #: The open points at the signature, as in the journal.
    open_points: Sequence[Mapping[str, Any]] = ()

    @property
    def is_void(self) -> bool:
        """True if a correction says that nothing was submitted."""
        return any(correction.is_void for correction in self.corrections)


class Promises(NamedTuple):
    """The strictest retention ever accepted, from the journal. No later setting shortens a promise."""

    #: Scope -> calendar years. A scope is empty (everything), the readable name of a filing's folder, or
    #: FILING/SUBMISSION in readable form.
    years: Mapping[str, int]
    #: The names of all time zones that were ever accepted.
    zones: tuple[str, ...]
    #: True if versions are retained as long as their filing is live.
    live: bool
    #: Events that this release does not understand. Each may promise more.
    unread: tuple[UnreadEvent, ...] = ()


class Hold(NamedTuple):
    """A legal hold (冻结): a named reason not to dispose of something, whatever its retention period."""

    name: str
    #: A filing, a submission or a version's tag, as in refs.
    object: RefName
    reason: str
    #: The person who requested the hold. None: the user who placed it.
    by: str | None
    #: The user who placed the hold.
    user: str
    #: When the hold was placed.
    placed: str
    #: When the hold was lifted. None while it is in force.
    lifted: str | None = None
    #: None while the hold is in force.
    lift_reason: str | None = None


class Version(NamedTuple):
    """A durable state of a submission.

    ``clock``, ``superseded`` and ``ended`` are times of the compliance clock. If the first timestamp token after
    the event has a later time, that time is used instead.
    """

    submission: Submission
    #: Counts from 1 within the submission.
    number: int
    commit: str
    #: The time of the capture by the wall clock.
    captured_at: str
    #: The time of the capture by the compliance clock.
    clock: str
    #: How many files the whole version has.
    files: int
    #: The total size of its files.
    bytes: int
    #: How many materials differ from the previous version.
    added: int
    modified: int
    deleted: int
    submitted: tuple[SubmissionRecord, ...] = ()
    holds: tuple[Hold, ...] = ()
    #: When the next version was captured, of this or of the next numbered submission. None for the newest version.
    superseded: str | None = None
    #: When the filing ended, once for each time that an end was recorded.
    ended: tuple[str, ...] = ()
    #: True while the filing has not ended.
    live: bool = True
    #: The name of the disposal that the version belongs to, as soon as its deletion has begun. None before.
    disposed: str | None = None
    #: The times of ``superseded`` and ``ended`` by the wall clock, for people. No period counts from them.
    superseded_wall: str | None = None
    ended_wall: tuple[str, ...] = ()

    @property
    def tag(self) -> RefName:
        """The name of the version's tag, without ``refs/tags/``."""
        return self.submission.tag(self.number)

    @property
    def valid_submissions(self) -> tuple[SubmissionRecord, ...]:
        """The records in ``submitted`` that are not void. Retention counts from the void records, too."""
        return tuple(record for record in self.submitted if not record.is_void)
