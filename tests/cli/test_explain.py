"""What ``explain`` prints for people."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from archiver import clock
from tests.support import faketime
from tests.support.site import Site
from tests.test_golden import unpacked


def test_both_clocks_are_named_where_their_days_differ(site: Site) -> None:
    """Else ``explain`` and ``log`` would date one capture differently, and nobody could tell why."""
    site.write("f/s/a", "1")
    site.run("run", "--once", "--settle", "0", env=faketime.at(40))
    text = site.run("explain", "f/s/v1").stdout
    today = clock.read_clocks().wall.date()
    (wall_day, clock_day) = re.findall(r"captured on (\S+) \S+, counted from (\S+) by", text)[0]
    assert wall_day in site.run("log").stdout
    assert today + timedelta(days=39) <= date.fromisoformat(wall_day) <= today + timedelta(days=41)
    assert abs(date.fromisoformat(clock_day) - today) <= timedelta(days=1)


def test_an_earlier_setting_is_called_that(site: Site) -> None:
    site.configure(retention={"years": 10})
    site.write("f/s/a", "1")
    site.catch_up()
    assert "(setting retention.years)" in site.run("explain", "f/s/v1").stdout
    site.run("retention", "accept")
    site.configure(retention={"years": 3})
    assert "(earlier setting, still binding)" in site.run("explain", "f/s/v1").stdout
    assert "保存方案：此前设定的保存期限，继续有效" in site.run("--lang", "zh", "explain", "f/s/v1").stdout
    assert site.json("explain", "f/s/v1")["reasons"][-1]["profile"] == "promised"


def test_what_waits_for_acceptance_is_not_called_binding(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    known = site.json("explain", "f/s/v1")
    assert known["accepted_until"] == known["keep_until"]
    assert "Accepted only" not in site.run("explain", "f/s/v1").stdout
    site.configure(retention={"years": 10})
    waiting = site.json("explain", "f/s/v1")
    assert waiting["accepted_until"] == known["keep_until"] < waiting["keep_until"]
    shown = site.run("explain", "f/s/v1").stdout
    assert f"Accepted only through {known['keep_until'][:10]}" in shown
    assert "run: archiver retention accept" in shown
    site.run("retention", "accept")
    assert site.json("explain", "f/s/v1")["accepted_until"] == waiting["keep_until"]
    assert "Accepted only" not in site.run("explain", "f/s/v1").stdout


def test_one_day_is_named_where_the_clocks_agree(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    assert "compliance clock" not in site.run("explain", "f/s/v1").stdout


def test_the_periods_of_one_content_are_grouped_by_version(site: Site) -> None:
    site.write("f/s/a b", "same")
    site.catch_up()
    site.write("f/s/other", "x")
    site.catch_up()
    lines = site.run("explain", "f/s/v1:a b").stdout.splitlines()
    heads = {lines.index(f"  In f/s/v{number}:") for number in (1, 2)}
    assert all(lines[head + 1].startswith("    captured on ") for head in heads)
    assert site.run("explain", "f/s/v1").stdout.count("  In ") == 0


@pytest.mark.needs("processes")
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_version_that_is_gone_is_not_called_retained(tmp_path: Path, lang: str) -> None:
    """``explain`` said until when it was retained, as if it were still there."""
    golden = unpacked(tmp_path / "golden")
    disposed = [version for version in golden.json("log") if version["tag"].startswith("退役/首次/")]
    (name,) = {plan["plan"] for plan in golden.json("dispose", "list") if plan["certified"]}
    for text in (disposed[-1]["tag"], f"{disposed[-1]['tag']}:自评估.txt"):
        lines = golden.run("--lang", lang, "explain", text).stdout.splitlines()
        assert name in lines[0]
        assert not any(line.startswith(("  To extend", "  延长办法")) for line in lines)
