"""Rehearse a restore, so that people know that restoring works before they need it.

A drill restores a random sample of archived files to a scratch folder with the code of ``archiver restore``, reads
the restored files back, and journals the result.
"""

from __future__ import annotations

import math
import os
import random
import shutil
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from archiver import clock
from archiver.errors import ArchiverError, LazyMessage, StorageError
from archiver.model import Version
from archiver.restore import restoration
from archiver.restore.target_folder import RestoreItem
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import DrillCompleted
from archiver.store.writing.drafts import Draft

#: Size of a sample. If one file in fifty is damaged, a hundred files find damage with a probability of 87 %.
#: Many more files would keep a busy server reading. A few files would only find damage that is everywhere.
DEFAULT_FILE_COUNT = 100
#: Total size of a sample. A larger sample could fill the archive's disk. With a smaller limit, large files would
#: never be in a sample.
_MAX_DRILL_BYTES = 1 << 30
#: Versions that a sample comes from. With more versions, a drill of 100 files would restore only a few files of
#: each. With fewer versions, it could miss a period in which content was damaged.
_MAX_DRILL_VERSIONS = 20
#: Failed files that the event names. On a damaged disk all files may fail. The first hundred are enough for an
#: administrator, and fit into an event.
_MAX_JOURNALLED_PROBLEMS = 100
_SECONDS_PER_DAY = 86_400
_NANOSECONDS_PER_DAY = _SECONDS_PER_DAY * 10**9


@dataclass(slots=True)
class DrillResult:
    """The size of a drill's sample, and the files that could not be restored."""

    version_tags: set[str] = field(default_factory=set)
    file_count: int = 0
    byte_count: int = 0
    #: TAG:PATH of each file that was not restored, or not with the archived bytes.
    failed_materials: list[str] = field(default_factory=list)


def run_drill(archive: Archive, max_file_count: int, lock_timeout: float) -> DrillResult:
    """Restore up to ``max_file_count`` random files of random versions, compare them, and journal the result.

    Returns the result. The files are restored to a scratch folder in the spool, which is always removed. If the
    process is killed, a drill on a later day removes the folder. Waits up to ``lock_timeout`` seconds for the
    writer's lock.

    Raises StorageError if a restored file differs from the archived file; the result is journalled before. Raises
    Busy if another process still holds the lock after ``lock_timeout``; the result is not journalled then. Raises
    OSError if the scratch folder cannot be created or removed.
    """
    _remove_abandoned_folders(archive.spool_folder)
    scratch_folder = tempfile.mkdtemp(prefix="drill-", dir=archive.spool_folder)
    try:
        drill_result = _restore_random_sample(archive, Path(scratch_folder), max_file_count)
    finally:
        _remove_deep_folder(scratch_folder)
    details = DrillCompleted(
        versions=sorted(drill_result.version_tags),
        files=drill_result.file_count,
        bytes=drill_result.byte_count,
        problems=list(map(names.cut_text, drill_result.failed_materials[:_MAX_JOURNALLED_PROBLEMS])),
    )
    with archive.writing(lock_timeout) as writer:
        writer.append(Draft("restore", details))
    if drill_result.failed_materials:
        raise StorageError(
            LazyMessage.define(
                "In the restore drill, {count} of {files} files differ from the archived files; the first is "
                "{first}. Nothing was changed. Restore these files from a backup or a clone. To verify the "
                "archive, run: archiver verify",
                singular=(
                    "In the restore drill, {count} of {files} files differs from what was archived: {first}. "
                    "Nothing was changed. Restore it from a backup or a clone. To check the archive, run: "
                    "archiver verify"
                ),
            ),
            count=len(drill_result.failed_materials),
            files=drill_result.file_count,
            first=drill_result.failed_materials[0],
        )
    return drill_result


def _remove_abandoned_folders(spool: Path) -> None:
    """Remove the scratch folders of drills that were killed.

    A folder that changed within the last day is left alone, because its drill may still be running.
    """
    for folder in spool.glob("drill-*"):
        if clock.wall_time_ns() - folder.stat().st_mtime_ns > _NANOSECONDS_PER_DAY:
            # A leftover folder does not disturb this drill, and the next drill tries again to remove it.
            with suppress(OSError):
                _remove_deep_folder(os.fspath(folder))


