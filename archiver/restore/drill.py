"""Rehearse a restore: an archive that was never restored from is a hope.

A random sample is restored to a scratch folder with the code that restores in earnest, read back from there, and
the result journalled.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from archiver import clock
from archiver.errors import ArchiverError, StorageError
from archiver.model import Version
from archiver.restore import restoration
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.evidence_events import DrillCompleted
from archiver.store.writer import Draft

#: A hundred files find damage to one file in fifty with 87 % probability. Many more would keep a busy server
#: reading; a few would find only what is wrong everywhere.
DEFAULT_FILE_COUNT = 100
#: A drill must not fill the archive's own disk; with less, large files would never be in a sample.
_MAX_DRILL_BYTES = 1 << 30
_DAY_SECONDS = 86_400
#: From more versions a drill of 100 files would take only a few each; from less it would miss a damaged period.
_MAX_DRILL_VERSIONS = 20
#: A damaged disk fails all files at once; the first hundred tell an administrator as much, and fit an event.
_MAX_JOURNALLED_PROBLEMS = 100


@dataclass(slots=True)
class DrillResult:
    """The size of a drill's sample, and the failures."""

    #: Tags.
    versions: set[str] = field(default_factory=set)
    files: int = 0
    bytes: int = 0
    #: TAG:PATH of each material that did not come back as it was archived.
    problems: list[str] = field(default_factory=list)


def run_drill(archive: Archive, max_files: int, lock_timeout: float) -> DrillResult:
    """Restore up to ``max_files`` random materials of random versions, compare, and journal the result.

    The scratch folder in the spool is removed; after a crash, by a later drill.

    Raises StorageError if a material did not come back as it was archived. The result is journalled first.
    """
    result = DrillResult()
    _remove_leftovers(archive.spool)
    scratch_folder = tempfile.mkdtemp(prefix="drill-", dir=archive.spool)
    try:
        versions = _sample_versions(archive)
        files_per_version = -(-max_files // max(1, len(versions)))
        for version in versions:
            if result.files >= max_files:
                break
            files_per_version = min(files_per_version, max_files - result.files)
            target = Path(scratch_folder, str(len(result.versions)))
            _restore_sample(archive, version, target, files_per_version, result)
    finally:
        _remove_tree(scratch_folder)
    details = DrillCompleted(
        versions=sorted(result.versions),
        files=result.files,
        bytes=result.bytes,
        problems=result.problems[:_MAX_JOURNALLED_PROBLEMS],
    )
    with archive.writing(lock_timeout) as writer:
        writer.append(Draft("restore", details))
    if result.problems:
        raise StorageError(
            "{count} of {files} materials of the restore drill did not come back as they were archived, the first "
            "is {first}. Nothing was changed. Run archiver verify, and bring them back from a backup or a clone.",
            count=len(result.problems),
            files=result.files,
            first=result.problems[0],
        )
    return result


def _remove_leftovers(spool: Path) -> None:
    """Remove the scratch folders of killed drills, but none younger than a day: its drill may be running."""
    for folder in spool.glob("drill-*"):
        if clock.wall_ns() - folder.stat().st_mtime_ns > _DAY_SECONDS * 10**9:
            # The drill can run without; the next one tries again.
            with suppress(OSError):
                _remove_tree(os.fspath(folder))


def _remove_tree(folder: str) -> None:
    """Remove a folder of our own, however deep; raises OSError.

    Recursion ends at a thousand levels, and the kernel takes no path longer than 4,096 bytes. So the folders
    inside a subfolder are moved up, beside the subfolder, until none is left. Safe to repeat after a crash.
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


def is_drill_due(archive: Archive, days: int) -> bool:
    """Return True if the last drill, or without one the first event, is ``days`` days ago, and versions exist."""
    last_time = archive.index.last_drill() or archive.index.made_at
    age_seconds = (clock.read().wall - clock.parse(last_time)).total_seconds() if last_time else 0.0
    # A negative age is a wall clock that was set back: a drill more does no harm.
    return not 0 <= age_seconds < days * _DAY_SECONDS and archive.index.counts()[0] > 0


def _sample_versions(archive: Archive) -> list[Version]:
    versions = [version for version in archive.index.versions() if version.files and not version.disposed]
    return random.sample(versions, min(len(versions), _MAX_DRILL_VERSIONS))


def _restore_sample(archive: Archive, version: Version, target: Path, max_files: int, result: DrillResult) -> None:
    """Restore up to ``max_files`` random materials of a version, and add the sizes and failures to ``result``."""
    items = [item for item in restoration.list_items(archive, version, ()) if item.material.sha256]
    sample, sample_bytes = [], result.bytes
    for item in random.sample(items, min(max_files, len(items))):
        if sample_bytes + item.material.size <= _MAX_DRILL_BYTES:
            sample.append(item)
            sample_bytes += item.material.size
    result.versions.add(version.tag)
    for item in sample:
        result.files += 1
        result.bytes += item.material.size
        location = f"{version.tag}:{names.text(item.path)}"
        try:
            target.mkdir(exist_ok=True)
            plan = restoration.plan_restore(target, [version.tag], [item])
            restoration.apply_plan(archive.content, plan, restoration.Overwrite.ALWAYS)
            # A second plan reads the file back, and has to find the archived bytes.
            if not restoration.plan_restore(target, [version.tag], [item]).same:
                result.problems.append(location)
        except ArchiverError:
            # The next file may come back: the drill is to report all that do not.
            result.problems.append(location)
