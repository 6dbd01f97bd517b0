"""A test is skipped, with the reason, where what it needs does not work, and only there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.needs import find_trouble


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo first; echo no library >&2; echo See the manual. >&2; exit 3", "no library"),
        ("echo only this; exit 3", "only this"),
        ("echo 'Traceback (most recent call last):' >&2; echo ImportError: no >&2; exit 1", "ImportError: no"),
        ("exit 3", "it ends with 3"),
    ],
)
def test_a_tool_that_is_there_and_does_not_work_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    (tmp_path / "openssl").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    trouble = find_trouble.__wrapped__("openssl")
    assert trouble.startswith("needs openssl: ")
    assert trouble.endswith(f"{reason} (Debian: openssl)")


@pytest.mark.needs("processes")
def test_a_tool_that_is_not_there_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", os.fspath(tmp_path))
    assert "not found (Debian: chromium)" in find_trouble.__wrapped__("chromium")


@pytest.mark.needs("processes")
def test_the_home_of_whoever_runs_the_tests_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "openssl").write_text('#!/bin/sh\nmkdir -p "$HOME/.openssl"\n')
    (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", os.fspath(tmp_path / "home"))
    assert find_trouble.__wrapped__("openssl") == ""
    assert list((tmp_path / "home").iterdir()) == []


def test_what_nobody_described_is_not_skipped() -> None:
    with pytest.raises(pytest.UsageError, match="does not describe"):
        find_trouble("a good night's sleep")
