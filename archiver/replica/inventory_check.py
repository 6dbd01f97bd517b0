"""Compares the bucket with the archive: objects, digests, locks and holds, and on request the content itself.

This module shares no code with :mod:`archiver.replica.sync` and does not read ``replica.db``, so that a defect of
the sync cannot hide its own effects here. The codes of the findings (A070 to A076) are those of docs/findings.md.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from archiver import clock
from archiver.errors import LazyMessage, StorageError
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, BucketProblem, ObjectInfo, ObjectMissing, ObjectVersion
from archiver.replica.desired_objects import DesiredObject, compute_desired_objects, may_be_held_back
from archiver.retention.policy import RetentionPolicy
from archiver.store.archive import Archive
from archiver.verify.findings import WRONG_SIZE, Finding, VerifyReport

#: Objects that the threads check before the next ones are queued. Without batches, the results of up to a million
#: objects would be in memory at once.
_BATCH_SIZE = 1000
#: A lock this long always counts as long enough. Servers refuse locks of more than a hundred years, so the sync
#: requests a little less than that, whatever the retention.
_LONGEST_EXPECTED_LOCK = timedelta(days=35_900)

#: Key -> versions of the object.
_Inventory = Mapping[str, list[ObjectVersion]]


class _ExpectedContent(NamedTuple):
    """A content object that the bucket must have, unless the object is still held back."""

    sha256: str
    desired: DesiredObject


def check_inventory(
    archive: Archive,
    bucket: Bucket,
    policy: RetentionPolicy,
    report: VerifyReport,
    *,
    uses_object_lock: bool,
    thread_count: int,
    sample_percent: float,
    grace_period: timedelta = timedelta(0),
) -> None:
    """Add a finding to ``report`` for each difference between the bucket and the archive.

    ``sample_percent`` (0 to 100) of the content objects, chosen at random, are downloaded and hashed as well.
    ``uses_object_lock`` is False for a bucket that was accepted without object lock: its locks and holds are not
    checked. Content that may be absent because new content is held back for ``grace_period`` is reported as a
    note, not as a finding.

    Raises BucketProblem if the bucket does not answer a request.
    """
    compliance_time, wall_time = archive.compliance_time(), clock.read_clocks().wall
    desired_by_sha256 = compute_desired_objects(archive.index, policy, compliance_time)
    listed_versions = _list_versions_by_key(bucket)
    _check_delete_markers(listed_versions, report)
    stored_versions = {
        key: content_versions
        for key, versions in listed_versions.items()
        if (content_versions := _without_delete_markers(versions))
    }
    _check_foreign_objects(stored_versions, report)
    expected_content = {
        object_names.content_key(sha256): _ExpectedContent(sha256, desired)
        for sha256, desired in desired_by_sha256.items()
        if not desired.is_restricted
    }
    held_back: list[DesiredObject] = []
    for key in sorted(expected_content.keys() - stored_versions.keys()):
        desired = expected_content[key].desired
        if may_be_held_back(desired, grace_period, compliance_time, wall_time):
            held_back.append(desired)
        else:
            report.add_finding("A070", key)  # an object is missing
    if held_back:
        report.add_note("replica", _describe_held_back(held_back))
    content_check = _ContentCheck(bucket, uses_object_lock, sample_percent, wall_time)
    present_keys = sorted(expected_content.keys() & stored_versions.keys())
    with ThreadPoolExecutor(thread_count) as pool:
        for start in range(0, len(present_keys), _BATCH_SIZE):
            key_batch = present_keys[start : start + _BATCH_SIZE]
            for findings in pool.map(
                lambda key: content_check.check_object(stored_versions[key], expected_content[key]), key_batch
            ):
                report.findings += findings
    _check_history(archive, bucket, stored_versions, report, uses_object_lock=uses_object_lock)


def _describe_held_back(held_back: Collection[DesiredObject]) -> LazyMessage:
    """Build the note about the number and the size of the content objects that are probably held back."""
    note = LazyMessage.define(
        "{count} content objects ({megabytes} MB) are not in the replica yet, because new content is held back.",
        singular=(
            "{count} content object ({megabytes} MB) is not in the replica yet, because new content is held back."
        ),
        code="note.held-back",
    )
    megabytes = sum(desired.size for desired in held_back) / 1e6
    return note.with_fields(count=len(held_back), megabytes=f"{megabytes:.1f}")


def _list_versions_by_key(bucket: Bucket) -> _Inventory:
    """List all versions and delete markers by key, except those of probes, which only tested the bucket's lock."""
    versions_by_key: dict[str, list[ObjectVersion]] = defaultdict(list)
    for version in bucket.list_versions(""):
        if not version.key.startswith(object_names.PROBE_PREFIX):
            versions_by_key[version.key].append(version)
    return versions_by_key


