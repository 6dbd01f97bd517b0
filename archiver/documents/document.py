"""What can be told of a document, as frozen values."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

ENCRYPTED = "it is encrypted"
DAMAGED = "it is damaged"
LARGE = "it is too large to be read"
SLOW = "reading it takes too long"
HEAVY = "reading it needs too much memory or time"
UNSTARTED = "the process that reads documents cannot be started"


@dataclass(frozen=True, slots=True)
class Document:
    """What could be read of one content.

    ``kind`` is empty for what is no document; ``problem`` says why it cannot be
    read; ``partial``: the lines are those of its beginning.  ``thumbnail`` is a
    small JPEG in base64, ``width`` and ``height`` are pixels.
    """

    kind: str
    lines: tuple[str, ...] = ()
    pages: int | None = None
    problem: str = ""
    partial: bool = False
    title: str = ""
    signed: bool = False
    width: int = 0
    height: int = 0
    thumbnail: str = ""

    def as_json(self) -> dict[str, Any]:
        """For the way from the child, and for the cache."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Document:
        """The inverse of :meth:`as_json`; raises TypeError or KeyError."""
        return cls(**{**fields, "lines": tuple(fields["lines"])})
