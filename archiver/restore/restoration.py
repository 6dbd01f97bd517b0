"""Restore versions to a folder: plan the restore first, then write, and check the SHA-256 of every written file.

The *target* is the folder to restore to.  A *material* is a file or an empty folder of a version.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

from archiver.errors import FileRestrictedError, LazyMessage, NotFoundError, StorageError, UsageError
from archiver.model import Submission, Version
from archiver.path_existence import is_there
from archiver.restore.target_folder import RestoreItem, TargetFolder
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.content.objects import ContentStore
from archiver.store.events.evidence_events import VersionsRestored
from archiver.store.index.restrictions import place_of_material, restrictions_by_place

#: The longest object of the event that records a restore, in characters. The action that journals the event cuts
#: the text at the same length.
_MAX_ABOUT_CHARACTERS = 500


class Overwrite(StrEnum):
    """Which existing files of the target a restore replaces."""

    NEVER = "never"
    IF_CHANGED = "if-changed"  # only files that differ from the archive
    ALWAYS = "always"  # equal files as well


class PlacedVersion(NamedTuple):
    """A version to restore, and the folder of the target to restore it to."""

    version: Version
    subfolder: bytes  # the name of a folder in the target; empty for the target itself


@dataclass(slots=True)
class RestorePlan:
    """The items of a restore, compared with the files in the target before anything is written."""

    target: Path
    version_tags: list[str] = field(default_factory=list)
    #: Files whose paths do not exist in the target.
    new_files: list[RestoreItem] = field(default_factory=list)
    #: Files that exist in the target with the same bytes.
    same_files: list[RestoreItem] = field(default_factory=list)
    #: Files in whose place the target has other bytes, a folder or a link.
    differing_files: list[RestoreItem] = field(default_factory=list)
    #: Empty folders, whether they exist in the target or not.
    empty_folders: list[RestoreItem] = field(default_factory=list)

    def files_to_write(self, overwrite: Overwrite) -> list[RestoreItem]:
        """Return the files that a restore writes.

        With ``ALWAYS``, these are all files; otherwise, the files that are new or differ.  With ``NEVER``, the
        caller must first refuse the restore if there are ``differing_files``.
        """
        if overwrite is Overwrite.ALWAYS:
            return self.new_files + self.differing_files + self.same_files
        return self.new_files + self.differing_files


def check_target_is_outside(target: Path, watched_folder: Path, archive: Path) -> None:
    """Raise UsageError if ``target`` is the watched folder, the archive, or a folder inside of one of them.

    Symbolic links are followed.  In the watched folder, files written to the target would be captured as new
    versions.  In the archive, they would mix with the archive's own files.
    """
    real_target = Path(os.path.realpath(target))
    for folder in (watched_folder, archive):
        forbidden_folder = Path(os.path.realpath(folder))
        if real_target == forbidden_folder or forbidden_folder in real_target.parents:
            raise UsageError(
                "{target} is in {folder}, where files are never restored. Nothing was changed. Choose another "
                "folder with --to.",
                target=target,
                folder=folder,
            )


def list_restore_items(
    archive: Archive, version: Version, globs: Sequence[str], subfolder: bytes = b""
) -> list[RestoreItem]:
    """Return the materials of a version as items to restore, in the order of their paths.

    With ``globs``, the result has only materials whose paths match at least one glob.  ``subfolder`` is the folder
    of the target in which to place the items; empty for the target itself.

    Raises NotFoundError if the version was disposed of, or if no material matches ``globs``; StorageError if a
    path leads out of the target.
    """
    if version.disposed:
        raise NotFoundError(
            "The content of {tag} was deleted in disposal {name}. Nothing was changed. To export the certificate "
            "of destruction, run: archiver dispose certificate {name!q} --to DIR",
            tag=version.tag,
            name=version.disposed,
        )
    restore_items = []
    restriction_by_place = restrictions_by_place(archive.index)
    for material in archive.index.materials(version.submission, version.number):
        if globs and not any(_matches_glob(material.path, glob) for glob in globs):
            continue
        target_path = subfolder + b"/" + material.path if subfolder else material.path
        restriction = restriction_by_place.get(place_of_material(version, material))
        restore_items.append(RestoreItem(_check_stays_in_target(target_path), material, restriction))
    if globs and not restore_items:
        raise NotFoundError(
            "No file of {tag} matches {globs}. Nothing was changed. To list the files, run: archiver show {tag!q}",
            tag=version.tag,
            globs=", ".join(globs),
        )
    return restore_items


def check_restricted_are_readable(content: ContentStore, items: Iterable[RestoreItem]) -> None:
    """Raise FileRestrictedError if this user may not read the content of one of the restricted files ``items``.

    Only the archive owner may read such content.  Call this before anything is written, so that a refused restore
    leaves no part of the files behind.  A file whose content is missing is skipped here; writing the file reports
    the loss.
    """
    for item in items:
        content_path = content.path(item.material.sha256 or "")
        if is_there(content_path) and not os.access(content_path, os.R_OK):
            raise FileRestrictedError(
                "{path} is restricted, and only the archive owner can read it. Nothing was changed. Run the "
                "command as the archive owner, or without --restricted.",
                path=names.name_as_text(item.path),
            )


def _matches_glob(path: bytes, glob: str) -> bool:
    """Return True if ``glob`` matches the bytes of a path, or the path as listings display it.

    People either type a glob or copy it from a listing.
    """
    raw_glob = glob.encode("utf-8", "surrogateescape")
    return fnmatch.fnmatchcase(path, raw_glob) or fnmatch.fnmatchcase(names.name_as_text(path), glob)


def _check_stays_in_target(path: bytes) -> bytes:
    """Return ``path`` unchanged if it is relative, and cannot lead to a place outside the target.

    Raises StorageError if a component of the path is ``.``, ``..`` or empty, or contains a NUL.
    """
    components = path.split(b"/")
    if any(component in (b"", b".", b"..") or b"\0" in component for component in components):
        raise StorageError(
            "The archive contains the file path {path}, which leads outside the target folder: the archive was "
            "tampered with. Nothing was changed. To verify the archive, run: archiver verify",
            path=names.name_as_text(path),
        )
    return path


def find_versions_at(archive: Archive, filing_name: str, moment: str) -> list[PlacedVersion]:
    """Return the versions that a filing's folder held at ``moment`` (RFC 3339, UTC).

    For each submission, this is the newest version that was captured at ``moment`` or earlier, with the folder of
    the submission.  A submission without such a version is left out.  Numbered submissions follow one another in
    the same folder, so from these only the version of the submission with the highest number is returned.

    Raises NotFoundError if the filing had no version yet at ``moment``.
    """
    newest_versions: dict[Submission, Version] = {}
    for version in archive.index.versions(filing_name):
        # The index lists the newest version first.
        if version.captured_at <= moment:
            newest_versions.setdefault(version.submission, version)
    if not newest_versions:
        raise NotFoundError(
            "The filing {filing} has no version at {moment}. Nothing was changed. To list its versions, run: "
            "archiver log {filing!q}",
            filing=filing_name,
            moment=moment,
        )
    submission_numbers = (submission.number for submission in newest_versions if submission.number is not None)
    highest_number = max(submission_numbers, default=None)
    return [
        PlacedVersion(version, submission.folder)
        for submission, version in newest_versions.items()
        if submission.number in (None, highest_number)
    ]


def plan_restore(target: Path, tags: Sequence[str], items: Iterable[RestoreItem]) -> RestorePlan:
    """Compare the items with the files in the target by their SHA-256, and return the plan of the restore.

    Nothing is written.  ``tags`` names the versions that the items come from.  A target that does not exist counts
    as empty.

    Raises UsageError if the target cannot be opened as a folder, OSError if an entry of it cannot be read.
    """
    restore_plan = RestorePlan(target, list(tags))
    with TargetFolder(target, creates_folders=False) as target_folder:
        for item in items:
            if item.material.sha256 is None:
                restore_plan.empty_folders.append(item)
            elif (entry_stat := target_folder.stat_entry(item.path)) is None:
                restore_plan.new_files.append(item)
            elif stat.S_ISREG(entry_stat.st_mode) and target_folder.hash_file(item.path) == item.material.sha256:
                restore_plan.same_files.append(item)
            else:
                restore_plan.differing_files.append(item)
    return restore_plan


def apply_restore_plan(
    content: ContentStore,
    plan: RestorePlan,
    overwrite: Overwrite,
    report_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Write the files and empty folders of the plan, and return the number of bytes written.

    ``report_progress`` is called after each file, with the bytes written so far and the bytes of all files to
    write.  After a failure, the restore can be repeated: a file gets its final name only when its content is
    complete and checked.

    Raises UsageError if files differ and ``overwrite`` is NEVER; nothing is written then.  Raises NotFoundError if
    content is missing, StorageError if content is damaged or the target cannot be written; files written before
    the error remain.
    """
    if overwrite is Overwrite.NEVER and plan.differing_files:
        raise UsageError(
            LazyMessage.define(
                "{count} files in {target} differ from the archive; the first is {path}. Nothing was changed. "
                "Choose an empty folder, or use --overwrite if-changed.",
                singular=(
                    "{count} file in {target} differs from the archive: {path}. Nothing was changed. Choose an "
                    "empty folder, or use --overwrite if-changed."
                ),
            ),
            count=len(plan.differing_files),
            target=plan.target,
            path=names.name_as_text(plan.differing_files[0].path),
        )
    bytes_written = 0
    try:
        plan.target.mkdir(parents=True, exist_ok=True)
        with TargetFolder(plan.target, creates_folders=True) as target_folder:
            for item in plan.empty_folders:
                target_folder.create_folder(item.path)
            files_to_write = plan.files_to_write(overwrite)
            total_bytes = sum(file.material.size for file in files_to_write)
            for size in _write_in_parallel(lambda file: target_folder.write_file(content, file), files_to_write):
                bytes_written += size
                report_progress(bytes_written, total_bytes)
    except OSError as error:
        raise StorageError(
            "Cannot write to {target} ({reason}). No archived data was lost. Files restored so far are complete. "
            "Free up space or choose another folder, then restore again; completed files are not written again.",
            target=plan.target,
            reason=error.strerror or error,
        ) from None
    return bytes_written


