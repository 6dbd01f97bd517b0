"""Rehearse a restore, so people know restoring works before the need arises.

A drill restores a random sample to a scratch folder with the code of ``archiver restore``, reads the files back,
and journals the result.
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
from archiver.store.writer import Draft

#: Size of a sample. If one file in fifty is damaged, a hundred files find damage with a probability of 87 %.
#: Many more files would keep a busy server reading. A few files would only find damage that is everywhere.
DEFAULT_FILE_COUNT = 100
#: Total size of a sample. A larger sample could fill the archive's disk. With a smaller limit, large files would
#: never be in a sample.
_MAX_DRILL_BYTES = 1 << 30
_DAY_SECONDS = 86_400
#: Versions that a sample comes from. With more versions, a drill of 100 files would restore only a few files of
#: each. With fewer versions, it could miss a period in which content was damaged.
_MAX_DRILL_VERSIONS = 20
#: Failures in the event. On a damaged disk all files may fail. The first hundred are enough for an
#: administrator, and fit into an event.
_MAX_JOURNALLED_PROBLEMS = 100


@dataclass(slots=True)
class DrillResult:
    """The size of a drill's sample, and the materials that could not be restored."""

    version_tags: set[str] = field(default_factory=set)
    file_count: int = 0
    byte_count: int = 0
    #: TAG:PATH of each material that was not restored, or not with the archived bytes.
    failed_materials: list[str] = field(default_factory=list)


def run_drill(archive: Archive, max_file_count: int, lock_timeout: float) -> DrillResult:
    """Restore up to ``max_file_count`` random materials of random versions, compare them, and journal the result.

    A material is an archived file here; empty folders are not in the sample. Waits up to ``lock_timeout`` seconds
    for the writer's lock. The scratch folder in the spool is removed in any case. If the process is killed, a
    drill on a later day removes it.

    Raises StorageError if a material was not restored as it was archived; the result is journalled before. Raises
    Busy after ``lock_timeout``, and OSError if the scratch folder cannot be created or removed.
    """
    _remove_abandoned_folders(archive.spool_folder)
    scratch_folder = tempfile.mkdtemp(prefix="drill-", dir=archive.spool_folder)
    try:
        result = _restore_random_sample(archive, Path(scratch_folder), max_file_count)
    finally:
        _remove_deep_folder(scratch_folder)
    details = DrillCompleted(
        versions=sorted(result.version_tags),
        files=result.file_count,
        bytes=result.byte_count,
        problems=result.failed_materials[:_MAX_JOURNALLED_PROBLEMS],
    )
    with archive.writing(lock_timeout) as writer:
        writer.append(Draft("restore", details))
    if result.failed_materials:
        raise StorageError(
            LazyMessage.define(
                "In the restore drill, {count} of {files} files differ from what was archived; the first is "
                "{first}. Nothing was changed. Restore them from a backup or a clone. To check the archive, run: "
                "archiver verify",
                singular=(
                    "In the restore drill, {count} of {files} files differs from what was archived: {first}. "
                    "Nothing was changed. Restore it from a backup or a clone. To check the archive, run: "
                    "archiver verify"
                ),
            ),
            count=len(result.failed_materials),
            files=result.file_count,
            first=result.failed_materials[0],
        )
    return result


def _remove_abandoned_folders(spool: Path) -> None:
    """Remove the scratch folders of drills that were killed.

    A folder that changed within the last day is left alone, because its drill may still be running.
    """
    for folder in spool.glob("drill-*"):
        if clock.wall_time_ns() - folder.stat().st_mtime_ns > _DAY_SECONDS * 10**9:
            # A leftover folder does not disturb this drill, and the next drill tries again to remove it.
            with suppress(OSError):
                _remove_deep_folder(os.fspath(folder))


def _remove_deep_folder(folder: str) -> None:
    """Remove a folder of this program with all its content, at any depth.  Raises OSError.

    ``shutil.rmtree`` alone would fail on a deep folder: recursion ends at a thousand levels, and the kernel
    accepts no path longer than 4,096 bytes. So this function moves the folders inside each subfolder up to
    ``folder``, until no subfolder is left. It can be repeated after a crash.
    """
    while subfolders := [entry for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]:
        for subfolder in subfolders:
            for entry in list(os.scandir(subfolder.path)):
                if entry.is_dir(follow_symlinks=False):
                    os.rename(entry.path, os.path.join(folder, uuid.uuid4().hex))
                else:
                    os.unlink(entry.path)
            os.rmdir(subfolder.path)
    shutil.rmtree(folder)


