"""Testing object lock of a bucket before anybody relies on the lock.

A bucket may claim object lock and ignore it: gateways in front of a bucket have dropped the lock of an upload. So
a probe is locked for a short time, and every known way to delete or weaken it is tried.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from archiver import clock
from archiver.errors import LazyMessage
from archiver.replica.bucket import Bucket
from archiver.replica.object_names import PROBE_PREFIX

#: Shorter: the lock might end while it is attacked over a slow line, and a good bucket be refused. Longer: nobody
#: can delete the probe sooner.
_PROBE_LOCK_DURATION = timedelta(minutes=2)

#: Promise -> what is missing without it.
PROMISES: Mapping[str, LazyMessage] = {
    "versions": LazyMessage.define(
        "it does not keep versions: an overwritten object is lost", code="bucket.unversioned"
    ),
    "lock": LazyMessage.define(
        "it has no object lock: an object can be deleted at any time", code="bucket.no-object-lock"
    ),
    "locks": LazyMessage.define("it did not lock what it was given locked", code="bucket.ignores-lock"),
    "delete": LazyMessage.define("a locked version could be deleted", code="bucket.deletes-locked"),
    "bypass": LazyMessage.define(
        "a locked version could be deleted by bypassing governance", code="bucket.bypasses-governance"
    ),
    "shorten": LazyMessage.define("a lock could be shortened", code="bucket.shortens-lock"),
    "clear": LazyMessage.define("a lock could be taken off", code="bucket.clears-lock"),
    "govern": LazyMessage.define("a lock could be weakened to governance mode", code="bucket.weakens-lock"),
    "suspend": LazyMessage.define("versioning could be suspended", code="bucket.suspends-versioning"),
}


@dataclass(frozen=True, slots=True)
class LockProof:
    """The promises of a bucket, each seen kept or broken; an untested promise counts as broken."""

    is_kept: Mapping[str, bool]

    @property
    def broken_promises(self) -> list[LazyMessage]:
        """The broken promises, each as a phrase that names the missing ability."""
        return [sentence for promise, sentence in PROMISES.items() if not self.is_kept.get(promise)]


def probe_lock(bucket: Bucket) -> LockProof:
    """Upload a locked probe, try to break the lock in every known way, and return the outcome.

    The probe stays in the bucket: it cannot be deleted while its lock lasts. Nothing is uploaded to a bucket that
    keeps no versions or has no lock. Raises BucketProblem if the bucket cannot be used.
    """
    is_kept = {"versions": bucket.is_versioned(), "lock": bucket.has_object_lock()}
    if not all(is_kept.values()):
        return LockProof(is_kept)
    key = PROBE_PREFIX + secrets.token_hex(8)
    locked_until = clock.read().wall.replace(microsecond=0) + _PROBE_LOCK_DURATION
    with TemporaryDirectory() as folder:
        probe_path = Path(folder) / "probe"
        probe_path.write_bytes(key.encode("ascii"))
        version_id = bucket.upload(
            key, probe_path, hashlib.sha256(probe_path.read_bytes()).hexdigest(), locked_until
        )
    info = bucket.object_info(key, version_id)
    is_kept["locks"] = info is not None and info.locked_until is not None and info.locked_until >= locked_until
    if is_kept["locks"]:
        is_kept |= bucket.try_to_break_lock(key, version_id, locked_until)
    return LockProof(is_kept)
