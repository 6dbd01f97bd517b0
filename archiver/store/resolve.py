"""Resolve the names that people type to filings, submissions and versions; suggest similar ones."""

from __future__ import annotations

import difflib
from contextlib import suppress
from typing import NamedTuple

from archiver.errors import LazyMessage, NotFoundError, UsageError
from archiver.model import Material, Submission, Version
from archiver.store.archive import Archive
from archiver.store.names import is_utf8, name_from_text, ref_component

#: More suggestions would hide the sentence in front of them.
_MAX_SUGGESTIONS = 3
#: difflib's ratio, from 0 to 1.  A lower one suggests unrelated names; a higher one misses Chinese names, where
#: one wrong character of four is a quarter.
_MIN_SIMILARITY = 0.4


def find_version(archive: Archive, tag: str) -> Version:
    """Return the version with this tag, with or without ``refs/tags/`` in front.

    Raises NotFoundError, whose message suggests similar tags.
    """
    for spelling in _ref_spellings(tag.removeprefix("refs/tags/")):
        version = archive.index.find_version(spelling)
        if version is not None:
            return version
    raise NotFoundError(
        "Version {tag} does not exist.{near}",
        tag=tag,
        near=_suggest_similar(tag, archive.index.all_tags()),
    )


class FileInVersion(NamedTuple):
    """A file of a version."""

    version: Version
    material: Material


def find_file(archive: Archive, tag_and_path: str) -> FileInVersion:
    """Return the file that a person named as TAG:PATH; the path is relative to the folder of the submission.

    Raises UsageError without a path, and NotFoundError if the version does not exist or has no such file.
    """
    # A ref cannot contain a colon, so the first colon ends the tag.
    tag, _, path_text = tag_and_path.partition(":")
    if not path_text:
        raise UsageError(
            "{name} names no file. Nothing was changed. Name a file as TAG:PATH. To list the files of a version, "
            "run: archiver show TAG",
            name=tag_and_path,
        )
    version = find_version(archive, tag)
    raw_path = name_from_text(path_text)
    for material in archive.index.materials(version.submission, version.number):
        if material.path == raw_path and material.sha256 is not None:
            return FileInVersion(version, material)
    raise NotFoundError(
        "{tag} contains no file {path}. To list its files, run: archiver show {tag!q}",
        tag=version.tag,
        path=path_text,
    )


def find_submission(archive: Archive, typed_name: str) -> Submission:
    """Return the submission that a person named as FILING/SUBMISSION.

    Raises NotFoundError, whose message suggests similar names.
    """
    submission_by_name = {str(submission): submission for submission in archive.index.submissions()}
    for spelling in _ref_spellings(typed_name):
        if spelling in submission_by_name:
            return submission_by_name[spelling]
    raise NotFoundError(
        "Submission folder {name} does not exist.{near}",
        name=typed_name,
        near=_suggest_similar(typed_name, list(submission_by_name)),
    )


def find_filing(archive: Archive, typed_name: str) -> str:
    """Return the name of a filing in the spelling of refs, given the name that a person typed.

    Raises NotFoundError, whose message suggests similar names.
    """
    filings = sorted({submission.filing for submission in archive.index.submissions()})
    for spelling in _ref_spellings(typed_name):
        if spelling in filings:
            return spelling
    raise NotFoundError(
        "Filing {name} does not exist.{near}", name=typed_name, near=_suggest_similar(typed_name, filings)
    )


def resolve_object_name(archive: Archive, typed_name: str) -> str:
    """Return the name of a filing, submission or version in the spelling of refs, given a typed name.

    The number of slashes distinguishes them: FILING, FILING/SUBMISSION or FILING/SUBMISSION/vN.  Raises
    NotFoundError, whose message suggests similar names.
    """
    slash_count = typed_name.count("/")
    if slash_count == 0:
        return find_filing(archive, typed_name)
    if slash_count == 1:
        return str(find_submission(archive, typed_name))
    return find_version(archive, typed_name).tag


def _ref_spellings(typed_name: str) -> list[str]:
    """Return the spellings that a typed name may have in refs, the most likely first.

    They are the name itself, and the ref components of the folders with this name in UTF-8 and in GB 18030.  Old
    file servers have folder names in GB 18030, and people type these names on a terminal in UTF-8.
    """
    # No ref contains surrogates, and SQLite raises an error if they are looked up.
    spellings = [typed_name] if is_utf8(typed_name) else []
    for encoding, error_handler in (("utf-8", "surrogateescape"), ("gb18030", "strict")):
        # A name with characters that the encoding lacks has no spelling in it.
        with suppress(UnicodeEncodeError):
            folder_names = (part.encode(encoding, error_handler) for part in typed_name.split("/") if part)
            spellings.append("/".join(map(ref_component, folder_names)))
    return spellings


def _suggest_similar(typed_name: str, existing_names: list[str]) -> LazyMessage:
    """Return the end of an error message: the names similar to ``typed_name``, or the command for listing all."""
    similar_names = difflib.get_close_matches(typed_name, existing_names, _MAX_SUGGESTIONS, _MIN_SIMILARITY)
    if not similar_names:
        return LazyMessage(" To list versions, run: archiver log")
    enumeration: LazyMessage | str = similar_names[0]
    for similar_name in similar_names[1:]:
        enumeration = LazyMessage("{names}, {name}", names=enumeration, name=similar_name)
    return LazyMessage(" Did you mean: {names}?", names=enumeration)