def _remove_deep_folder(folder: str) -> None:
    """Remove a folder with all its content, at any depth.  Raises OSError if an entry cannot be removed.

    ``shutil.rmtree`` alone would fail on a deep folder: recursion ends at a thousand levels, and the kernel
    accepts no path longer than 4,096 bytes. So this function moves the folders inside each subfolder up to
    ``folder``, until no subfolder is left. The caller can repeat the call after a crash.
    """
    while subfolders := [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]:
        for subfolder in subfolders:
            for nested_entry in list(os.scandir(subfolder.path)):
                if nested_entry.is_dir(follow_symlinks=False):
                    os.rename(nested_entry.path, os.path.join(folder, uuid.uuid4().hex))
                else:
                    os.unlink(nested_entry.path)
            os.rmdir(subfolder.path)
    shutil.rmtree(folder)


def is_drill_due(archive: Archive, interval_days: int) -> bool:
    """Return True if the last drill was ``interval_days`` or more days ago, and the archive has versions.

    Before the first drill, the days count from the creation of the archive. A drill is also due if the last one is
    in the future, because somebody set the wall clock back: an extra drill does no harm.
    """
    interval_start = archive.index.last_drill_time() or archive.index.created_at
    elapsed_seconds = (
        (clock.read_clocks().wall - clock.parse_time(interval_start)).total_seconds() if interval_start else 0.0
    )
    is_recent = 0 <= elapsed_seconds < interval_days * _SECONDS_PER_DAY
    return not is_recent and archive.index.version_count() > 0


def _restore_random_sample(archive: Archive, scratch_folder: Path, max_file_count: int) -> DrillResult:
    """Restore up to ``max_file_count`` random files, about equally many of each random version.

    If a version has fewer files than its share, the sample is smaller. Each version gets a separate folder in
    ``scratch_folder``, which the caller removes.
    """
    drill_result = DrillResult()
    versions = _sample_versions(archive)
    # Rounded up, so that the versions together reach ``max_file_count``.
    files_per_version = math.ceil(max_file_count / max(1, len(versions)))
    for version in versions:
        if drill_result.file_count >= max_file_count:
            break
        files_per_version = min(files_per_version, max_file_count - drill_result.file_count)
        version_folder = scratch_folder / str(len(drill_result.version_tags))
        _restore_sampled_version(archive, version, version_folder, files_per_version, drill_result)
    return drill_result


def _sample_versions(archive: Archive) -> list[Version]:
    """Choose random versions that have files and were not disposed of, at most ``_MAX_DRILL_VERSIONS``."""
    versions = [version for version in archive.index.versions() if version.files and not version.disposed]
    return random.sample(versions, min(len(versions), _MAX_DRILL_VERSIONS))


def _restore_sampled_version(
    archive: Archive, version: Version, target: Path, max_file_count: int, drill_result: DrillResult
) -> None:
    """Restore up to ``max_file_count`` random files of a version to ``target``; update ``drill_result``.

    The total size of the drill is limited to ``_MAX_DRILL_BYTES``, including files restored before this call.
    """
    drill_result.version_tags.add(version.tag)
    for file in _sample_files(archive, version, max_file_count, _MAX_DRILL_BYTES - drill_result.byte_count):
        drill_result.file_count += 1
        drill_result.byte_count += file.material.size
        if not _restore_and_compare(archive, version, target, file):
            drill_result.failed_materials.append(f"{version.tag.for_people}:{names.name_as_text(file.path)}")


def _sample_files(archive: Archive, version: Version, max_file_count: int, max_bytes: int) -> list[RestoreItem]:
    """Choose up to ``max_file_count`` random files of a version.

    A chosen file that would make the sample exceed ``max_bytes`` is left out, and not replaced by another file.
    """
    version_files = [item for item in restoration.list_restore_items(archive, version, ()) if item.material.sha256]
    sample, sample_bytes = [], 0
    for file in random.sample(version_files, min(max_file_count, len(version_files))):
        if sample_bytes + file.material.size <= max_bytes:
            sample.append(file)
            sample_bytes += file.material.size
    return sample


def _restore_and_compare(archive: Archive, version: Version, target: Path, file: RestoreItem) -> bool:
    """Restore a file of a version to ``target``; return True if the restored file has the archived bytes.

    Returns False if the restore fails, so that the drill continues and reports every file that fails.
    """
    try:
        target.mkdir(exist_ok=True)
        restore_plan = restoration.plan_restore(target, [version.tag], [file])
        restoration.apply_restore_plan(archive.content, restore_plan, restoration.Overwrite.ALWAYS)
        # A second plan reads the file back, and lists it in ``same_files`` if it has the archived bytes.
        comparison_plan = restoration.plan_restore(target, [version.tag], [file])
        return bool(comparison_plan.same_files)
    except ArchiverError:
        # The caller records the failure, and the drill goes on with the next file.
        return False
