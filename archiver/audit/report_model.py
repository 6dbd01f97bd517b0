"""The data that the writer of a package hands to its report."""

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
    """The choices of whoever exports that change how the report looks, not what it says."""

    opens: str  # the language in which it opens: "zh" or "en"
    chinese: Callable[[LazyMessage], str]  # translates a message
    expected: Mapping[str, tuple[str, ...]]  # kind of submission -> materials that it should hold


@dataclass(frozen=True, slots=True)
class MaterialLine:
    """One material of one version, and where the package holds its content."""

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
    """One version with its retention and the place of its list of materials in the package."""

    version: Version
    decision: Decision
    materials: list[MaterialLine]  # empty for versions whose materials the report does not list
    list_file: str


@dataclass(slots=True)
class ExportCounts:
    """What was counted while the package was written."""

    files: int = 0
    bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)  # of opening documents, by result
    #: Event number -> where the package holds its attachment: a notice, a screenshot, a page.
    papers: dict[int, str] = field(default_factory=dict)
