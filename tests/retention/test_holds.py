"""Holds through the installed command: placed, seen everywhere, lifted with a reason."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from archiver.model import Hold, Submission, Version
from archiver.profiles import DEFAULT, PROFILES
from archiver.retention.policy import RetentionPolicy, decide_content_retention, decide_retention
from tests.support.site import Site


@pytest.fixture
def filled(site: Site) -> Site:
    site.write("f/s/a", "same")
    site.write("f/t/b", "same")
    site.write("g/s/c", "other")
    site.catch_up()
    return site


def test_a_hold_is_seen_where_it_matters_and_lifted_with_a_reason(filled: Site) -> None:
    site = filled
    site.run("hold", "place", "诉讼-2026", "f/s", "--reason", "法院要求保全", "--by", "李法务")
    opened = site.json("explain", "f/s/v1")["open"]
    assert opened == ["the filing is live", "held: 诉讼-2026 (法院要求保全)"]
    assert site.json("explain", "f/t/v1")["open"] == ["the filing is live"]
    assert "诉讼-2026" in str(site.json("explain", "f/t/v1:b")["open"]), "the same content is as locked"
    text = site.run("explain", "f/s/v1").stdout
    assert " and until every hold is lifted: 诉讼-2026" in text
    assert "李法务" in text
    refused = site.run("dispose", "plan", "f/s/v1", code=4).stderr
    assert "诉讼-2026" in refused
    [hold] = site.json("hold", "list")
    assert (hold["name"], hold["object"], hold["by"]) == ("诉讼-2026", "f/s", "李法务")
    site.run("hold", "lift", "诉讼-2026", "--reason", "结案")
    assert site.json("hold", "list") == []
    [lifted] = site.json("hold", "list", "--all")
    assert lifted["lift_reason"] == "结案"
    assert site.json("explain", "f/s/v1")["open"] == ["the filing is live"]
    site.verified()


def test_several_at_once_on_a_filing_a_submission_and_a_version(filled: Site) -> None:
    site = filled
    for name, target in (("a", "f"), ("b", "f/s"), ("c", "f/s/v1"), ("a", "g")):
        site.run("hold", "place", name, target, "--reason", "because")
    assert len(site.json("explain", "f/s/v1")["open"]) == 4
    assert len(site.json("explain", "f/t/v1")["open"]) == 2
    site.write("f/s/a", "changed")
    site.catch_up()
    assert len(site.json("explain", "f/s/v2")["open"]) == 3, "a hold on the submission holds later versions too"
    site.run("hold", "lift", "a", "f", "--reason", "over")
    assert [h["object"] for h in site.json("hold", "list")] == ["f/s", "f/s/v1", "g"]
    site.run("hold", "lift", "a", "--reason", "over")
    site.run("reindex")
    assert [h["object"] for h in site.json("hold", "list")] == ["f/s", "f/s/v1"], "the journal tells it all"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["place", "x", "f/s"], 2),
        (["place", "x", "f/s", "--reason", "  "], 2),
        (["place", "", "f/s", "--reason", "r"], 2),
        (["place", "a\nb", "f/s", "--reason", "r"], 2),
        (["place", "x" * 101, "f/s", "--reason", "r"], 2),
        (["place", "x", "none", "--reason", "r"], 7),
        (["place", "x", "f/none", "--reason", "r"], 7),
        (["place", "x", "f/s/v9", "--reason", "r"], 7),
        (["place", "known", "f/s", "--reason", "again"], 2),
        (["lift", "unknown", "--reason", "r"], 7),
        (["lift", "known", "g", "--reason", "r"], 7),
        (["lift", "known"], 2),
        (["lift", "known", "--reason", ""], 2),
    ],
)
def test_bad_input_changes_nothing(filled: Site, arguments: list[str], code: int) -> None:
    filled.run("hold", "place", "known", "f/s", "--reason", "first")
    before = filled.git("rev-parse", "journal").stdout
    filled.run("hold", *arguments, code=code)
    assert filled.git("rev-parse", "journal").stdout == before


def test_a_hold_blocks_whatever_the_date() -> None:
    hold = Hold("h", "f", "r", None, "u", "2020-01-01T00:00:00Z")
    facts = (Submission("f", "s"), 1, "0" * 40, "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z", 1, 1, 1, 0, 0)
    free = Version(*facts, superseded="2020-01-02T00:00:00Z")
    held = free._replace(holds=(hold,))
    policy = RetentionPolicy({"": (PROFILES[DEFAULT],)}, (ZoneInfo("Asia/Shanghai"),), False)
    now = datetime(2990, 1, 1, tzinfo=UTC)
    assert decide_retention(free, policy, now).is_disposable
    assert not decide_retention(held, policy, now).is_disposable
    assert not decide_content_retention([free, held], policy, now).is_disposable
    assert decide_retention(held, policy, now).keep_until == decide_retention(free, policy, now).keep_until
