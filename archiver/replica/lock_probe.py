"""Tests whether a bucket enforces object lock, before anybody relies on the lock.

A bucket may report that it has object lock and still not enforce it: gateways in front of a bucket have dropped
the lock of an upload. So a probe is uploaded with a short lock, and every known way to delete the probe or to
weaken its lock is tried.
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

#: With a shorter lock, the lock could end during the test over a slow line, and a good bucket would be refused.
#: With a longer lock, it takes longer until somebody can delete the probe.
_PROBE_LOCK_DURATION = timedelta(minutes=2)

#: Name of a promise of the bucket -> the phrase for users about a bucket that breaks the promise. The names are
#: journalled.
PROMISES: Mapping[str, LazyMessage] = {
    "versions": LazyMessage.define(
        "it does not keep versions: overwritten objects are lost", code="bucket.unversioned"
    ),
    "lock": LazyMessage.define(
        "it has no Object Lock, so objects can be deleted at any time", code="bucket.no-object-lock"
    ),
    "locks": LazyMessage.define("it ignored the lock in the upload request", code="bucket.ignores-lock"),
    "delete": LazyMessage.define("a locked version could be deleted", code="bucket.deletes-locked"),
    "bypass": LazyMessage.define(
        "a locked version could be deleted by bypassing governance mode", code="bucket.bypasses-governance"
    ),
    "shorten": LazyMessage.define("a lock could be shortened", code="bucket.shortens-lock"),
    "clear": LazyMessage.define("a lock could be removed", code="bucket.clears-lock"),
    "govern": LazyMessage.define("a lock could be weakened to governance mode", code="bucket.weakens-lock"),
    "suspend": LazyMessage.define("versioning could be suspended", code="bucket.suspends-versioning"),
}


@dataclass(frozen=True, slots=True)
class LockProof:
    """The outcome of testing the lock of a bucket."""

    #: Promise (a key of :data:`PROMISES`) -> True if the bucket kept it. A promise that was not tested is absent,
    #: and counts as broken.
    is_kept_by_promise: Mapping[str, bool]

    @property
    def broken_promises(self) -> list[LazyMessage]:
        """The phrases for the broken promises, in the order of :data:`PROMISES`. Empty for a good bucket."""
        return [phrase for promise, phrase in PROMISES.items() if not self.is_kept_by_promise.get(promise)]


def probe_lock(bucket: Bucket) -> LockProof:
    """Upload a probe, an object with a short lock, and try to break the lock in every known way.

    Nothing is uploaded to a bucket that keeps no versions or has no object lock, and the attacks are not tried on
    a bucket that ignored the lock of the upload. In a good bucket the probe stays, because nobody can delete it
    while the lock lasts.

    Raises BucketProblem if the bucket cannot be used.
    """
    is_kept_by_promise = {"versions": bucket.is_versioned(), "lock": bucket.has_object_lock()}
    if not all(is_kept_by_promise.values()):
        return LockProof(is_kept_by_promise)
    key = PROBE_PREFIX + secrets.token_hex(8)
    locked_until = clock.read_clocks().wall.replace(microsecond=0) + _PROBE_LOCK_DURATION
    with TemporaryDirectory() as folder:
        probe_path, probe_bytes = Path(folder) / "probe", key.encode("ascii")
        probe_path.write_bytes(probe_bytes)
        version_id = bucket.upload(key, probe_path, hashlib.sha256(probe_bytes).hexdigest(), locked_until)
    probe_info = bucket.object_info(key, version_id)
    is_kept_by_promise["locks"] = (
        probe_info is not None and probe_info.locked_until is not None and probe_info.locked_until >= locked_until
    )
    if is_kept_by_promise["locks"]:
        is_kept_by_promise |= bucket.try_to_break_lock(key, version_id, locked_until)
    return LockProof(is_kept_by_promise)
