"""The data that the writer of an inspection package passes to the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from archiver.documents.document import Document
from archiver.errors import LazyMessage
from archiver.model import Version
from archiver.retention.policy import RetentionDecision
from archiver.store.index.submission_files import SubmissionFile


@dataclass(frozen=True, slots=True)
class Presentation:
    """The settings of the report: the opening language, and the materials that a submission should have."""

    opening_language: str  # "zh" or "en"; a reader can switch to the other language
    to_chinese: Callable[[LazyMessage], str]  # returns a message in Chinese
    expected_materials: Mapping[str, tuple[str, ...]]  # code of a kind of submission -> names of its materials


@dataclass(frozen=True, slots=True)
class MaterialLine:
    """A material of a version as listed in the package."""

    path: str  # readable, relative to the submission's folder; ends with "/" for an empty folder
    sha256: str | None  # None for an empty folder
    size: int  # in bytes
    mtime_ns: int
    content_path: str | None  # the content's path in the package; None if the package lacks the content
    #: Why the package lacks the content; None if the package has the content, and for an empty folder.
    omission_reason: LazyMessage | None = None
    defect: LazyMessage | None = None  # the defect found at capture, such as a PDF cut short
    document: Document | None = None  # None if the report does not list the version's materials
    #: The role of a file about a submission, such as "receipt"; None for a file that is part of the version.
    role: str | None = None


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version in the form for the report."""

    version: Version
    decision: RetentionDecision  # how long the version is kept
    materials: list[MaterialLine]  # empty if the report does not list the version's materials
    list_path: str  # the path in the package of the list of all materials
    #: Signed tag of a submission (any in the archive) -> the files about the submission.
    files_by_tag: Mapping[str, Sequence[SubmissionFile]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SignedHeadCount:
    """The number of signed heads in the journal, whose signatures the export does not verify."""

    count: int
    newest_seq: int  # number of the last event that the newest head covers; 0 without a head


@dataclass(slots=True)
class ExportCounts:
    """Counts and paths collected while the package is written."""

    content_count: int = 0  # contents in the package
    content_bytes: int = 0  # total size of these contents
    reading_outcomes: Counter[str] = field(default_factory=Counter)  # as ShownDocuments.outcome_counts
    #: Number of an event -> path in the package of its notice, screenshot or page.
    paper_paths: dict[int, str] = field(default_factory=dict)
    signed_heads: SignedHeadCount | None = None  # None if all events have the old journal format, format 1
