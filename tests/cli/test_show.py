"""What ``show`` prints for people."""

from __future__ import annotations

import pytest

from tests.support.site import Site


@pytest.mark.parametrize(("lang", "kind"), [("en", "(first filing)"), ("zh", "（首次备案）")])
def test_a_submission_is_named_by_its_kind(site: Site, lang: str, kind: str) -> None:
    """``first`` is the code, for the command line and for JSON."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-03-20", "--kind", "first")
    assert kind in site.run("--lang", lang, "show", "f/s/v1").stdout
    assert kind in site.run("--lang", lang, "filing", "show", "f").stdout


@pytest.mark.parametrize(
    ("lang", "lines"),
    [
        (
            "en",
            [
                "  Review status: under review (2026-03-20), on the portal: 审核 中",
                "  Company: 甲",
                "  Scheme: deep synthesis",
                "  Products: 乙, 丙",
                "  Publication link: https://beian.example/1",
            ],
        ),
        (
            "zh",
            [
                "  审核状态：审核中（2026-03-20），备案系统显示：审核 中",
                "  备案主体：甲",
                "  备案制度：深度合成备案",
                "  应用产品：乙、丙",
                "  公示信息链接：https://beian.example/1",
            ],
        ),
    ],
)
def test_the_sheet_has_labels_instead_of_keys(site: Site, lang: str, lines: list[str]) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-03-19", "--kind", "first")
    sheet = ("--company", "甲", "--product", "乙", "--product", "丙", "--scheme", "deep_synthesis")
    state = ("--status", "under_review", "--portal-text", "审核 中", "--on", "2026-03-20")
    site.run("filing", "set", "f", *sheet, *state, "--published-at", "https://beian.example/1")
    assert site.run("--lang", lang, "filing", "show", "f").stdout.splitlines()[1:6] == lines


@pytest.mark.parametrize(("lang", "heading"), [("en", "SHA-256 (first 16 digits)"), ("zh", "SHA-256（前 16 位）")])
def test_the_checksum_is_called_the_beginning_of_one(site: Site, lang: str, heading: str) -> None:
    """Whoever compared it with sha256sum thought that the file was another."""
    site.write("f/s/a", "1")
    site.catch_up()
    lines = site.run("--lang", lang, "show", "f/s/v1").stdout.splitlines()
    assert lines[1].endswith(heading)
    assert lines[2].endswith("  " + site.json("show", "f/s/v1")["materials"][0]["sha256"][:16])