def _write_in_parallel(write_file: Callable[[RestoreItem], int], files: Sequence[RestoreItem]) -> Iterator[int]:
    """Write the files on one thread for each processor, and yield the size of each file in the order of ``files``.

    Threads are enough, because Python releases its lock while it hashes and writes.  If ``write_file`` raises, no
    further file is started, and the error is raised here.
    """
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield from pool.map(write_file, files)
    finally:
        pool.shutdown(cancel_futures=True)


def build_restore_note_arguments(plan: RestorePlan, bytes_written: int) -> dict[str, Any]:
    """Return the keyword arguments of ``RecordNote`` (archiver.actions) that journal a restore."""
    details = VersionsRestored(
        target=names.name_as_text(os.fsencode(os.path.abspath(plan.target))),
        versions=plan.version_tags,
        files=len(plan.new_files) + len(plan.differing_files) + len(plan.same_files),
        bytes_written=bytes_written,
        restricted=[
            names.name_as_text(item.path)
            for item in (*plan.new_files, *plan.differing_files, *plan.same_files)
            if item.restriction is not None
        ]
        or None,
    )
    # The details list all versions, so the object of the event may be cut.
    about = ", ".join(plan.version_tags)[:_MAX_ABOUT_CHARACTERS]
    return {
        "action": details.action.value,
        "about": about,
        "details": details.to_details(),
        # The tag of a version begins with the name of the filing.
        "filings": tuple(dict.fromkeys(tag.split("/", 1)[0] for tag in plan.version_tags)),
    }