def is_drill_due(archive: Archive, interval_days: int) -> bool:
    """Return True if the last drill was ``interval_days`` or more days ago, and the archive has versions.

    Before the first drill, the days count from the creation of the archive. A drill is also due if the last one
    lies in the future, because the wall clock was set back: a drill too many does no harm.
    """
    counted_from = archive.index.last_drill_time() or archive.index.created_at
    elapsed_seconds = (
        (clock.read_clocks().wall - clock.parse_time(counted_from)).total_seconds() if counted_from else 0.0
    )
    is_recent = 0 <= elapsed_seconds < interval_days * _DAY_SECONDS
    return not is_recent and archive.index.version_count() > 0


def _restore_random_sample(archive: Archive, scratch_folder: Path, max_file_count: int) -> DrillResult:
    """Restore up to ``max_file_count`` random materials, about equally many of each random version.

    A version with fewer materials is not made up for by the others. Each version has a separate folder in
    ``scratch_folder``, which the caller removes.
    """
    result = DrillResult()
    versions = _sample_versions(archive)
    # Rounded up, so that the versions together reach ``max_file_count``.
    files_per_version = math.ceil(max_file_count / max(1, len(versions)))
    for version in versions:
        if result.file_count >= max_file_count:
            break
        files_per_version = min(files_per_version, max_file_count - result.file_count)
        target = scratch_folder / str(len(result.version_tags))
        _restore_sampled_version(archive, version, target, files_per_version, result)
    return result


def _sample_versions(archive: Archive) -> list[Version]:
    """Choose random versions that have files and were not disposed of, at most ``_MAX_DRILL_VERSIONS``."""
    versions = [version for version in archive.index.versions() if version.files and not version.disposed]
    return random.sample(versions, min(len(versions), _MAX_DRILL_VERSIONS))


def _restore_sampled_version(
    archive: Archive, version: Version, target: Path, max_file_count: int, result: DrillResult
) -> None:
    """Restore up to ``max_file_count`` random files of a version to ``target``, and add the outcome to ``result``.

    The files of all versions in ``result`` have ``_MAX_DRILL_BYTES`` at most.
    """
    result.version_tags.add(version.tag)
    for file in _sample_files(archive, version, max_file_count, _MAX_DRILL_BYTES - result.byte_count):
        result.file_count += 1
        result.byte_count += file.material.size
        if not _restore_and_compare(archive, version, target, file):
            result.failed_materials.append(f"{version.tag}:{names.name_as_text(file.path)}")


def _sample_files(archive: Archive, version: Version, max_file_count: int, max_bytes: int) -> list[RestoreItem]:
    """Choose up to ``max_file_count`` random files of a version.

    A chosen file is left out, and not replaced by another one, if the sample would exceed ``max_bytes`` with it.
    """
    files = [item for item in restoration.list_restore_items(archive, version, ()) if item.material.sha256]
    sample, sample_bytes = [], 0
    for file in random.sample(files, min(max_file_count, len(files))):
        if sample_bytes + file.material.size <= max_bytes:
            sample.append(file)
            sample_bytes += file.material.size
    return sample


def _restore_and_compare(archive: Archive, version: Version, target: Path, file: RestoreItem) -> bool:
    """Restore a file of a version to ``target``; return True if it then has the archived bytes.

    An error of the restore also counts as False: the drill continues, to report every material that fails.
    """
    try:
        target.mkdir(exist_ok=True)
        plan = restoration.plan_restore(target, [version.tag], [file])
        restoration.apply_restore_plan(archive.content, plan, restoration.Overwrite.ALWAYS)
        # A second plan reads the file back, and lists it in ``same_files`` if it has the archived bytes.
        return bool(restoration.plan_restore(target, [version.tag], [file]).same_files)
    except ArchiverError:  # A file that cannot be restored fails the drill; the next files are tried, too.
        return False