def _without_delete_markers(versions: Iterable[ObjectVersion]) -> list[ObjectVersion]:
    """Return the versions that are not delete markers, oldest first."""
    content_versions = (version for version in versions if not version.is_delete_marker)
    return sorted(content_versions, key=lambda version: version.modified_at)


def _check_delete_markers(listed_versions: _Inventory, report: VerifyReport) -> None:
    """Report each object that a delete marker hides (A075), in the order of the keys."""
    for key, versions in sorted(listed_versions.items()):
        for version in versions:
            if version.is_delete_marker and version.is_newest:
                detail = LazyMessage(
                    "to make the data visible again, delete the marker (version {version})",
                    version=version.version_id,
                )
                report.add_finding("A075", key, detail)


def _check_foreign_objects(stored_versions: _Inventory, report: VerifyReport) -> None:
    """Report objects that no sync uploads, and later versions of the archive's own objects (A074).

    ``stored_versions`` has no delete markers, and the versions of each key are ordered from the oldest to the
    newest. Anybody with access to the bucket can add versions, but nobody can change an existing version.
    """
    for key, versions in sorted(stored_versions.items()):
        is_archive_key = (
            object_names.parse_content_key(key) is not None
            or object_names.parse_bundle_key(key) is not None
            or key == object_names.CLAIM_KEY
        )
        if not is_archive_key:
            report.add_finding("A074", key)
        for version in versions[1:]:
            detail = LazyMessage("version {version} is newer than the archive's own", version=version.version_id)
            report.add_finding("A074", key, detail)


@dataclass(frozen=True, slots=True)
class _ContentCheck:
    """Compares content objects with their desired states, one by one. Safe to use from several threads."""

    bucket: Bucket
    uses_object_lock: bool
    #: 0 to 100: how many of the objects are downloaded and hashed.
    sample_percent: float
    #: The wall clock at the beginning of the check.
    now: datetime

    def check_object(self, versions: list[ObjectVersion], expected: _ExpectedContent) -> list[Finding]:
        """Return the findings for an object whose ``versions``, without delete markers, are sorted oldest first.

        The first version with the expected size and digest counts as the archive's own, because other users can
        only add later versions. If no version has both, the oldest version is compared.

        Raises BucketProblem if the bucket does not answer a request for the properties of a version.
        """
        key = versions[0].key
        infos = [
            info for version in versions if (info := self.bucket.object_info(key, version.version_id)) is not None
        ]
        if not infos:
            return [Finding("A070", key, None)]  # missing: the object was deleted since it was listed
        expected_info = (expected.desired.size, expected.sha256)
        own_info = next((info for info in infos if (info.size, info.sha256) == expected_info), infos[0])
        findings = list(self._check_size_and_digest(key, own_info, expected))
        if self.uses_object_lock:
            findings += _check_lock(key, own_info, expected.desired, self.now)
        return findings

    def _check_size_and_digest(self, key: str, info: ObjectInfo, expected: _ExpectedContent) -> Iterator[Finding]:
        """Yield a finding (A071) if the size, the recorded digest or, in the sample, the content differs."""
        expected_size = expected.desired.size
        if info.size != expected_size:
            yield Finding("A071", key, WRONG_SIZE.with_fields(size=info.size, expected=expected_size))
        elif info.sha256 != expected.sha256:
            other_digest = LazyMessage("it was uploaded with SHA-256 {sha256}", sha256=info.sha256)
            no_digest = LazyMessage("it was uploaded without a checksum")
            yield Finding("A071", key, other_digest if info.sha256 else no_digest)
        elif self._draw_for_sample():
            yield from _check_downloaded_bytes(self.bucket, key, info.version_id, expected.sha256)

    def _draw_for_sample(self) -> bool:
        """Decide at random to download an object: return True with a chance of ``sample_percent`` percent."""
        return self.sample_percent >= 100 or random.random() * 100 < self.sample_percent


