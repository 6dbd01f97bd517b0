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
        """Return the document that :meth:`as_json` gave; raises TypeError or KeyError for anything else.

        Neither the child nor the cache is believed: a document may have taken over the one, and damage the other.
        """
        if not isinstance(fields["lines"], list):
            raise TypeError("lines")
        document = cls(**{**fields, "lines": tuple(fields["lines"])})
        texts = (document.kind, document.problem, document.title, document.thumbnail, *document.lines)
        numbers = (document.width, document.height, 0 if document.pages is None else document.pages)
        flags = (document.partial, document.signed)
        for values, expected in ((texts, str), (numbers, int), (flags, bool)):
            if not all(isinstance(value, expected) for value in values):
                raise TypeError(f"a field that is no {expected.__name__}")
        return document
