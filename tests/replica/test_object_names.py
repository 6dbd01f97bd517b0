"""Which lock an object needs; what keys and addresses mean.  Pure."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.config.bucket_access import BucketAccess
from archiver.errors import UsageError
from archiver.replica import object_names
from archiver.replica.bucket import TransferStopped
from archiver.replica.bucket_settings import settings_from_journal, settings_from_url
from archiver.replica.desired_objects import (
    DesiredObject,
    compute_desired_history_state,
    compute_lock_end,
    is_lock_too_short,
)
from archiver.replica.throttle import Throttle
from archiver.store.events.archive_events import ReplicaCreated

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))
DESIRED = st.builds(DesiredObject, st.integers(0, 10**12), TIMES, st.booleans(), st.booleans())


@given(DESIRED, TIMES)
def test_a_lock_covers_what_was_promised(desired: DesiredObject, now: datetime) -> None:
    until = compute_lock_end(desired, now)
    assert until > now
    assert until >= min(desired.keep_until, now + timedelta(days=35_999))
    if desired.is_open_ended:
        assert until >= now + timedelta(days=3 * 365)
    assert until <= now + timedelta(days=36_001)
    # What was just locked is not moved again, today or tomorrow.
    assert not is_lock_too_short(until, desired, now)
    assert not is_lock_too_short(until, desired, now + timedelta(days=1))


@given(DESIRED, TIMES, st.timedeltas(timedelta(0), timedelta(days=30_000)))
def test_a_lock_never_runs_out_before_its_time(desired: DesiredObject, now: datetime, passed: timedelta) -> None:
    until, then = compute_lock_end(desired, now), now + passed
    if not is_lock_too_short(until, desired, then):
        assert until >= min(desired.keep_until, then) or desired.keep_until <= then
        if desired.is_open_ended:
            assert until > then + timedelta(days=3 * 365 - 92)


@given(DESIRED, TIMES)
def test_a_lock_is_only_ever_moved_later(desired: DesiredObject, now: datetime) -> None:
    locked = compute_lock_end(desired, now)
    later = now + timedelta(days=200)
    if is_lock_too_short(locked, desired, later):
        assert compute_lock_end(desired, later) > locked


def test_what_has_no_lock_is_short_and_history_is_open() -> None:
    far = datetime(2036, 1, 1, tzinfo=UTC)
    assert is_lock_too_short(None, DesiredObject(1, far, False, False), NOW)
    whole_history = compute_desired_history_state(
        {"a": DesiredObject(1, far, False, False), "b": DesiredObject(1, NOW, False, False)}, NOW
    )
    assert whole_history.is_open_ended
    assert compute_lock_end(whole_history, NOW) >= far
    assert compute_desired_history_state({}, NOW).keep_until == NOW


@given(st.binary(min_size=32, max_size=32))
def test_keys_of_content(digest: bytes) -> None:
    assert object_names.parse_content_key(object_names.content_key(digest.hex())) == digest.hex()


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.binary(min_size=20, max_size=20))
def test_keys_of_bundles(first: int, last: int, head: bytes) -> None:
    span = object_names.EventSpan(first, last, head.hex())
    assert object_names.parse_bundle_key(object_names.bundle_key(span)) == span


@pytest.mark.parametrize(
    "key", ["objects/aa/bb/aabb", "objects/aa/bb/" + "c" * 64, "history/1-2-x.bundle", "other"]
)
def test_other_keys_are_none(key: str) -> None:
    assert object_names.parse_content_key(key) is None
    assert object_names.parse_bundle_key(key) is None


def test_addresses() -> None:
    settings = settings_from_url("s3://a-bucket/档案/二", BucketAccess())
    assert (settings.bucket_name, settings.prefix, settings.url) == (
        "a-bucket",
        "档案/二/",
        "s3://a-bucket/档案/二",
    )
    assert settings_from_url("s3://a-bucket", BucketAccess()).prefix == ""
    assert settings_from_url("s3://a-bucket/", BucketAccess()).url == "s3://a-bucket"
    with pytest.raises(UsageError):
        settings_from_url("s3://a", BucketAccess())
    with pytest.raises(UsageError):
        settings_from_url("s3://a-bucket/x", BucketAccess(endpoint="https://user:secret@host"))
    details = ReplicaCreated(url="s3://a-bucket/x", endpoint="http://one", lock=False)
    assert settings_from_journal(details, BucketAccess()).endpoint_url == "http://one"
    assert settings_from_journal(details, BucketAccess(endpoint="http://two")).endpoint_url == "http://two"
    assert not settings_from_journal(details, BucketAccess()).uses_object_lock


def test_the_limit_holds_over_all_and_ends_at_once() -> None:
    throttle = Throttle(1e6)
    started = time.monotonic()
    for _ in range(4):
        throttle.wait_for_bandwidth(50_000)
    assert time.monotonic() - started >= 0.14
    throttle.stop()
    with pytest.raises(TransferStopped):
        throttle.wait_for_bandwidth(1)
    Throttle(0).wait_for_bandwidth(10**12)
