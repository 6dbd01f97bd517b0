"""When the disk will be full: a pure rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from archiver.status.disk_forecast import GROWTH_PERIOD, forecast_disk_space, growth_period_start
from tests.support.site import Site

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def days(count: float) -> timedelta:
    return timedelta(days=count)


def test_the_first_rush_does_not_count() -> None:
    assert growth_period_start(None, NOW) is None
    assert growth_period_start(NOW - days(0.5), NOW) is None
    assert growth_period_start(NOW - days(2.9), NOW) is None
    assert growth_period_start(NOW - days(3), NOW) == NOW - days(2)
    assert growth_period_start(NOW - days(400), NOW) == NOW - GROWTH_PERIOD


def test_the_days_left() -> None:
    told = forecast_disk_space(100 * 10**9, 10**12, 28 * 10**9, NOW - GROWTH_PERIOD, NOW)
    assert (told.bytes_per_day, told.full_in_days) == (10**9, 100)
    assert not told.is_scarce
    assert forecast_disk_space(80 * 10**9, 10**12, 28 * 10**9, NOW - GROWTH_PERIOD, NOW).is_scarce
    assert forecast_disk_space(40 * 10**9, 10**12, 0, NOW - GROWTH_PERIOD, NOW).is_scarce
    quiet = forecast_disk_space(100 * 10**9, 10**12, 0, NOW - GROWTH_PERIOD, NOW)
    assert quiet.full_in_days is None
    assert not quiet.is_scarce
    assert forecast_disk_space(100 * 10**9, 10**12, 9, None, NOW).bytes_per_day is None


@given(st.integers(0, 10**15), st.integers(0, 10**15), st.integers(2, 28))
def test_more_growth_never_means_later(free: int, grown: int, length: int) -> None:
    slow, fast = (forecast_disk_space(free, 10**16, grown * k, NOW - days(length), NOW) for k in (1, 2))
    if slow.full_in_days is not None and fast.full_in_days is not None:
        assert fast.full_in_days <= slow.full_in_days


def test_status_tells_the_space(site: Site) -> None:
    site.write("f/s/a", "12345")
    site.write("f/s/b", "12345")
    site.catch_up()
    space = site.json("status")["space"]
    assert space["free_bytes"] > 0
    assert space["bytes_per_day"] is None
    assert "(growth unknown)" in site.run("status").stdout
    archive = site.open()
    assert archive.index.new_content_bytes() == 5, "the same content counts once"
    archive.close()
