"""The text and facts of a document, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from archiver.errors import LazyMessage

#: Code, for the cache and the child -> the sentence for people, of each reason not to read a document.
PROBLEMS: Mapping[str, LazyMessage] = {
    problem.code: problem
    for problem in (
        LazyMessage.define("it is encrypted", code="document.encrypted"),
        LazyMessage.define("it is damaged", code="document.damaged"),
        LazyMessage.define("it is too large to be read", code="document.too-large"),
        LazyMessage.define("reading it takes too long", code="document.too-slow"),
        LazyMessage.define("reading it needs too much memory or time", code="document.too-heavy"),
        LazyMessage.define("the process that reads documents cannot be started", code="document.no-reader"),
    )
}
ENCRYPTED, DAMAGED, TOO_LARGE, TOO_SLOW, TOO_HEAVY, NO_READER = PROBLEMS
#: Earlier releases kept the sentence in their cache; these never change.
_FORMER_SENTENCES = {
    "it is encrypted": "document.encrypted",
    "it is damaged": "document.damaged",
    "it is too large to be read": "document.too-large",
}


@dataclass(frozen=True, slots=True)
class Document:
    """The readable part of a content, in the cache with the same names of fields."""

    #: A type of :mod:`archiver.documents.document_types`; empty for anything but a document.
    kind: str
    lines: tuple[str, ...] = ()
    pages: int | None = None
    #: A code of :data:`PROBLEMS`; empty if the document could be read.
    problem: str = ""
    #: The lines are only those of the beginning.
    partial: bool = False
    title: str = ""
    #: The document has a digital signature, of which nothing was checked.
    signed: bool = False
    #: Pixels of a picture.
    width: int = 0
    height: int = 0
    #: A small JPEG in base64.
    thumbnail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return the form for the way from the child, and for the cache."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Document:
        """Return the document of which :meth:`as_json` made ``fields``.

        Neither the child nor the cache is believed: a document may have taken over the one, and damage the other.

        Raises TypeError or KeyError for anything else.
        """
        if not isinstance(fields["lines"], list):
            raise TypeError("lines")
        problem = fields.get("problem", "")
        if isinstance(problem, str):
            problem = _FORMER_SENTENCES.get(problem, problem)
        document = cls(**{**fields, "lines": tuple(fields["lines"]), "problem": problem})
        texts = (document.kind, document.problem, document.title, document.thumbnail, *document.lines)
        numbers = (document.width, document.height, 0 if document.pages is None else document.pages)
        flags = (document.partial, document.signed)
        for values, expected in ((texts, str), (numbers, int), (flags, bool)):
            if not all(isinstance(value, expected) for value in values):
                raise TypeError(f"a field that is no {expected.__name__}")
        return document

    @property
    def problem_message(self) -> LazyMessage | None:
        """The sentence for ``problem``; None if the document could be read."""
        return PROBLEMS.get(self.problem)
