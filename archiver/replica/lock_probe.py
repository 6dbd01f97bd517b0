"""Proving by trying that a bucket really locks, before anybody relies on it."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from archiver import clock
from archiver.errors import Phrase, UsageProblem
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, Listed
from archiver.replica.known_objects import Known

#: A probe stays in the bucket at least this long: nobody can delete it sooner.
_PROBE = timedelta(minutes=2)

#: Promise -> what is missing without it.
PROMISES = {
    "versions": "it does not keep versions: an overwritten object is lost",
    "lock": "it has no object lock: an object can be deleted at any time",
    "locks": "it did not lock what it was given locked",
    "delete": "a locked version could be deleted",
    "bypass": "a locked version could be deleted by bypassing governance",
    "shorten": "a lock could be shortened",
    "clear": "a lock could be taken off",
    "govern": "a lock could be weakened to governance mode",
    "suspend": "versioning could be suspended",
}


@dataclass(frozen=True, slots=True)
class Proof:
    """Which promises a bucket keeps; those that could not be tried count as broken."""

    kept: Mapping[str, bool]

    @property
    def broken(self) -> list[Phrase]:
        """What is missing, for people."""
        return [Phrase(text) for promise, text in PROMISES.items() if not self.kept.get(promise)]


def prove(bucket: Bucket) -> Proof:
    """Try to break a locked probe in every way; raises BucketProblem where nothing can be tried."""
    kept = {"versions": bucket.is_versioned(), "lock": bucket.has_object_lock()}
    if not all(kept.values()):
        return Proof(kept)
    key = object_names.PROBES + secrets.token_hex(8)
    until = clock.read().wall.replace(microsecond=0) + _PROBE
    with TemporaryDirectory() as folder:
        probe = Path(folder) / "probe"
        probe.write_bytes(key.encode("ascii"))
        version = bucket.put(key, probe, hashlib.sha256(probe.read_bytes()).hexdigest(), until)
    stored = bucket.head(key, version)
    kept["locks"] = stored is not None and stored.locked_until is not None and stored.locked_until >= until
    if kept["locks"]:
        kept |= bucket.attack(key, version, until)
    return Proof(kept)


def claim(bucket: Bucket, archive_id: str, until: datetime | None) -> tuple[str, Known]:
    """Leave word, locked, whose prefix this is; its key and what is known of it.

    Raises UsageProblem where it is another archive's, BucketProblem where that cannot be told.
    """
    words = [
        each
        for each in bucket.versions(object_names.IDENTITY)
        if each.key == object_names.IDENTITY and not each.is_marker
    ]
    for each in sorted(words, key=lambda each: each.at):
        stored = bucket.head(each.key, each.version)
        if stored is None:
            continue
        owner = _owner(bucket, each)
        if owner != archive_id:
            raise UsageProblem(
                "This prefix belongs to another archive ({owner}). Nothing was changed. Choose a prefix of its "
                "own for this one.",
                owner=owner[:40],
            )
        return each.key, Known(each.version, stored.size, stored.locked_until, stored.held)
    data = json.dumps({"format": 1, "archive": archive_id}).encode("ascii")
    with TemporaryDirectory() as folder:
        path = Path(folder) / object_names.IDENTITY
        path.write_bytes(data)
        version = bucket.put(object_names.IDENTITY, path, hashlib.sha256(data).hexdigest(), until)
    return object_names.IDENTITY, Known(version, len(data), until, held=False)


def _owner(bucket: Bucket, each: Listed) -> str:
    try:
        return str(json.loads(b"".join(bucket.get(each.key, each.version)))["archive"])
    except (ValueError, KeyError, TypeError):
        return "?"
