"""Restrict files that were captured by mistake, such as a payroll saved in the folder of a filing.

A restricted file stays archived as long as its version, and everybody sees that it exists.  But only the archive
owner can read the content, and only on request.  Inspection packages and the replica do not contain it.
"""

from __future__ import annotations

from collections.abc import Sequence

from archiver.documents.cache import DocumentCache
from archiver.errors import NotFoundError, UsageError
from archiver.model import Event
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.digests import name_algorithm
from archiver.store.events.restriction_events import FileRestricted, RestrictionLifted
from archiver.store.index import restrictions
from archiver.store.index.restrictions import FilePlace
from archiver.store.resolve import FileInVersion
from archiver.store.sensitive import matching_pattern
from archiver.store.writing.drafts import Draft


def place_of_file(file: FileInVersion) -> FilePlace:
    """Return the filing, path and content that a restriction of this file covers."""
    return restrictions.place_of_material(file.version, file.material)


def restrict_files(
    archive: Archive, files: Sequence[FileInVersion], reason: str, reported_by: str | None, lock_timeout: float
) -> list[Event]:
    """Journal a restriction of each file, all or none, and return the events.

    The restrictions are in force once they are journalled.  :func:`enforce_restrictions` then withdraws the rights
    to read the content; after a crash in between, the service does so at its next start.  ``reported_by`` is the
    person who wants the restriction, if not the archive's actor.  No two ``files`` may have the same
    :func:`place_of_file`.

    Raises UsageError if a file is empty, disposed of, or already restricted, or if the reason is blank; Busy if
    the archive is still locked after ``lock_timeout`` seconds; StorageError if it cannot be written.  Nothing is
    journalled then.
    """
    names.check_reason(reason)
    for version, material in files:
        if not material.size or version.disposed:
            raise UsageError(
                "{path} in {tag} has no content to restrict. Nothing was changed.",
                path=names.name_as_text(material.path),
                tag=version.tag,
            )
    with archive.writing(lock_timeout) as writer:
        restrictions_in_force = restrictions.restrictions_by_place(archive.index)
        for file in files:
            if place_of_file(file) in restrictions_in_force:
                raise UsageError(
                    "{path} in {tag} is already restricted. Nothing was changed.",
                    path=names.name_as_text(file.material.path),
                    tag=file.version.tag,
                )
        return writer.write_batch(_draft_events(FileRestricted, files, reason, reported_by))


def unrestrict_files(
    archive: Archive, files: Sequence[FileInVersion], reason: str, reported_by: str | None, lock_timeout: float
) -> list[Event]:
    """Journal the end of the restriction of each file, all or none, and return the events.

    Afterwards, :func:`restore_access` returns the rights to read the content.  ``reported_by`` is the person who
    wants the end of the restriction, if not the archive's actor.  No two ``files`` may have the same
    :func:`place_of_file`.

    Raises NotFoundError if a file is not restricted, UsageError if the reason is blank, Busy if the archive is
    still locked after ``lock_timeout`` seconds, StorageError if it cannot be written.  Nothing is journalled then.
    """
    names.check_reason(reason)
    with archive.writing(lock_timeout) as writer:
        restrictions_in_force = restrictions.restrictions_by_place(archive.index)
        for file in files:
            if place_of_file(file) not in restrictions_in_force:
                raise NotFoundError(
                    "{path} in {tag} is not restricted. Nothing was changed. To list the restricted files, run: "
                    "archiver status",
                    path=names.name_as_text(file.material.path),
                    tag=file.version.tag,
                )
        return writer.write_batch(_draft_events(RestrictionLifted, files, reason, reported_by))


def _draft_events(
    details_class: type[FileRestricted] | type[RestrictionLifted],
    files: Sequence[FileInVersion],
    reason: str,
    reported_by: str | None,
) -> list[Draft]:
    """Return the events that restrict ``files`` or lift their restrictions, in the order of the files."""
    return [
        Draft(
            file.version.tag,
            details_class(
                path=names.name_as_text(file.material.path),
                digest=name_algorithm("sha256", file.material.sha256 or ""),
                reason=reason,
                reported_by=reported_by,
            ),
        )
        for file in files
    ]


def enforce_restrictions(archive: Archive) -> list[str]:
    """Let only the archive owner read fully restricted content, and remove the cached text of that content.

    Content is fully restricted if restrictions cover it at every path of every version that still has it.

    Returns the SHA-256 of each content object that others may still read, because its rights cannot be changed:
    the file is immutable, or this process does not own it.  Content that the archive lacks is skipped.  Safe to
    repeat.  Raises OSError if cached text cannot be removed.
    """
    restricted_digests = restrictions.restricted_content(archive.index)
    still_readable_digests = []
    for sha256 in sorted(restricted_digests):
        try:
            if archive.content.is_open_to_others(sha256):
                archive.content.restrict_to_owner(sha256)
        except FileNotFoundError:
            # The content was disposed of, or is not rebuilt yet. If it is lost, `verify` reports that.
            continue
        except OSError:
            still_readable_digests.append(sha256)
    DocumentCache(archive.root).remove_entries(restricted_digests)
    return still_readable_digests


def restore_access(
    archive: Archive, sha256_digests: Sequence[str], sensitive_patterns: Sequence[str]
) -> list[str]:
    """Let the reading group read content again after a restriction of it has ended.

    Content is skipped if it is still fully restricted, or if one of ``sensitive_patterns`` matches one of its
    paths.  Returns the SHA-256 of each content object whose rights cannot be changed.
    """
    restricted_digests = restrictions.restricted_content(archive.index)
    unchanged_digests = []
    for sha256 in dict.fromkeys(sha256_digests):
        paths = [place.path for place in restrictions.places_of_content(archive.index, sha256)]
        if sha256 in restricted_digests or any(matching_pattern(path, sensitive_patterns) for path in paths):
            continue
        try:
            archive.content.share_with_group(sha256)
        except OSError:
            # The object is missing or immutable, and the caller reports it.
            unchanged_digests.append(sha256)
    return unchanged_digests
