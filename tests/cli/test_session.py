"""What a session reads from the command line."""

from __future__ import annotations

import os

import pytest

from archiver.cli.main import cli
from archiver.cli.session import Session
from archiver.errors import UsageError
from tests.support.site import Site


@pytest.mark.parametrize(
    "text", ["20260101", "2026-W01-1", "2026W011", "20260101T14:30", "2026-W01-1T14:30", "14:30", "2026-01", ""]
)
def test_a_time_begins_with_a_day_in_its_one_form(text: str) -> None:
    """Python reads most of them; the day 20260101 became its first moment, where a day means its last one."""
    with pytest.raises(UsageError, match="is not a valid time"):
        Session().parse_time(text)


@pytest.mark.parametrize(
    ("zone", "shown"), [("Asia/Shanghai", "2026-05-02 00:30:01+08:00"), ("UTC", "2026-05-01 16:30:01+00:00")]
)
def test_a_time_is_shown_with_the_offset_of_its_zone(site: Site, zone: str, shown: str) -> None:
    """The administrator's server and the officer's desk may be in two zones."""
    site.configure(retention={"timezone": zone})
    session = Session(config_file=os.fspath(site.config))
    assert session.format_time("2026-05-01T16:30:01.999999Z") == shown
    assert session.format_day("2026-05-01T16:30:01.999999Z") == shown[:10]


def test_a_time_with_a_zone_needs_no_settings() -> None:
    assert Session().parse_time("2026-05-01T14:30+08:00").isoformat() == "2026-05-01T14:30:00+08:00"


@pytest.mark.parametrize(
    ("arguments", "seconds"),
    [([], 30), (["--wait", "0"], 0), (["--wait", "0.5"], 0.5), (["--wait", "30"], 30)],
)
def test_a_typed_zero_counts_as_typed(arguments: list[str], seconds: float) -> None:
    session = Session()
    with cli.make_context("archiver", [*arguments, "status"], obj=session):
        assert session.lock_timeout == seconds
