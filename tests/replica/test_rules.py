"""Which lock an object needs; what keys and addresses mean.  Pure."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.config.bucket_access import BucketAccess
from archiver.errors import UsageProblem
from archiver.replica import object_names
from archiver.replica.bucket_settings import journalled, of_url
from archiver.replica.desired_objects import Wanted, history, is_short, lock_date
from archiver.replica.throttle import Throttle, TransferStopped
from archiver.store.events.archive_events import ReplicaCreated

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
WANTED = st.builds(Wanted, st.integers(0, 10**12), MOMENTS, st.booleans(), st.booleans())


@given(WANTED, MOMENTS)
def test_a_lock_covers_what_was_promised(each: Wanted, now: datetime) -> None:
    until = lock_date(each, now)
    assert until > now
    assert until >= min(each.until, now + timedelta(days=35_999))
    if each.is_open:
        assert until >= now + timedelta(days=3 * 365)
    assert until <= now + timedelta(days=36_001)
    # What was just locked is not moved again, today or tomorrow.
    assert not is_short(until, each, now)
    assert not is_short(until, each, now + timedelta(days=1))


@given(WANTED, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=30_000)))
def test_a_lock_never_runs_out_before_its_time(each: Wanted, now: datetime, passed: timedelta) -> None:
    until, then = lock_date(each, now), now + passed
    if not is_short(until, each, then):
        assert until >= min(each.until, then) or each.until <= then
        if each.is_open:
            assert until > then + timedelta(days=3 * 365 - 92)


@given(WANTED, MOMENTS)
def test_a_lock_is_only_ever_moved_later(each: Wanted, now: datetime) -> None:
    locked = lock_date(each, now)
    later = now + timedelta(days=200)
    if is_short(locked, each, later):
        assert lock_date(each, later) > locked


def test_what_has_no_lock_is_short_and_history_is_open() -> None:
    far = datetime(2036, 1, 1, tzinfo=UTC)
    assert is_short(None, Wanted(1, far, False, False), NOW)
    whole = history({"a": Wanted(1, far, False, False), "b": Wanted(1, NOW, False, False)}, NOW)
    assert whole.is_open
    assert lock_date(whole, NOW) >= far
    assert history({}, NOW).until == NOW


@given(st.binary(min_size=32, max_size=32))
def test_keys_of_content(digest: bytes) -> None:
    assert object_names.content_of(object_names.content_key(digest.hex())) == digest.hex()


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.binary(min_size=20, max_size=20))
def test_keys_of_bundles(first: int, last: int, head: bytes) -> None:
    span = object_names.EventSpan(first, last, head.hex())
    assert object_names.span_of(object_names.bundle_key(span)) == span


@pytest.mark.parametrize(
    "key", ["objects/aa/bb/aabb", "objects/aa/bb/" + "c" * 64, "history/1-2-x.bundle", "other"]
)
def test_other_keys_are_none(key: str) -> None:
    assert object_names.content_of(key) is None
    assert object_names.span_of(key) is None


def test_addresses() -> None:
    settings = of_url("s3://a-bucket/档案/二", BucketAccess())
    assert (settings.bucket, settings.prefix, settings.url) == ("a-bucket", "档案/二/", "s3://a-bucket/档案/二")
    assert of_url("s3://a-bucket", BucketAccess()).prefix == ""
    assert of_url("s3://a-bucket/", BucketAccess()).url == "s3://a-bucket"
    with pytest.raises(UsageProblem):
        of_url("s3://a", BucketAccess())
    with pytest.raises(UsageProblem):
        of_url("s3://a-bucket/x", BucketAccess(endpoint="https://user:secret@host"))
    created = ReplicaCreated(url="s3://a-bucket/x", endpoint="http://one", lock=False)
    assert journalled(created, BucketAccess()).endpoint == "http://one"
    assert journalled(created, BucketAccess(endpoint="http://two")).endpoint == "http://two"
    assert not journalled(created, BucketAccess()).lock


def test_the_limit_holds_over_all_and_ends_at_once() -> None:
    throttle = Throttle(1e6)
    started = time.monotonic()
    for _ in range(4):
        throttle.take(50_000)
    assert time.monotonic() - started >= 0.14
    throttle.stop()
    with pytest.raises(TransferStopped):
        throttle.take(1)
    Throttle(0).take(10**12)
