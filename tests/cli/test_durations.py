"""Durations as people read them."""

from __future__ import annotations

import pytest

from archiver.cli.durations import describe_duration
from archiver.i18n import translator


@pytest.mark.parametrize(
    ("seconds", "english", "chinese"),
    [
        (0, "0 seconds", "0 秒"),
        (1.9, "1 second", "1 秒"),
        (59, "59 seconds", "59 秒"),
        (60, "1 minute", "1 分钟"),
        (3600, "1 hour", "1 小时"),
        (176218, "2 days 56 minutes", "2 天 56 分钟"),
        (90061, "1 day 1 hour 1 minute", "1 天 1 小时 1 分钟"),
        (4000 * 86400, "4000 days", "4000 天"),
    ],
)
def test_a_duration_has_the_units_of_its_size(seconds: float, english: str, chinese: str) -> None:
    duration = describe_duration(seconds)
    assert (translator("en")(duration), translator("zh")(duration)) == (english, chinese)
