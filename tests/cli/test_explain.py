"""What ``explain`` prints for people."""

from __future__ import annotations

import re
from datetime import date, timedelta

from archiver import clock
from tests.support import faketime
from tests.support.site import Site


def test_both_clocks_are_named_where_their_days_differ(site: Site) -> None:
    """Else ``explain`` and ``log`` would date one capture differently, and nobody could tell why."""
    site.write("f/s/a", "1")
    site.run("run", "--once", "--settle", "0", env=faketime.at(40))
    text = site.run("explain", "f/s/v1").stdout
    today = clock.read_clocks().wall.date()
    (wall_day, clock_day) = re.findall(r"captured on (\S+) \S+ \(compliance clock: (\S+)\)", text)[0]
    assert wall_day in site.run("log").stdout
    assert today + timedelta(days=39) <= date.fromisoformat(wall_day) <= today + timedelta(days=41)
    assert abs(date.fromisoformat(clock_day) - today) <= timedelta(days=1)


def test_an_earlier_setting_is_called_that(site: Site) -> None:
    site.configure(retention={"years": 10})
    site.write("f/s/a", "1")
    site.catch_up()
    assert "(setting retention.years)" in site.run("explain", "f/s/v1").stdout
    site.configure(retention={"years": 3})
    assert "(earlier setting, still binding)" in site.run("explain", "f/s/v1").stdout
    assert "保存方案：此前的设置，仍然有效" in site.run("--lang", "zh", "explain", "f/s/v1").stdout
    assert site.json("explain", "f/s/v1")["reasons"][-1]["profile"] == "promised"


def test_one_day_is_named_where_the_clocks_agree(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    assert "compliance clock" not in site.run("explain", "f/s/v1").stdout
