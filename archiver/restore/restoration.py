"""Bring versions back: plan first, then write, every byte hashed again."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from archiver.errors import LazyMessage, NotFoundError, StorageError, UsageError
from archiver.model import Submission, Version
from archiver.restore.target_folder import RestoreItem, TargetFolder
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.content.objects import ContentStore
from archiver.store.events.evidence_events import VersionsRestored


class Overwrite(StrEnum):
    """The treatment of existing files in the target."""

    NEVER = "never"
    IF_CHANGED = "if-changed"
    ALWAYS = "always"


@dataclass(slots=True)
class RestorePlan:
    """The items of a restore, compared with the target before anything is written."""

    target: Path
    #: Tags.
    versions: list[str] = field(default_factory=list)
    #: Files without a counterpart in the target.
    new: list[RestoreItem] = field(default_factory=list)
    #: Files with the same bytes in the target.
    same: list[RestoreItem] = field(default_factory=list)
    #: Files with something else under their name in the target.
    differing: list[RestoreItem] = field(default_factory=list)
    #: Empty folders.
    folders: list[RestoreItem] = field(default_factory=list)

    def to_write(self, overwrite: Overwrite) -> list[RestoreItem]:
        """Return the files to write."""
        if overwrite is Overwrite.ALWAYS:
            return self.new + self.differing + self.same
        return self.new + self.differing


def check_target(target: Path, watch: Path, archive: Path) -> None:
    """Refuse a target in the watched folder or the archive, even behind a symbolic link.

    Restored files would be captured as new versions, or mix with the archive's own. Raises UsageError.
    """
    real_target = Path(os.path.realpath(target))
    for folder in (watch, archive):
        forbidden_folder = Path(os.path.realpath(folder))
        if real_target == forbidden_folder or forbidden_folder in real_target.parents:
            raise UsageError(
                "{target} lies inside {folder}, where nothing is ever restored to. Nothing was written. "
                "Choose another folder with --to.",
                target=target,
                folder=folder,
            )


def list_items(
    archive: Archive, version: Version, globs: Sequence[str], subfolder: bytes = b""
) -> list[RestoreItem]:
    """Return a version's materials as items, placed in ``subfolder``; with ``globs`` only the matching ones.

    Raises NotFoundError for a version that was disposed of, and for ``globs`` without a match; StorageError for a
    path that leads out of the target.
    """
    if version.disposed:
        raise NotFoundError(
            "The content of {tag} was disposed of under certificate {name}. Nothing was written. See it with: "
            "archiver dispose certificate {name!q} --to DIR",
            tag=version.tag,
            name=version.disposed,
        )
    items = []
    for material in archive.index.materials(version.submission, version.number):
        if globs and not any(_matches_glob(material.path, glob) for glob in globs):
            continue
        path = subfolder + b"/" + material.path if subfolder else material.path
        items.append(RestoreItem(_check_path(path), material))
    if globs and not items:
        raise NotFoundError(
            "No material of {tag} fits {globs}. Nothing was written. See the names with: archiver show {tag!q}",
            tag=version.tag,
            globs=", ".join(globs),
        )
    return items


def _matches_glob(path: bytes, glob: str) -> bool:
    """Match the bytes of a path, and the path as people read it: a glob may be typed or copied from a listing."""
    return fnmatch.fnmatchcase(path, glob.encode("utf-8", "surrogateescape")) or fnmatch.fnmatchcase(
        names.text(path), glob
    )


def _check_path(path: bytes) -> bytes:
    """Return the path if it stays in the target; raises StorageError for a path with ``..`` or empty parts."""
    parts = path.split(b"/")
    if any(part in (b"", b".", b"..") or b"\0" in part for part in parts):
        raise StorageError(
            "The archive names a material {path}, which leads out of the target. Nothing was written. "
            "Run archiver verify: the archive has been tampered with.",
            path=names.text(path),
        )
    return path


def versions_at(archive: Archive, filing: str, moment: str) -> list[tuple[Version, bytes]]:
    """Return the newest version of each submission at ``moment`` (RFC 3339, UTC), and the submission's folder.

    Raises NotFoundError for a filing without a version at that time.
    """
    newest_versions: dict[Submission, Version] = {}
    for version in archive.index.versions(filing):
        # The index lists the newest version first.
        if version.captured_at <= moment:
            newest_versions.setdefault(version.submission, version)
    if not newest_versions:
        raise NotFoundError(
            "The filing {filing} has no version at {moment}. Nothing was written. See its versions with: "
            "archiver log {filing!q}",
            filing=filing,
            moment=moment,
        )
    # Numbered submissions share one folder: only the last one was there.
    numbers = (submission.number for submission in newest_versions if submission.number is not None)
    last_number = max(numbers, default=None)
    return [
        (version, submission.folder)
        for submission, version in newest_versions.items()
        if submission.number in (None, last_number)
    ]


def plan_restore(target: Path, tags: Sequence[str], items: Iterable[RestoreItem]) -> RestorePlan:
    """Compare the items with the files in the target, byte for byte; write nothing.

    Raises UsageError for a target that cannot be opened as a folder; a target that does not exist is empty.
    """
    plan = RestorePlan(target, list(tags))
    with TargetFolder(target, create=False) as folder:
        for item in items:
            if item.material.sha256 is None:
                plan.folders.append(item)
            elif (file_stat := folder.stat_file(item.path)) is None:
                plan.new.append(item)
            elif stat.S_ISREG(file_stat.st_mode) and folder.hash_file(item.path) == item.material.sha256:
                plan.same.append(item)
            else:
                plan.differing.append(item)
    return plan


def apply_plan(
    content: ContentStore,
    plan: RestorePlan,
    overwrite: Overwrite,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Write the files of the plan, and return the bytes written.

    ``progress`` is called with the bytes written so far and the bytes of all files. Safe to repeat: each file gets
    its name only when it is complete and checked.

    Raises UsageError before anything is written if files differ and ``overwrite`` is NEVER, StorageError or
    NotFoundError for content that is damaged or missing, StorageError if the target cannot be written.
    """
    if overwrite is Overwrite.NEVER and plan.differing:
        raise UsageError(
            LazyMessage.define(
                "{count} files in {target} differ from the archive, the first is {path}. Nothing was "
                "written. Choose an empty folder, or say --overwrite if-changed.",
                singular="{count} file in {target} differs from the archive: {path}. Nothing was written. Choose "
                "an empty folder, or say --overwrite if-changed.",
            ),
            count=len(plan.differing),
            target=plan.target,
            path=names.text(plan.differing[0].path),
        )
    bytes_written = 0
    try:
        plan.target.mkdir(parents=True, exist_ok=True)
        with TargetFolder(plan.target, create=True) as folder:
            for item in plan.folders:
                folder.make_folder(item.path)
            items = plan.to_write(overwrite)
            total_bytes = sum(item.material.size for item in items)
            for size in _write_in_parallel(lambda item: folder.write_file(content, item), items):
                bytes_written += size
                progress(bytes_written, total_bytes)
    except OSError as error:
        raise StorageError(
            "{target} cannot be written ({reason}). Nothing archived was lost; what was restored so far is "
            "whole. Make room or choose another folder, and restore again: it goes on where it stopped.",
            target=plan.target,
            reason=error.strerror or error,
        ) from None
    return bytes_written


def _write_in_parallel(write: Callable[[RestoreItem], int], items: Sequence[RestoreItem]) -> Iterator[int]:
    """Write the items with a thread for each processor, and yield the sizes in the order of ``items``.

    Threads are enough: Python releases its lock while it hashes and writes. After the first failure no further
    item is begun.
    """
    pool = ThreadPoolExecutor(len(os.sched_getaffinity(0)))
    try:
        yield from pool.map(write, items)
    finally:
        pool.shutdown(cancel_futures=True)


def restore_note(plan: RestorePlan, bytes_written: int) -> dict[str, Any]:
    """Return the arguments of the note for the journal: the versions restored, and the folder."""
    details = VersionsRestored(
        target=names.text(os.fsencode(os.path.abspath(plan.target))),
        versions=plan.versions,
        files=len(plan.new) + len(plan.differing) + len(plan.same),
        bytes_written=bytes_written,
    )
    about = ", ".join(plan.versions)[:500]
    return {"action": details.action.value, "about": about, "details": details.to_details()}
