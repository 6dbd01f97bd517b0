"""Comparing the bucket with the archive: inventory, digests, locks and holds; on request the bytes too.

Shares no code with :mod:`archiver.replica.sync`, and trusts ``replica.db`` in nothing.
"""

from __future__ import annotations

import hashlib
import random
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial

from archiver import clock
from archiver.errors import StorageProblem
from archiver.replica import object_names
from archiver.replica.bucket import Bucket, BucketProblem, Listed, Stored
from archiver.replica.desired_objects import Wanted, wanted
from archiver.retention.policy import Policy
from archiver.store.archive import Archive
from archiver.verify.findings import VerifyReport

_BATCH = 1000
_LONGEST = timedelta(days=35_900)


def check(
    archive: Archive,
    bucket: Bucket,
    policy: Policy,
    report: VerifyReport,
    *,
    has_lock: bool,
    parallel: int,
    sample: float,
) -> None:
    """Add to ``report`` what is not as it should be; ``sample``: so many percent are downloaded and hashed again.

    Raises BucketProblem where the bucket cannot be asked.
    """
    contents = wanted(archive.index, policy, archive.compliance_time())
    found: dict[str, list[Listed]] = defaultdict(list)
    for each in bucket.versions(""):
        if not each.key.startswith(object_names.PROBES):
            found[each.key].append(each)
    _check_markers(found, report)
    ours = {key: versions for key, versions in ((key, _real(each)) for key, each in found.items()) if versions}
    _check_strangers(ours, report)
    expected = {object_names.content_key(sha256): (sha256, each) for sha256, each in contents.items()}
    for key in sorted(expected.keys() - ours.keys()):
        report.add("A070", key)
    there = [(key, ours[key], *expected[key]) for key in sorted(expected.keys() & ours.keys())]
    look = partial(_look, bucket, has_lock=has_lock, sample=sample, now=clock.read().wall)
    with ThreadPoolExecutor(parallel) as pool:
        for start in range(0, len(there), _BATCH):
            for findings in pool.map(look, there[start : start + _BATCH]):
                for finding in findings:
                    report.add(*finding)
    _check_history(archive, bucket, ours, report, has_lock=has_lock)


def _real(versions: Iterable[Listed]) -> list[Listed]:
    return sorted((each for each in versions if not each.is_marker), key=lambda each: each.at)


def _check_markers(found: dict[str, list[Listed]], report: VerifyReport) -> None:
    for key, versions in sorted(found.items()):
        for each in versions:
            if each.is_marker and each.is_newest:
                report.add("A075", key, f"delete the marker, version {each.version}; the data lies below it")


def _check_strangers(ours: dict[str, list[Listed]], report: VerifyReport) -> None:
    for key, versions in sorted(ours.items()):
        known = object_names.content_of(key) or object_names.span_of(key) or key == object_names.IDENTITY
        if not known:
            report.add("A074", key)
        for each in versions[1:]:
            # Whoever may write may add versions; those below stay what they are.
            report.add("A074", key, f"version {each.version} came later than the archive's own")


def _look(
    bucket: Bucket,
    item: tuple[str, list[Listed], str, Wanted],
    *,
    has_lock: bool,
    sample: float,
    now: datetime,
) -> list[tuple[str, str, str]]:
    key, versions, sha256, each = item
    found = [stored for listed in versions if (stored := bucket.head(key, listed.version)) is not None]
    if not found:
        return [("A070", key, "")]
    # The oldest that is what it should be: whoever came later could only add.
    stored = next((one for one in found if (one.size, one.sha256) == (each.size, sha256)), found[0])
    findings = []
    if stored.size != each.size:
        findings.append(("A071", key, f"{stored.size} bytes instead of {each.size}"))
    elif stored.sha256 != sha256:
        findings.append(("A071", key, f"it was given as {stored.sha256 or 'nothing'}"))
    elif sample >= 100 or random.random() * 100 < sample:
        findings += _hash(bucket, key, stored.version, sha256)
    if has_lock:
        findings += [(code, key, detail) for code, detail in _lock_problems(stored, each, now)]
    return findings


def _hash(bucket: Bucket, key: str, version: str, sha256: str) -> list[tuple[str, str, str]]:
    digest = hashlib.sha256()
    try:
        for data in bucket.get(key, version):
            digest.update(data)
    except (BucketProblem, KeyError):
        return [("A071", key, "it cannot be read")]
    return [] if digest.hexdigest() == sha256 else [("A071", key, f"its SHA-256 is {digest.hexdigest()}")]


def _lock_problems(stored: Stored, each: Wanted, now: datetime) -> Iterable[tuple[str, str]]:
    if stored.locked_until is None:
        if each.is_open or each.until > now:
            yield "A072", ""
    elif stored.locked_until < min(each.until.astimezone(UTC), now + _LONGEST):
        yield "A073", f"until {clock.stamp(stored.locked_until)} instead of {clock.stamp(each.until)}"
    if each.held and not stored.held:
        yield "A076", ""


def _check_history(
    archive: Archive, bucket: Bucket, ours: dict[str, list[Listed]], report: VerifyReport, *, has_lock: bool
) -> None:
    """Every event that was sent has its bundle, one after the other."""
    last = 0
    for span, key in sorted((span, key) for key in ours if (span := object_names.span_of(key))):
        if not _is_of(archive, span):
            report.add("A074", key, "it is not of this archive's journal")
            continue
        if span.first > last + 1:
            report.add("A070", f"events {last + 1} to {span.first - 1}", "their history is not there")
        stored = bucket.head(key, ours[key][0].version)
        if stored is not None and has_lock and stored.locked_until is None:
            report.add("A072", key)
        last = max(last, span.last)
    newest = archive.journal.head()
    if newest is not None and not last:
        report.add("A070", f"events 1 to {newest.seq}", "their history is not there")


def _is_of(archive: Archive, span: object_names.EventSpan) -> bool:
    try:
        return archive.journal.event(span.head).seq == span.last
    except StorageProblem:
        return False
