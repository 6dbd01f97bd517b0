"""Resolve the names that people type to filings, submissions and versions; suggest similar ones."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from archiver.errors import LazyMessage, NotFoundError, UsageError
from archiver.model import Material, Submission, Version
from archiver.naming.readable_names import is_utf8, name_from_text
from archiver.naming.ref_names import RefName
from archiver.store.archive import Archive
from archiver.store.names import component_from_typed, ref_component

#: More suggestions would hide the sentence in front of them.
_MAX_SUGGESTIONS = 3
#: difflib's ratio, from 0 to 1.  A lower one suggests unrelated names; a higher one misses Chinese names, where
#: one wrong character of four is a quarter.
_MIN_SIMILARITY = 0.4


def find_version(archive: Archive, typed_tag: str) -> Version:
    """Return the version that a person named, with or without ``refs/tags/`` in front.

    Raises NotFoundError, whose message suggests similar names.
    """
    for spelling in ref_spellings(typed_tag):
        version = archive.index.find_version(spelling)
        if version is not None:
            return version
    raise NotFoundError(
        "Version {tag} does not exist.{near}",
        tag=typed_tag,
        near=_suggest_similar(typed_tag, archive.index.all_tags()),
    )


class FileInVersion(NamedTuple):
    """A file of a version."""

    version: Version
    material: Material


def find_file(archive: Archive, tag_and_path: str) -> FileInVersion:
    """Return the file that a person named as TAG:PATH; the path is relative to the folder of the submission.

    Raises UsageError without a path, and NotFoundError if the version does not exist or has no such file.
    """
    tag, path_text = split_tag_and_path(tag_and_path)
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


def split_tag_and_path(tag_and_path: str) -> tuple[str, str]:
    """Split TAG:PATH into the two; the path is empty if there is none.

    A folder's name may contain a colon, but the third component of a tag, such as ``v1``, never does.
    """
    folders, slash, version_and_path = _cut_folders(tag_and_path)
    version_name, _, path_text = version_and_path.partition(":")
    return f"{folders}{slash}{version_name}", path_text


def _cut_folders(tag_and_path: str) -> tuple[str, str, str]:
    """Split TAG:PATH after FILING/SUBMISSION; the first two texts are empty if it has fewer than two slashes."""
    prefix = "refs/tags/" if tag_and_path.startswith("refs/tags/") else ""
    filing, first_slash, rest = tag_and_path.removeprefix(prefix).partition("/")
    submission, second_slash, version_and_path = rest.partition("/")
    if not second_slash:
        return "", "", tag_and_path
    return f"{prefix}{filing}{first_slash}{submission}", second_slash, version_and_path


def find_submission(archive: Archive, typed_name: str) -> Submission:
    """Return the submission that a person named as FILING/SUBMISSION.

    Raises NotFoundError, whose message suggests similar names.
    """
    submission_by_name = {str(submission): submission for submission in archive.index.submissions()}
    for spelling in ref_spellings(typed_name):
        if spelling in submission_by_name:
            return submission_by_name[spelling]
    raise NotFoundError(
        "Submission folder {name} does not exist.{near}",
        name=typed_name,
        near=_suggest_similar(typed_name, list(map(RefName, submission_by_name))),
    )


def find_filing(archive: Archive, typed_name: str) -> RefName:
    """Return the name of a filing in the spelling of refs, given the name that a person typed.

    Raises NotFoundError, whose message suggests similar names.
    """
    filings = sorted({submission.filing for submission in archive.index.submissions()})
    for spelling in ref_spellings(typed_name):
        if spelling in filings:
            return RefName(spelling)
    raise NotFoundError(
        "Filing {name} does not exist.{near}", name=typed_name, near=_suggest_similar(typed_name, filings)
    )


def resolve_object_name(archive: Archive, typed_name: str) -> RefName:
    """Return the name of a filing, submission or version in the spelling of refs, given a typed name.

    The number of slashes distinguishes them: FILING, FILING/SUBMISSION or FILING/SUBMISSION/vN.  Raises
    NotFoundError, whose message suggests similar names.
    """
    slash_count = typed_name.count("/")
    if slash_count == 0:
        return find_filing(archive, typed_name)
    if slash_count == 1:
        return find_submission(archive, typed_name).ref_name
    return find_version(archive, typed_name).tag


def ref_spellings(typed_name: str) -> list[str]:
    """Return the spellings in refs of a typed name, with or without ``refs/tags/``, the most likely first.

    The first is that of the name for people, as it is printed. The others are the ref form itself, which earlier
    releases printed; the folders with this name in UTF-8, which may look as if it had escapes; the same in the
    other forms of Unicode, because a Mac composes characters differently; and the folders in GB 18030, because old
    file servers have them and people type their names on a terminal in UTF-8.
    """
    typed_name = typed_name.removeprefix("refs/tags/")
    typed_parts = [part for part in typed_name.split("/") if part]
    spellings = ["/".join(map(component_from_typed, typed_parts))]
    # No ref contains surrogates, and SQLite raises an error if they are looked up.
    if is_utf8(typed_name):
        spellings.append(typed_name)
        decoded_names = [typed_name, *(unicodedata.normalize(form, typed_name) for form in ("NFC", "NFD"))]
    else:
        decoded_names = [typed_name]
    encodings = [(name, "utf-8", "surrogateescape") for name in decoded_names] + [
        (typed_name, "gb18030", "strict")
    ]
    for name, encoding, error_handler in encodings:
        # A name with characters that the encoding lacks has no spelling in it.
        with suppress(UnicodeEncodeError):
            folder_names = (part.encode(encoding, error_handler) for part in name.split("/") if part)
            spellings.append("/".join(map(ref_component, folder_names)))
    return list(dict.fromkeys(spellings))


def _suggest_similar(typed_name: str, existing_names: Sequence[RefName]) -> LazyMessage:
    """Return the end of an error message: the names similar to ``typed_name``, or the command for listing all."""
    # Seldom needed, and importing it takes milliseconds.
    import difflib

    readable_names = [existing_name.for_people for existing_name in existing_names]
    similar_names = difflib.get_close_matches(typed_name, readable_names, _MAX_SUGGESTIONS, _MIN_SIMILARITY)
    if not similar_names:
        return LazyMessage(" To list versions, run: archiver log")
    enumeration: LazyMessage | str = similar_names[0]
    for similar_name in similar_names[1:]:
        enumeration = LazyMessage("{names}, {name}", names=enumeration, name=similar_name)
    return LazyMessage(" Did you mean: {names}?", names=enumeration)
