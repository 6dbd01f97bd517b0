"""Comparing the bucket with the archive: inventory, digests, locks and holds, on request the bytes too.

Shares no code with :mod:`archiver.replica.sync` and does not read ``replica.db``: an error there must not hide
itself here.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from archiver import clock
from archiver.errors import LazyMessage, StorageError
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, BucketProblem, ObjectInfo, ObjectMissing, ObjectVersion
from archiver.replica.desired_objects import DesiredObject, desired_objects
from archiver.retention.policy import Policy
from archiver.store.archive import Archive
from archiver.verify.findings import Finding, VerifyReport

#: Objects handed to the threads at once: findings of a million objects must not all be in memory.
_BATCH_SIZE = 1000
#: A lock this long counts as long enough: servers refuse a hundred years, so sync asks for a little less.
_LONGEST_EXPECTED_LOCK = timedelta(days=35_900)

_Inventory = Mapping[str, list[ObjectVersion]]


def check_inventory(
    archive: Archive,
    bucket: Bucket,
    policy: Policy,
    report: VerifyReport,
    *,
    has_lock: bool,
    thread_count: int,
    sample_percent: float,
) -> None:
    """Add to ``report`` how the bucket differs from the archive.

    ``sample_percent`` of the objects are downloaded and hashed again. Without ``has_lock`` the bucket was accepted
    as one that does not lock, so locks and holds are not compared.

    Raises BucketProblem if the bucket cannot be asked.
    """
    desired = desired_objects(archive.index, policy, archive.compliance_time())
    listed: dict[str, list[ObjectVersion]] = defaultdict(list)
    for version in bucket.list_versions(""):
        if not version.key.startswith(object_names.PROBE_PREFIX):
            listed[version.key].append(version)
    _check_delete_markers(listed, report)
    stored = {key: _without_delete_markers(versions) for key, versions in listed.items()}
    stored = {key: versions for key, versions in stored.items() if versions}
    _check_foreign_objects(stored, report)
    expected = {object_names.content_key(sha256): (sha256, content) for sha256, content in desired.items()}
    for key in sorted(expected.keys() - stored.keys()):
        report.add_finding("A070", key)
    content_check = _ContentCheck(bucket, has_lock, sample_percent, clock.read().wall)
    keys = sorted(expected.keys() & stored.keys())
    with ThreadPoolExecutor(thread_count) as pool:
        for start in range(0, len(keys), _BATCH_SIZE):
            batch = keys[start : start + _BATCH_SIZE]
            for findings in pool.map(lambda key: content_check.check(stored[key], *expected[key]), batch):
                report.findings += findings
    _check_history(archive, bucket, stored, report, has_lock=has_lock)


def _without_delete_markers(versions: Iterable[ObjectVersion]) -> list[ObjectVersion]:
    """Return the versions with content, the oldest first."""
    with_content = (version for version in versions if not version.is_delete_marker)
    return sorted(with_content, key=lambda version: version.modified_at)


def _check_delete_markers(listed: _Inventory, report: VerifyReport) -> None:
    for key, versions in sorted(listed.items()):
        for version in versions:
            if version.is_delete_marker and version.is_newest:
                detail = LazyMessage(
                    "delete the marker, version {version}; the data lies below it", version=version.version_id
                )
                report.add_finding("A075", key, detail)


def _check_foreign_objects(stored: _Inventory, report: VerifyReport) -> None:
    """Report keys foreign to the archive, and versions added to the archive's objects later.

    Anybody with access to the bucket may add versions; those below them stay what they are.
    """
    for key, versions in sorted(stored.items()):
        is_ours = (
            object_names.parse_content_key(key) is not None
            or object_names.parse_bundle_key(key) is not None
            or key == object_names.IDENTITY_KEY
        )
        if not is_ours:
            report.add_finding("A074", key)
        for version in versions[1:]:
            detail = LazyMessage("version {version} came later than the archive's own", version=version.version_id)
            report.add_finding("A074", key, detail)


@dataclass(frozen=True, slots=True)
class _ContentCheck:
    """Compares single content objects with the desired state; safe to use from several threads."""

    bucket: Bucket
    has_lock: bool
    sample_percent: float
    now: datetime

    def check(self, versions: list[ObjectVersion], sha256: str, desired: DesiredObject) -> list[Finding]:
        """Return the findings for an object, given all versions with content.

        The oldest version with the right size and digest is the archive's: later ones could only be added.
        """
        key = versions[0].key
        infos = [
            info for version in versions if (info := self.bucket.object_info(key, version.version_id)) is not None
        ]
        if not infos:
            return [Finding("A070", key, None)]
        own_info = next((info for info in infos if (info.size, info.sha256) == (desired.size, sha256)), infos[0])
        findings = list(self._check_content(key, own_info, sha256, desired.size))
        if self.has_lock:
            findings += _check_lock(key, own_info, desired, self.now)
        return findings

    def _check_content(self, key: str, info: ObjectInfo, sha256: str, expected_size: int) -> Iterator[Finding]:
        if info.size != expected_size:
            detail = LazyMessage("{size} bytes instead of {expected}", size=info.size, expected=expected_size)
            yield Finding("A071", key, detail)
        elif info.sha256 != sha256:
            given = LazyMessage("it was given as {sha256}", sha256=info.sha256)
            yield Finding("A071", key, given if info.sha256 else LazyMessage("it was given as nothing"))
        elif self.sample_percent >= 100 or random.random() * 100 < self.sample_percent:
            yield from _check_bytes(self.bucket, key, info.version_id, sha256)


def _check_bytes(bucket: Bucket, key: str, version_id: str, sha256: str) -> Iterator[Finding]:
    digest = hashlib.sha256()
    try:
        for data in bucket.download(key, version_id):
            digest.update(data)
    except (BucketProblem, ObjectMissing):
        yield Finding("A071", key, LazyMessage("it cannot be read"))
    else:
        if digest.hexdigest() != sha256:
            yield Finding("A071", key, LazyMessage("its SHA-256 is {sha256}", sha256=digest.hexdigest()))


def _check_lock(key: str, info: ObjectInfo, desired: DesiredObject, now: datetime) -> Iterator[Finding]:
    if info.locked_until is None:
        if desired.is_open_ended or desired.keep_until > now:
            yield Finding("A072", key, None)
    elif info.locked_until < min(desired.keep_until.astimezone(UTC), now + _LONGEST_EXPECTED_LOCK):
        detail = LazyMessage(
            "until {until} instead of {expected}",
            until=clock.stamp(info.locked_until),
            expected=clock.stamp(desired.keep_until),
        )
        yield Finding("A073", key, detail)
    if desired.has_hold and not info.has_legal_hold:
        yield Finding("A076", key, None)


def _check_history(
    archive: Archive, bucket: Bucket, stored: _Inventory, report: VerifyReport, *, has_lock: bool
) -> None:
    """Check the bundles: locked, and without a gap from the first event of the journal on.

    A bundle of another journal is a finding, and closes no gap. Events after the last bundle are no finding: they
    wait for the next sync.
    """
    last_seq = 0
    bundles = sorted((span, key) for key in stored if (span := object_names.parse_bundle_key(key)))
    for span, key in bundles:
        if not _is_in_journal(archive, span):
            report.add_finding("A074", key, LazyMessage("it is not of this archive's journal"))
            continue
        if span.first_seq > last_seq + 1:
            report.add_finding(
                "A070", f"events {last_seq + 1} to {span.first_seq - 1}", LazyMessage("their history is not there")
            )
        info = bucket.object_info(key, stored[key][0].version_id)
        if info is not None and has_lock and info.locked_until is None:
            report.add_finding("A072", key)
        last_seq = max(last_seq, span.last_seq)
    newest_event = archive.journal.head()
    if newest_event is not None and not last_seq:
        report.add_finding("A070", f"events 1 to {newest_event.seq}", LazyMessage("their history is not there"))


def _is_in_journal(archive: Archive, span: object_names.EventSpan) -> bool:
    try:
        return archive.journal.event(span.head_commit).seq == span.last_seq
    except StorageError:
        # The archive has no such commit, so the bundle is not one of its own.
        return False
