"""What a person means by a name: filings, submissions and versions, with near ones where there is none."""

from __future__ import annotations

import difflib
from contextlib import suppress

from archiver.errors import NotFound, Phrase
from archiver.model import Submission, Version
from archiver.store.archive import Archive
from archiver.store.names import is_utf8, ref_component


def find_version(archive: Archive, tag: str) -> Version:
    """The version with this tag; raises NotFound with near ones."""
    for candidate in _spellings(tag.removeprefix("refs/tags/")):
        version = archive.index.version(candidate)
        if version is not None:
            return version
    raise NotFound(
        "There is no version {tag}. Nothing was changed.{near}", tag=tag, near=_near(tag, archive.index.tags())
    )


def find_submission(archive: Archive, name: str) -> Submission:
    """The submission FILING/SUBMISSION; raises NotFound with near ones."""
    known = {str(submission): submission for submission in archive.index.submissions()}
    for candidate in _spellings(name):
        if candidate in known:
            return known[candidate]
    raise NotFound(
        "There is no submission {name}. Nothing was changed.{near}", name=name, near=_near(name, list(known))
    )


def find_filing(archive: Archive, name: str) -> str:
    """The ref component of a filing; raises NotFound with near ones."""
    known = sorted({submission.filing for submission in archive.index.submissions()})
    for candidate in _spellings(name):
        if candidate in known:
            return candidate
    raise NotFound("There is no filing {name}. Nothing was changed.{near}", name=name, near=_near(name, known))


def find_object(archive: Archive, name: str) -> str:
    """A filing, submission or version as in refs: the number of levels tells which; raises NotFound."""
    levels = name.count("/")
    if levels == 0:
        return find_filing(archive, name)
    if levels == 1:
        return str(find_submission(archive, name))
    return find_version(archive, name).tag


def _spellings(name: str) -> list[str]:
    """How refs may spell what was typed: as it is, by its bytes, or by those of an old Chinese file server."""
    # SQLite takes no surrogates, and no ref holds any.
    spellings = [name] if is_utf8(name) else []
    for encoding, errors in (("utf-8", "surrogateescape"), ("gb18030", "strict")):
        with suppress(UnicodeEncodeError):
            parts = (part.encode(encoding, errors) for part in name.split("/") if part)
            spellings.append("/".join(map(ref_component, parts)))
    return spellings


def _near(name: str, known: list[str]) -> Phrase:
    near = difflib.get_close_matches(name, known, 3, 0.4)
    return (
        Phrase(" Near: {names}", names=", ".join(near))
        if near
        else Phrase(" See what there is with: archiver log")
    )
