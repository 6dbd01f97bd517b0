"""The text and facts of a document, as frozen values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from archiver.errors import LazyMessage

#: The reasons why a document was not read: code, as in the cache and in the worker's answers -> sentence for
#: people.
PROBLEMS: Mapping[str, LazyMessage] = {
    problem.code: problem
    for problem in (
        LazyMessage.define("it is encrypted", code="document.encrypted"),
        LazyMessage.define("it is damaged", code="document.damaged"),
        LazyMessage.define("it is too large to read", code="document.too-large"),
        LazyMessage.define("reading takes too long", code="document.too-slow"),
        LazyMessage.define("reading needs too much memory or time", code="document.too-heavy"),
        LazyMessage.define("the document reader cannot be started", code="document.no-reader"),
    )
}
ENCRYPTED, DAMAGED, TOO_LARGE, TOO_SLOW, TOO_HEAVY, NO_READER = PROBLEMS
#: Earlier releases cached the sentence instead of the code. This table is complete and never changes.
_FORMER_SENTENCES = {
    "it is encrypted": "document.encrypted",
    "it is damaged": "document.damaged",
    "it is too large to be read": "document.too-large",
}


@dataclass(frozen=True, slots=True)
class Document:
    """The text and facts of a document.  The cache and the worker use the same field names in JSON."""

    #: The type, one of :mod:`archiver.documents.document_types`; empty if the file is not a document.  The field
    #: cannot be renamed, because the cache stores the type under this name.
    kind: str
    #: The text without line ends; empty if only the facts were requested.
    lines: tuple[str, ...] = ()
    #: The number of pages or slides; None for other types, and if the document could not be read.
    pages: int | None = None
    #: A code of :data:`PROBLEMS`; empty if the document could be read.
    problem: str = ""
    #: True if ``lines`` holds only the beginning of the text.
    partial: bool = False
    #: The title in the document's metadata; empty if there is none.
    title: str = ""
    #: True if the document contains a digital signature.  The signature was not verified.
    signed: bool = False
    #: The size of a picture in pixels; 0 for other types.
    width: int = 0
    height: int = 0
    #: A small JPEG of a picture, in base64; empty for other types.
    thumbnail: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the fields for :meth:`from_json`, as the worker sends and the cache stores them."""
        return asdict(self)

    @classmethod
    def from_json(cls, json_fields: dict[str, Any]) -> Document:
        """Return the document that :meth:`to_json` converted to ``json_fields``.

        Checks the type of every value: a malicious document may control the worker, and a cache file may be
        damaged.  Raises TypeError or KeyError if ``json_fields`` does not describe a document.
        """
        if not isinstance(json_fields["lines"], list):
            raise TypeError("lines is not a list")
        problem_code = json_fields.get("problem", "")
        if isinstance(problem_code, str):
            problem_code = _FORMER_SENTENCES.get(problem_code, problem_code)
        document = cls(**{**json_fields, "lines": tuple(json_fields["lines"]), "problem": problem_code})
        text_values = (document.kind, document.problem, document.title, document.thumbnail, *document.lines)
        number_values = (document.width, document.height, 0 if document.pages is None else document.pages)
        flag_values = (document.partial, document.signed)
        for field_values, expected_type in ((text_values, str), (number_values, int), (flag_values, bool)):
            if not all(isinstance(field_value, expected_type) for field_value in field_values):
                raise TypeError(f"a field is not of type {expected_type.__name__}")
        return document

    @property
    def problem_message(self) -> LazyMessage | None:
        """The sentence for ``problem``; None if the document could be read."""
        return PROBLEMS.get(self.problem)


class ExtractedDocument(NamedTuple):
    """The facts and lines extracted by the function for a type of document, such as ``read_pdf``."""

    #: Name of a field of :class:`Document` -> its value.
    facts: dict[str, Any]
    #: The lines of text.  Each line is read from the document only when it is requested, so iterating can raise.
    lines: Iterator[str]
