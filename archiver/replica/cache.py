"""Content that outgrows the disk: the bucket is where it lives, the disk holds what was used last."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from archiver import clock
from archiver.config import Config
from archiver.errors import StorageProblem
from archiver.existence import is_there
from archiver.replica import keys
from archiver.replica.opened import STATE, Replica, reached, settings_of
from archiver.replica.port import Bucket
from archiver.replica.recovery import bring
from archiver.replica.settings import Settings
from archiver.replica.state import Known, State
from archiver.store.archive import Archive

#: A lock that ends sooner is no place for the only copy.
_LEAST_LOCK = timedelta(days=30)
_BATCH = 200


class Cache:
    """Brings contents back that only the bucket has; what :class:`ContentStore` falls through to."""

    def __init__(self, archive: Archive, settings: Settings) -> None:
        self._archive, self._settings = archive, settings
        self._lock = threading.Lock()

    def size(self, sha256: str) -> int | None:
        """The size of a content that only the bucket has; None if it is none of those."""
        state = State(self._archive.root / STATE, read_only=True)
        try:
            return state.evicted_size(sha256)
        finally:
            state.close()

    def bring(self, sha256s: Iterable[str]) -> None:
        """Fetch contents, hashed again; raises StorageProblem where one cannot be had."""
        with self._lock, reached(self._archive.root, self._settings) as replica:
            gone = replica.state.evicted()
            wanted = [each for each in dict.fromkeys(sha256s) if each in gone]
            if not wanted:
                return
            with ThreadPoolExecutor(replica.settings.parallel) as pool:
                came = list(pool.map(lambda each: bring(replica.bucket, self._archive, each), wanted))
            replica.state.note_back(each for each, there in zip(wanted, came, strict=True) if there)
            lost = [each for each, there in zip(wanted, came, strict=True) if not there]
        if lost:
            raise StorageProblem(
                "The content {sha256} lies in the replica only, and no version there has its bytes. Nothing else "
                "was lost. Run archiver verify --replica, and ask the bucket's administrator.",
                sha256=lost[0],
            )


def attach(archive: Archive, config: Config) -> None:
    """Let reads fall through to the bucket, where the configuration wants that."""
    settings = settings_of(archive, config) if config.store.is_cache else None
    if settings is not None:
        archive.content.elsewhere = Cache(archive, settings)


def evict(archive: Archive, replica: Replica, limit_gb: float) -> int:
    """Take contents from the disk that were not read for longest, until it holds ``limit_gb``; returns how many.

    Only what the bucket has just been asked about: whole, and locked for a while.
    """
    _recall(archive, replica.state)
    there = sorted(_lying(archive))
    excess = sum(size for _, size, _ in there) - int(limit_gb * 1e9)
    gone = 0
    for start in range(0, len(there), _BATCH):
        batch = []
        for _, size, sha256 in there[start : start + _BATCH]:
            if excess <= 0:
                break
            excess -= size
            batch.append((sha256, size))
        if not batch:
            break
        gone += _evict(archive, replica, batch)
    return gone


def _recall(archive: Archive, state: State) -> None:
    """With a new ``replica.db``: what the bucket has and this disk has not was evicted before."""
    if state.meta("recalled"):
        return
    found = ((keys.content_of(key), each.size) for key, each in state.objects(keys.OBJECTS).items())
    state.note_evicted(
        (sha256, size) for sha256, size in found if sha256 and not is_there(archive.content.path(sha256))
    )
    state.set_meta("recalled", "1")


def _evict(archive: Archive, replica: Replica, batch: list[tuple[str, int]]) -> int:
    known = [replica.state.object(keys.content_key(sha256)) for sha256, _ in batch]
    with ThreadPoolExecutor(replica.settings.parallel) as pool:
        safe = list(pool.map(lambda each, there: _is_safe(replica.bucket, there, *each), batch, known))
    chosen = [each for each, is_safe in zip(batch, safe, strict=True) if is_safe]
    # Crash window: noted first. One that is noted and still here is only there twice.
    replica.state.note_evicted(chosen)
    for sha256, _ in chosen:
        archive.content.evict(sha256)
    return len(chosen)


def _is_safe(bucket: Bucket, known: Known | None, sha256: str, size: int) -> bool:
    stored = bucket.head(keys.content_key(sha256), known.version) if known else None
    return (
        stored is not None
        and (stored.size, stored.sha256) == (size, sha256)
        and stored.locked_until is not None
        and stored.locked_until > clock.read().wall + _LEAST_LOCK
    )


def _lying(archive: Archive) -> Iterable[tuple[float, int, str]]:
    for folder, _, files in os.walk(archive.content.objects):
        for name in files:
            status = os.stat(os.path.join(folder, name))
            yield max(status.st_atime, status.st_ctime), status.st_size, name
