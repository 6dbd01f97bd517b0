"""What the report is given: how to speak, the lines of each version, and what was counted on the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from archiver.documents.document import Document
from archiver.errors import Phrase
from archiver.model import Version
from archiver.retention.policy import Decision


@dataclass(frozen=True, slots=True)
class Presentation:
    """How the report is made: the language in which it opens (zh, en), what puts a phrase into Chinese,
    and the materials that each kind of submission is expected to hold.
    """

    opens: str
    chinese: Callable[[Phrase], str]
    expected: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class MaterialLine:
    """One material of one version, and where the package holds it."""

    path: str
    sha256: str | None
    size: int
    mtime_ns: int
    file: str | None
    why: Phrase | None = None
    health: str = ""
    document: Document | None = None


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version with its retention; its materials where they are listed, and their list in the package."""

    version: Version
    decision: Decision
    materials: list[MaterialLine]
    list_file: str


@dataclass(slots=True)
class Facts:
    """What the builder has counted on its way; ``outcomes``: documents opened, by what came of it."""

    files: int = 0
    bytes: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    #: Event -> where the package holds the paper that came with it: a notice, a screenshot, a page.
    papers: dict[int, str] = field(default_factory=dict)
