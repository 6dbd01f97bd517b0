"""Restore drills: an archive that was never restored from is a hope.

A random sample is restored to a scratch folder with the code that restores in
earnest, read back from there, and the result journalled.
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

FILES = 100
#: A drill must not fill the archive's own disk.
_LARGEST_BYTES = 1 << 30
_DAY_SECONDS = 86_400
_SOME = 20


@dataclass(slots=True)
class DrillResult:
    """What a drill has tried; ``problems``: path and reason."""

    versions: set[str] = field(default_factory=set)
    files: int = 0
    bytes: int = 0
    problems: list[str] = field(default_factory=list)


def drill(archive: Archive, files: int, wait_seconds: float) -> DrillResult:
    """Restore up to ``files`` random materials of random versions, compare, journal the result.

    Raises StorageError where one did not come back as it was archived.
    """
    outcome = DrillResult()
    _clear_leftovers(archive.spool)
    scratch = tempfile.mkdtemp(prefix="drill-", dir=archive.spool)
    try:
        versions = _some_versions(archive)
        share = -(-files // max(1, len(versions)))
        for version in versions:
            if outcome.files >= files:
                break
            share = min(share, files - outcome.files)
            _rehearse(archive, version, Path(scratch, str(len(outcome.versions))), share, outcome)
    finally:
        _remove(scratch)
    details = DrillCompleted(
        versions=sorted(outcome.versions),
        files=outcome.files,
        bytes=outcome.bytes,
        problems=outcome.problems[:100],
    )
    with archive.writing(wait_seconds) as writer:
        writer.append(Draft("restore", details))
    if outcome.problems:
        raise StorageError(
            "{count} of {files} materials of the restore drill did not come back as they were archived, the first "
            "is {first}. Nothing was changed. Run archiver verify, and bring them back from a backup or a clone.",
            count=len(outcome.problems),
            files=outcome.files,
            first=outcome.problems[0],
        )
    return outcome


def _clear_leftovers(spool: Path) -> None:
    """What a drill that was killed left behind; one that may be running now is younger than a day."""
    for folder in spool.glob("drill-*"):
        if clock.wall_ns() - folder.stat().st_mtime_ns > _DAY_SECONDS * 10**9:
            with suppress(OSError):
                _remove(os.fspath(folder))


def _remove(folder: str) -> None:
    """Remove a folder of our own, however deep it is; raises OSError.

    What calls itself for each folder ends at a thousand of them, and no longer path is taken than 4,096
    bytes: so the folders come up, each beside the one that it lay in.  If it is killed, it can begin again.
    """
    while inner := [each for each in os.scandir(folder) if each.is_dir(follow_symlinks=False)]:
        for each in inner:
            for entry in list(os.scandir(each.path)):
                if entry.is_dir(follow_symlinks=False):
                    os.rename(entry.path, os.path.join(folder, uuid.uuid4().hex))
                else:
                    os.unlink(entry.path)
            os.rmdir(each.path)
    shutil.rmtree(folder)


def is_due(archive: Archive, days: int) -> bool:
    """Whether the last drill, or the beginning, is ``days`` days ago, and there is something to restore."""
    last = archive.index.last_drill() or archive.index.made_at
    age = (clock.read().wall - clock.parse(last)).total_seconds() if last else 0.0
    return not 0 <= age < days * _DAY_SECONDS and archive.index.counts()[0] > 0


def _some_versions(archive: Archive) -> list[Version]:
    versions = [version for version in archive.index.versions() if version.files and not version.disposed]
    return random.sample(versions, min(len(versions), _SOME))


def _rehearse(archive: Archive, version: Version, target: Path, share: int, outcome: DrillResult) -> None:
    items = [item for item in restoration.items_of(archive, version, ()) if item.material.sha256]
    chosen, size = [], outcome.bytes
    for item in random.sample(items, min(share, len(items))):
        if size + item.material.size <= _LARGEST_BYTES:
            chosen.append(item)
            size += item.material.size
    outcome.versions.add(version.tag)
    for item in chosen:
        outcome.files += 1
        outcome.bytes += item.material.size
        where = f"{version.tag}:{names.text(item.path)}"
        try:
            target.mkdir(exist_ok=True)
            plan = restoration.plan(target, [version.tag], [item])
            restoration.apply(archive.content, plan, restoration.Overwrite.ALWAYS)
            # Planned once more, it is read back, and has to be there as it should.
            if not restoration.plan(target, [version.tag], [item]).same:
                outcome.problems.append(where)
        except ArchiverError:
            outcome.problems.append(where)
