"""The data handed from the writer of a package to the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from archiver.documents.document import Document
from archiver.errors import LazyMessage
from archiver.model import Version
from archiver.retention.policy import Decision


@dataclass(frozen=True, slots=True)
class Presentation:
    """Choices for the look of the report, not for its content."""

    opening_language: str  # the language in which it opens: "zh" or "en"
    to_chinese: Callable[[LazyMessage], str]  # translates a message
    expected_materials: Mapping[str, tuple[str, ...]]  # kind of submission -> materials that it should hold


@dataclass(frozen=True, slots=True)
class MaterialLine:
    """A material of a version, with the content's path in the package."""

    path: str
    sha256: str | None  # None for an empty folder
    size: int
    mtime_ns: int
    file: str | None  # path in the package; None if the content is left out
    why: LazyMessage | None = None  # why it is left out
    health: LazyMessage | None = None  # doubts that were noted at capture, such as a truncated PDF
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class VersionLine:
    """A version with the retention, and with the path of the list of materials in the package."""

    version: Version
    decision: Decision
    materials: list[MaterialLine]  # empty for versions whose materials the report does not list
    list_file: str


@dataclass(slots=True)
class ExportCounts:
    """Counts made while the package was written."""

    files: int = 0
    bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # of opening documents, by result
    #: Event number -> where the package holds its attachment: a notice, a screenshot, a page.
    papers: dict[int, str] = field(default_factory=dict)
