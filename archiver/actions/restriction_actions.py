"""Restrict files that were captured by mistake, and end restrictions.

Only the archive owner can read a restricted file. Inspection packages and the replica leave the file out.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.registry import action
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import UsageError
from archiver.replica.bucket_settings import read_replica_settings
from archiver.replica.known_objects import open_state
from archiver.replica.object_names import content_key
from archiver.retention import file_restriction
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.index import restrictions
from archiver.store.resolve import FileInVersion, find_file

#: The most files of one request. There is an event for each file, and all events are written in one batch.
_MAX_FILES = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class RestrictFiles(Request):
    """A request to restrict files."""

    #: TAG:PATH of each file.
    files: Annotated[tuple[str, ...], Argument("files", TextRule.LOOKED_UP)]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class UnrestrictFiles(Request):
    """A request to end the restrictions of files."""

    #: TAG:PATH of each file.
    files: Annotated[tuple[str, ...], Argument("files", TextRule.LOOKED_UP)]
    reason: Annotated[str, Argument("reason")]
    reported_by: Annotated[str | None, Argument("by")] = None


@action("restrict")
def restrict_files(context: ActionContext, request: RestrictFiles) -> dict[str, Any]:
    """Restrict either all of the files or none, and withdraw the reading group's access to their content.

    Returns ``files``, a list with the following for each file:

    - ``filing``, ``path``, and ``sha256``;
    - ``versions``, the tags of the versions that have the content at this path;
    - ``elsewhere``, the unrestricted places with the same content (``path``, and the tags ``first`` and ``last``);
    - ``other_contents``, the tags of the versions that have other, unrestricted content at this path;
    - ``replica``, the copy in the bucket as of the last sync, None without a copy (``until`` is the end of the
      copy's lock, None without a lock);
    - ``exports``, the packages exported since the first of these versions (``seq``, ``at``, ``target``,
      ``recipient``);
    - ``is_open``, True if others may still read the content because its permissions cannot be changed.

    Raises NotFoundError for an unknown version or file, and UsageError if a file has no content or is restricted
    already, if there are no files or more than ``_MAX_FILES``, or if the reason is blank. Nothing is journalled
    then.
    """
    archive = context.archive
    files = _find_files(archive, request.files)
    file_restriction.restrict_files(archive, files, request.reason, request.reported_by, context.lock_timeout)
    open_digests = set(file_restriction.enforce_restrictions(archive))
    return {"files": [_describe_restricted_file(context, file, open_digests) for file in files]}


@action("unrestrict")
def unrestrict_files(context: ActionContext, request: UnrestrictFiles) -> dict[str, Any]:
    """End the restrictions of either all of the files or none, and give the reading group access to their content.

    Returns ``files``, a list with ``filing``, ``path`` and ``sha256`` of each file, and ``is_closed``, True if the
    group still has no access because the permissions of the content cannot be changed.

    Raises NotFoundError for an unknown version or file, or if a file is not restricted, and UsageError if there
    are no files or more than ``_MAX_FILES``, or if the reason is blank. Nothing is journalled then.
    """
    archive = context.archive
    files = _find_files(archive, request.files)
    file_restriction.unrestrict_files(archive, files, request.reason, request.reported_by, context.lock_timeout)
    digests = [file.material.sha256 or "" for file in files]
    closed_digests = file_restriction.restore_access(archive, digests, context.config.sensitive)
    return {
        "files": [_describe_file(file) | {"is_closed": file.material.sha256 in closed_digests} for file in files]
    }


def _find_files(archive: Archive, typed_names: tuple[str, ...]) -> list[FileInVersion]:
    """Return the files that a person named as TAG:PATH.

    A restriction covers a content at a path, in all versions of a filing. If several names lead to the same such
    place, the result has only the last of these files.

    Raises NotFoundError for an unknown version or file, and UsageError if there are no names, or too many.
    """
    if not 0 < len(typed_names) <= _MAX_FILES:
        raise UsageError(
            "Name at least one file, and at most {longest} files. Nothing was changed.", longest=_MAX_FILES
        )
    files = [find_file(archive, typed_name) for typed_name in typed_names]
    return list({file_restriction.place_of_file(file): file for file in files}.values())


def _describe_file(file: FileInVersion) -> dict[str, Any]:
    """Return the members of a result that identify the file."""
    return {
        "filing": file.version.submission.filing,
        "path": names.name_as_text(file.material.path),
        "sha256": file.material.sha256,
    }


def _describe_restricted_file(
    context: ActionContext, file: FileInVersion, open_digests: set[str]
) -> dict[str, Any]:
    """Describe the restriction of a file, for the list ``files`` of :func:`restrict_files`.

    ``open_digests`` has the SHA-256 of each content whose permissions cannot be changed.
    """
    archive = context.archive
    sha256 = file.material.sha256 or ""
    filing_name, path, _ = file_restriction.place_of_file(file)
    places = restrictions.places_of_content(archive.index, sha256)
    covered_places = [place for place in places if (place.filing, place.path) == (filing_name, path)]
    tags = [tag for place in covered_places for tag in place.tags]
    capture_time_by_tag = {version.tag: version.captured_at for version in archive.index.versions(filing_name)}
    return _describe_file(file) | {
        "versions": tags,
        "elsewhere": [
            {"path": names.name_as_text(place.path), "first": place.tags[0], "last": place.tags[-1]}
            for place in places
            if not place.is_restricted
        ],
        "other_contents": restrictions.tags_with_other_content(archive.index, filing_name, path, sha256),
        "replica": _find_replicated_copy(context, sha256),
        "exports": [
            export._asdict()
            for export in restrictions.exports_of_filing(
                archive.index, filing_name, min(capture_time_by_tag[tag] for tag in tags)
            )
        ],
        "is_open": sha256 in open_digests,
    }


def _find_replicated_copy(context: ActionContext, sha256: str) -> dict[str, Any] | None:
    """Describe the copy of a content in the bucket, as the last sync recorded it; return None without a copy."""
    archive = context.archive
    settings = read_replica_settings(archive, context.config)
    if settings is None:
        return None
    with closing(open_state(archive, settings, read_only=True)) as state:
        replicated_object = state.find_object(content_key(sha256))
    if replicated_object is None:
        return None
    locked_until = replicated_object.locked_until
    return {"until": clock.format_time(locked_until) if locked_until else None}
