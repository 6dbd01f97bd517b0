"""A filing that loses most of its files at once is captured, and raises an alarm that a person ends."""

from __future__ import annotations

import os
import shutil
from datetime import timedelta

import pytest

from archiver.store.index import large_losses
from tests.support.site import Site
from tests.support.volumes import codes

PDF = b"%PDF-1.7\n" + b"x" * 64 + b"\n%%EOF\n"


def _fill(
    site: Site, count: int, filing: str = "推荐", submission: str = "首次", suffix: str = "txt"
) -> list[str]:
    paths = [f"{filing}/{submission}/{number}.{suffix}" for number in range(count)]
    for path in paths:
        site.write(path, PDF + path.encode() if suffix == "pdf" else f"{path} of {filing}")
    return paths


def _remove(site: Site, paths: list[str]) -> None:
    for path in paths:
        (site.watch / path).unlink()
    site.catch_up()


def _has_alarm(site: Site) -> bool:
    return "status.large-loss" in codes(site)


def test_most_files_of_a_filing_are_deleted(site: Site) -> None:
    paths = _fill(site, 30)
    _fill(site, 50, "搜索")
    site.catch_up()
    _remove(site, paths[:20])
    assert site.json("log")[0]["files"] == 10
    problems = site.run("status", "--check", code=9).stderr
    assert "most files of 推荐 (20 of 30) were deleted" in problems
    assert "推荐/首次/v2" in problems
    site.run("watch", "accept", "--reason", "they were drafts")
    assert not _has_alarm(site)


@pytest.mark.parametrize(("total", "deleted"), [(19, 19), (60, 25), (40, 20)])
def test_ordinary_tidying_raises_no_alarm(site: Site, total: int, deleted: int) -> None:
    paths = _fill(site, total)
    site.catch_up()
    _remove(site, paths[:deleted])
    assert not _has_alarm(site)


def test_a_deletion_over_several_submissions_is_one(site: Site) -> None:
    paths = [path for name in ("首次", "变更", "年度") for path in _fill(site, 8, submission=name)]
    site.catch_up()
    _remove(site, paths)
    assert _has_alarm(site)


def test_files_that_move_to_another_filing_are_not_lost(site: Site) -> None:
    _fill(site, 30)
    _fill(site, 1, "搜索")
    site.catch_up()
    shutil.move(site.watch / "推荐/首次", site.watch / "搜索/首次二")
    site.catch_up()
    assert not _has_alarm(site)


def test_files_that_return_end_the_alarm(site: Site) -> None:
    paths = _fill(site, 30)
    site.catch_up()
    _remove(site, paths)
    assert _has_alarm(site)
    _fill(site, 30)
    site.catch_up()
    assert not _has_alarm(site)


@pytest.mark.parametrize("renamed", [False, True])
def test_a_program_that_encrypts_everything(site: Site, renamed: bool) -> None:
    """In place, or with another suffix."""
    paths = _fill(site, 25, suffix="pdf")
    site.catch_up()
    for path in paths:
        (site.watch / path).write_bytes(os.urandom(100))
        if renamed:
            (site.watch / path).rename(site.watch / f"{path}.locked")
    site.catch_up()
    assert _has_alarm(site)
    assert site.json("log")[0]["files"] == 25


def test_new_versions_of_all_documents_are_no_loss(site: Site) -> None:
    paths = _fill(site, 25, suffix="pdf")
    site.catch_up()
    for path in paths:
        site.write(path, PDF + b"second edition of " + path.encode() + b"%%EOF")
    site.catch_up()
    assert not _has_alarm(site)


def test_deletions_of_a_whole_day_do_not_add_up(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = _fill(site, 30)
    site.catch_up()
    _remove(site, paths[:15])
    _remove(site, paths[15:25])
    assert _has_alarm(site)
    archive = site.open()
    try:
        assert [loss.lost_count for loss in large_losses.find_large_losses(archive.index)] == [25]
        # As if an hour were shorter than the time between the two captures.
        monkeypatch.setattr(large_losses, "_LONGEST_SPAN", timedelta(0))
        assert large_losses.find_large_losses(archive.index) == []
    finally:
        archive.close()
