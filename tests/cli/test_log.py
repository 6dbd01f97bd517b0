"""What ``log`` and ``diff`` print for people."""

from __future__ import annotations

import pytest

from tests.support.site import Site


@pytest.mark.parametrize(
    ("lang", "counts", "operations"),
    [
        ("en", "1 added, 1 modified, 0 deleted", ["modified  a", "folder added  d", "added  空"]),
        ("zh", "新增 1 份、修改 1 份、删除 0 份", ["修改  a", "新增文件夹  d", "新增  空"]),
    ],
)
def test_changes_are_told_in_words(site: Site, lang: str, counts: str, operations: list[str]) -> None:
    """Nobody has to know that a tilde means modified, and the words are those of ``diff``."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.write("f/s/a", "2")
    site.write("f/s/空", "")
    site.catch_up()
    assert counts in site.run("--lang", lang, "log").stdout
    (site.watch / "f/s/d").mkdir()
    site.catch_up()
    assert site.run("--lang", lang, "diff", "f/s/v1", "f/s/v3").stdout.splitlines() == operations
