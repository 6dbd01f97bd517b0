"""Resolve the names that people type to filings, submissions and versions; suggest similar ones."""

from __future__ import annotations

import difflib
from contextlib import suppress

from archiver.errors import LazyMessage, NotFoundError
from archiver.model import Submission, Version
from archiver.store.archive import Archive
from archiver.store.names import is_utf8, ref_component

_MAX_SUGGESTIONS = 3
#: Of difflib's ratio, from 0 to 1; low enough for Chinese names, where one of four characters is a quarter.
_MIN_SIMILARITY = 0.4


def find_version(archive: Archive, tag: str) -> Version:
    """Return the version with this tag; raises NotFoundError with similar tags."""
    for spelling in _ref_spellings(tag.removeprefix("refs/tags/")):
        version = archive.index.version(spelling)
        if version is not None:
            return version
    raise NotFoundError(
        "There is no version {tag}. Nothing was changed.{near}",
        tag=tag,
        near=_suggestion(tag, archive.index.tags()),
    )


def find_submission(archive: Archive, name: str) -> Submission:
    """Return the submission named FILING/SUBMISSION; raises NotFoundError with similar names."""
    submission_by_name = {str(submission): submission for submission in archive.index.submissions()}
    for spelling in _ref_spellings(name):
        if spelling in submission_by_name:
            return submission_by_name[spelling]
    raise NotFoundError(
        "There is no submission {name}. Nothing was changed.{near}",
        name=name,
        near=_suggestion(name, list(submission_by_name)),
    )


def find_filing(archive: Archive, name: str) -> str:
    """Return a filing's name as refs spell it; raises NotFoundError with similar names."""
    filings = sorted({submission.filing for submission in archive.index.submissions()})
    for spelling in _ref_spellings(name):
        if spelling in filings:
            return spelling
    raise NotFoundError(
        "There is no filing {name}. Nothing was changed.{near}", name=name, near=_suggestion(name, filings)
    )


def find_object(archive: Archive, name: str) -> str:
    """Return the ref spelling of a filing, submission or version, by the number of slashes.

    Raises NotFoundError.
    """
    slash_count = name.count("/")
    if slash_count == 0:
        return find_filing(archive, name)
    if slash_count == 1:
        return str(find_submission(archive, name))
    return find_version(archive, name).tag


def _ref_spellings(name: str) -> list[str]:
    """Return how refs may spell a typed name: as it is, by its bytes, or by those of a GB18030 file server."""
    # SQLite refuses surrogates, and no ref holds any.
    spellings = [name] if is_utf8(name) else []
    for encoding, errors in (("utf-8", "surrogateescape"), ("gb18030", "strict")):
        # A name that this encoding does not have cannot be spelt in it.
        with suppress(UnicodeEncodeError):
            parts = (part.encode(encoding, errors) for part in name.split("/") if part)
            spellings.append("/".join(map(ref_component, parts)))
    return spellings


def _suggestion(name: str, existing_names: list[str]) -> LazyMessage:
    similar_names = difflib.get_close_matches(name, existing_names, _MAX_SUGGESTIONS, _MIN_SIMILARITY)
    if not similar_names:
        return LazyMessage(" See what there is with: archiver log")
    return LazyMessage(" Near: {names}", names=", ".join(similar_names))