def _check_downloaded_bytes(bucket: Bucket, key: str, version_id: str, expected_sha256: str) -> Iterator[Finding]:
    """Download a version, and yield a finding (A071) if it cannot be read or has another digest."""
    digest = hashlib.sha256()
    try:
        for chunk in bucket.download(key, version_id):
            digest.update(chunk)
    except (BucketProblem, ObjectMissing):
        # Report a finding instead of an error, so that the other objects are still checked.
        yield Finding("A071", key, LazyMessage("it cannot be read"))
    else:
        if digest.hexdigest() != expected_sha256:
            yield Finding("A071", key, LazyMessage("its SHA-256 is {sha256}", sha256=digest.hexdigest()))


def _check_lock(key: str, info: ObjectInfo, desired: DesiredObject, now: datetime) -> Iterator[Finding]:
    """Yield a finding if the lock is missing (A072) or ends too early (A073), or a legal hold is missing (A076).

    An object whose retention has ended by the time ``now`` needs no lock.
    """
    if info.locked_until is None:
        if desired.is_open_ended or desired.keep_until > now:
            yield Finding("A072", key, None)
    elif info.locked_until < min(desired.keep_until.astimezone(UTC), now + _LONGEST_EXPECTED_LOCK):
        detail = LazyMessage(
            "locked until {until} instead of {expected}",
            until=clock.format_time(info.locked_until),
            expected=clock.format_time(desired.keep_until),
        )
        yield Finding("A073", key, detail)
    if desired.needs_legal_hold and not info.has_legal_hold:
        yield Finding("A076", key, None)


def _check_history(
    archive: Archive, bucket: Bucket, stored_versions: _Inventory, report: VerifyReport, *, uses_object_lock: bool
) -> None:
    """Report bundles without a lock (A072), bundles of another journal (A074), and events in no bundle (A070).

    Bundles of another journal do not count towards the events in the bucket. Events after the last bundle are not
    reported, since the next sync sends them. Without any bundle, the whole history is reported as missing.

    Raises BucketProblem if the bucket fails, StorageError if the journal cannot be read.
    """
    last_bundled_seq = 0
    bundles = sorted((span, key) for key in stored_versions if (span := object_names.parse_bundle_key(key)))
    for span, key in bundles:
        if not _is_in_journal(archive, span):
            report.add_finding("A074", key, LazyMessage("it does not belong to this archive's journal"))
            continue
        if span.first_seq > last_bundled_seq + 1:
            missing_events = f"events {last_bundled_seq + 1} to {span.first_seq - 1}"
            report.add_finding("A070", missing_events, LazyMessage("their history is missing"))
        bundle_info = bucket.object_info(key, stored_versions[key][0].version_id)
        if bundle_info is not None and uses_object_lock and bundle_info.locked_until is None:
            report.add_finding("A072", key)
        last_bundled_seq = max(last_bundled_seq, span.last_seq)
    newest_event = archive.journal.newest_event()
    if newest_event is not None and not last_bundled_seq:
        report.add_finding("A070", f"events 1 to {newest_event.seq}", LazyMessage("their history is missing"))


def _is_in_journal(archive: Archive, span: object_names.EventSpan) -> bool:
    """Return True if the last event of ``span`` is in the archive's journal, with the same number."""
    try:
        return archive.journal.read_event(span.head_commit).seq == span.last_seq
    except StorageError:
        # The archive does not have the commit, so the bundle belongs to another archive.
        return False
