"""The open points of a submission: codes for programs, sentences for people, and their form in the journal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from archiver.errors import LazyMessage

# --- open points that refuse the signature
WATCHED_FOLDER = LazyMessage.define(
    "the watched folder is missing, or another folder is in its place", code="check.watched-folder"
)
FOLDER_MISSING = LazyMessage.define(
    "the submission folder is missing from the watched folder", code="check.folder-missing"
)
FILES_MISSING = LazyMessage.define(
    "all archived files are missing from the watched folder", code="check.files-missing"
)
UNREADABLE_PATH = LazyMessage.define("cannot be read or archived", code="check.unreadable")
BEING_WRITTEN = LazyMessage.define("is open for writing in another program", code="check.open")
CAPTURED_OPEN = LazyMessage.define(
    "was open for writing in another program when it was captured", code="check.captured-open"
)
NOT_CAPTURED = LazyMessage.define("has changed, and is not captured yet", code="check.not-captured")
NO_FILES = LazyMessage.define("the version contains no files", code="check.no-files")
STAND_IN = LazyMessage.define("stands for a document that is somewhere else", code="check.stand-in")
CONTENT_LOST = LazyMessage.define("its content is missing or damaged in the archive", code="check.content-lost")
# --- all other open points
SKIPPED = LazyMessage.define("is not archived", code="check.skipped")
WRITERS_UNKNOWN = LazyMessage.define(
    "cannot detect here whether a program still has a file open; make sure that all files are closed",
    code="check.writers-unknown",
)
CONFLICT_COPY = LazyMessage.define("is a conflict copy", code="check.conflict-copy")
PARTIAL_TRANSFER = LazyMessage.define("is an incomplete transfer", code="check.partial")
EMPTY = LazyMessage.define("is empty", code="check.empty")
ZEROS = LazyMessage.define("contains only zero bytes, as an online-only or damaged file does", code="check.zeros")
DOUBTFUL = LazyMessage.define("is possibly damaged", code="check.doubtful")
HTML_PAGE = LazyMessage.define(
    "is a web page with the name of a document, such as an error or login page", code="check.html-page"
)
EXPECTED_ABSENT = LazyMessage.define(
    "expected in a submission of this kind, and in no file name", code="check.expected-absent"
)
CAPTURED_LATER = LazyMessage.define("captured after the stated day", code="check.captured-later")
CHANGED_LATER = LazyMessage.define("modified after the stated day", code="check.changed-later")
NEWER_VERSION = LazyMessage.define("different in a newer version", code="check.newer-version")

#: Code -> the general sentence, for views of a submission that was signed earlier.
OPEN_POINTS: Mapping[str, LazyMessage] = {
    point.code: point
    for point in (
        *(WATCHED_FOLDER, FOLDER_MISSING, FILES_MISSING, UNREADABLE_PATH, BEING_WRITTEN, NOT_CAPTURED, NO_FILES),
        CAPTURED_OPEN,
        *(STAND_IN, CONTENT_LOST, SKIPPED, CONFLICT_COPY, PARTIAL_TRANSFER, EMPTY, ZEROS, DOUBTFUL, HTML_PAGE),
        *(WRITERS_UNKNOWN, EXPECTED_ABSENT, CAPTURED_LATER, CHANGED_LATER, NEWER_VERSION),
    )
}
#: The most paths that the journal records for one code.  More would make the event of a folder with a million
#: files unreadably large; fewer would leave out paths of an ordinary submission.
MAX_RECORDED_PATHS = 200
#: The most characters of these paths together.  A path may have 64 KiB, an event 16 Mi characters for all codes,
#: and an answer of the service 8 MiB.
MAX_RECORDED_CHARACTERS = 100_000


class OpenPoint(NamedTuple):
    """An open point of a submission that is about to be signed."""

    #: A key of OPEN_POINTS.
    code: str
    #: Readable, relative to the submission folder, or the name of an expected material; empty for all of it.
    path: str
    #: The sentence for people, more specific than that of OPEN_POINTS.
    reason: LazyMessage
    #: True if the version must not be signed without a reason.
    refuses: bool = False


def make_note(message: LazyMessage, path: str = "", reason: LazyMessage | None = None) -> OpenPoint:
    """Return an open point that refuses nothing; ``message`` is a value of OPEN_POINTS, and the default reason."""
    return OpenPoint(message.code, path, reason or message)


def make_refusal(message: LazyMessage, path: str = "", reason: LazyMessage | None = None) -> OpenPoint:
    """Return an open point that refuses the signature, with the parameters of :func:`make_note`."""
    return OpenPoint(message.code, path, reason or message, refuses=True)


class RecordedPoint(NamedTuple):
    """The open points with one code, as the journal records them with the signature."""

    code: str
    #: How many paths there were, more than ``paths`` has if there were too many.
    path_count: int
    #: Readable; empty if the point is about all of the submission.
    paths: Sequence[str]

    @property
    def sentence(self) -> LazyMessage:
        """The general sentence; the code itself if only a newer release knows it."""
        return OPEN_POINTS.get(self.code) or LazyMessage("{code}", code=self.code)

    def as_json(self) -> dict[str, Any]:
        """Return the form in the journal, in ``--json``, and in packages; the keys must never change."""
        return {"code": self.code, "count": self.path_count, "paths": list(self.paths)}


def record_points(points: Iterable[OpenPoint]) -> list[dict[str, Any]]:
    """Return the open points in the form for the journal: an object for each code, with its paths."""
    paths_by_code: dict[str, list[str]] = {}
    for point in points:
        paths_by_code.setdefault(point.code, []).append(point.path)
    return [
        RecordedPoint(code, len(paths), list(select_paths(filter(None, paths)))).as_json()
        for code, paths in paths_by_code.items()
    ]


def select_paths(paths: Iterable[str]) -> Iterator[str]:
    """Yield the first paths, within MAX_RECORDED_PATHS and MAX_RECORDED_CHARACTERS."""
    character_count = 0
    for path in islice(paths, MAX_RECORDED_PATHS):
        character_count += len(path)
        if character_count > MAX_RECORDED_CHARACTERS:
            return
        yield path


def read_points(recorded_value: object) -> tuple[RecordedPoint, ...]:
    """Return the open points that the journal records, which may be in a form of a newer release.

    Members have no effect but for people, so whatever has another form is left out.
    """
    recorded_points = []
    for entry in recorded_value if isinstance(recorded_value, list | tuple) else ():
        if isinstance(entry, Mapping) and isinstance(code := entry.get("code"), str):
            paths = entry.get("paths")
            texts = [path for path in paths if isinstance(path, str)] if isinstance(paths, list | tuple) else []
            count = entry.get("count")
            recorded_points.append(RecordedPoint(code, count if isinstance(count, int) else len(texts), texts))
    return tuple(recorded_points)
