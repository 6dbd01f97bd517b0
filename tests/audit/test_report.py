"""The report in a real browser: nothing fetched, nothing broken, both languages."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.audit.timeline import LABEL_WIDTH, PICTURE_WIDTH, MarkRow, TimelineMark, lay_out_timeline
from archiver.filings.expected_materials import EXPECTED_MATERIALS, find_expected
from tests.support.site import SAMPLES, Site

moments = st.datetimes(datetime(2020, 1, 1), datetime(2060, 1, 1)).map(lambda m: m.replace(tzinfo=UTC))
marks = st.builds(
    lambda kind, at, days: TimelineMark(kind, at, "t", at + timedelta(days=days) if days else None),
    st.sampled_from(["version", "submitted", "hold", "checkpoint"]),
    moments,
    st.integers(0, 3000),
)


@given(st.lists(st.tuples(st.text(max_size=5), st.lists(marks, max_size=20)), max_size=4), moments)
def test_every_mark_stands_on_the_picture_in_the_order_of_time(rows: list[Any], end: datetime) -> None:
    picture = lay_out_timeline(rows, end)
    for (_, given_marks), row in zip(rows, picture.rows, strict=True):
        for mark in row.marks:
            assert LABEL_WIDTH <= mark.x <= PICTURE_WIDTH
            assert mark.width >= 0 or mark.kind == "hold"
        for kind in ("version", "submitted"):
            wanted = sorted(mark.time for mark in given_marks if mark.kind == kind)
            placed = sorted(mark.x for mark in row.marks if mark.kind == kind)
            assert bool(wanted) == bool(placed)
    assert len(picture.ticks) <= 9
    assert picture.ticks


def test_thousands_of_versions_become_as_many_marks_as_there_are_pixels() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    many = [TimelineMark("version", start + timedelta(hours=n), str(n)) for n in range(20_000)]
    assert len(lay_out_timeline([MarkRow("s", many)], start + timedelta(days=900)).rows[0].marks) <= PICTURE_WIDTH


def test_what_is_expected_of_a_submission() -> None:
    found = dict(find_expected("first", ["算法安全自评估报告.pdf", "拟公示内容（终）.docx"], EXPECTED_MATERIALS))
    assert found["算法安全自评估报告"] == ["算法安全自评估报告.pdf"]
    assert found["算法备案承诺书"] == []
    assert find_expected("other", ["x"], EXPECTED_MATERIALS) == []


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = Site(tmp_path_factory.mktemp("report") / "site").init()
    for filing in SAMPLES.iterdir():
        shutil.copytree(filing, site.watch / filing.name)
    site.write("g/s/<script>alert(1)<／script>", "1")
    site.write('g/s/"quoted" & <b>', "2")
    (site.watch / "g/s/link").symlink_to("nowhere")
    site.catch_up()
    name = next(iter(sorted(SAMPLES.iterdir()))).name
    folders = sorted(path.name for path in (site.watch / name).iterdir())
    for number, folder in enumerate(folders):
        site.run("submit", f"{name}/{folder}", "--on", f"2026-0{number + 1}-01", "--receipt", site.config)
    desk(site, name)
    site.run("hold", "place", "抽查 2026", name, "--reason", "网信办抽查")
    site.run("dispose", "plan", code=4)
    site.run("key", "rotate", "--reason", "yearly")
    site.run("drill")
    site.configure(expected={"change": ["算法变更说明"]}, sensitive={"patterns": ["*承诺书.docx"]})
    site.run("audit", "--to", site.root / "package", "--recipient", "网信办")
    return site.root / "package"


def desk(site: Site, name: str) -> None:
    """A review with a screenshot, a notice with its paper, a number, a page that displays it, a sensitive paper."""
    paper = next(SAMPLES.rglob("补正通知.pdf"))
    site.run(
        "filing",
        "set",
        name,
        "--company",
        "星河<b>",
        "--scheme",
        "algorithm",
        "--product",
        "甲",
        "--product",
        "乙",
    )
    words = ("filing", "set", name, "--status", "under_review", "--portal-text", "审核中")
    site.run(*words, "--evidence", next(SAMPLES.rglob("*.jpg")))
    site.run("notice", "add", name, "--kind", "correction", "--received", "2026-03-20", "--file", paper)
    secret = site.root / "法人承诺书.docx"
    secret.write_bytes(b"secret")
    site.run("notice", "add", name, "--kind", "inquiry", "--received", "2026-04-20", "--file", secret)
    number = (
        "--number",
        "网信算备110108823483901230031号",
        "--issued-on",
        "2026-05-01",
        "--published-at",
        "https://x/y",
    )
    site.run("filing", "set", name, *number)
    page = site.root / "page.html"
    page.write_text(site.run("notice-board", name).stdout, "utf-8")
    site.run("display", "check", name, "--page", page)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.mark.needs("chromium")
@pytest.mark.parametrize("width", [1280, 390])
def test_it_opens_in_a_browser_without_a_network(package: Path, browser: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.route("**/*", lambda route: (asked.append(route.request.url), route.continue_()))
    page.goto((package / "report.html").as_uri())
    assert told == []
    assert asked == [(package / "report.html").as_uri()]
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    assert page.locator("h1").inner_text() == "备案材料检查报告"
    pictures = page.locator("svg.life")
    assert pictures.count() >= 2
    box = pictures.first.bounding_box()
    assert box is not None
    assert box["height"] > 50
    assert page.locator("svg .m-submitted").count() >= 2
    assert page.locator("svg .m-hold").count() >= 1
    page.get_by_text("English", exact=True).click()
    assert page.locator("h1").inner_text() == "Inspection report"
    assert not page.locator(".zh").first.is_visible()
    page.get_by_text("中文", exact=True).click()
    assert page.locator("h1").inner_text() == "备案材料检查报告"
    # Nothing but tables and the picture, which scroll on their own, is wider than the screen.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()


@pytest.mark.needs("processes")
def test_every_link_leads_to_a_file_of_the_package(package: Path) -> None:
    text = (package / "report.html").read_text("utf-8")
    links = re.findall(r'href="([^"#][^"]*)"', text)
    assert len(links) >= 25
    for link in links:
        assert (package / unquote(link)).is_file(), link
    anchors = set(re.findall(r'href="#([^"]+)"', text))
    assert anchors <= set(re.findall(r'id="([^"]+)"', text))
    assert "<script" not in text
    assert re.findall(r"(?<=[\"('])https?:", text) == [], "nothing is fetched from elsewhere"


@pytest.mark.needs("processes")
def test_it_says_what_an_inspector_asks(package: Path) -> None:
    text = (package / "report.html").read_text("utf-8")
    for wanted in (
        "本次导出的计数",
        "真实性",
        "网信办抽查",
        "附回执",
        "星河&lt;b&gt;",
        "甲、乙",
        "“审核中”",
        "补正通知.pdf</a>",
        "法人承诺书.docx</span>",
        "已标明备案编号并提供公示信息链接",
        "第二十六条",
        'src="data:image/jpeg;base64,',
        "1600×",
        "✗ 算法变更说明",
        "敏感材料，未附：*承诺书.docx",
        "还原演练",
        "g/s/link",
        "符号链接",
        "已拒绝的操作",
        "两次报送之间的差异",
        "python3 -I -S verify.py",
        "&lt;script&gt;",
    ):
        assert wanted in text, wanted


@pytest.mark.needs("processes")
def test_it_says_what_is_signed(package: Path) -> None:
    text = re.sub(r"<[^>]+>", "", (package / "report.html").read_text("utf-8"))
    heads = (package / "data/heads.jsonl").read_bytes().splitlines()
    newest = json.loads(heads[-1])["last"]
    assert (
        f"签名链头：signed heads: {len(heads)} (最新的覆盖至第 {newest} 个事件the newest covers event {newest})"
        in text
    )
    assert "更换签名密钥：changes of the signing key: 1" in text
    assert "unsigned" not in text
    assert "archiver-witness 2" in text
    assert "更换密钥的理由" in text
    assert "yearly" in text
    # What an archive begins with is no use of it.
    assert "watched folder moved" not in text
    assert "archive format upgraded" not in text


@pytest.mark.needs("processes")
def test_it_says_of_an_act_on_several_filings_which_filing_each_event_is_about(site: Site) -> None:
    for path in ("f/s/a", "g/s/a"):
        site.write(path, "1")
    site.catch_up()
    site.run("audit", "--to", "first", "--recipient", "网信办")
    site.run("audit", "--to", "second")
    text = re.sub(r"<[^>]+>", " ", (site.root / "second/report.html").read_text("utf-8"))
    assert re.findall(r"audit \((.)\)\s+网信办", text) == ["g", "f"]


@pytest.mark.needs("processes")
def test_it_says_what_no_signed_head_covers(site: Site) -> None:
    """Without a usable key, capturing goes on, and an export makes no checkpoint."""
    site.write("f/s/a", "1")
    site.catch_up()
    (site.archive / "keys/signing_key").rename(site.root / "put-away")
    site.write("f/s/a", "2")
    site.catch_up()
    assert "signing key" in site.run("audit", "--to", "package").stderr
    text = (site.root / "package/report.html").read_text("utf-8")
    assert "later events are unsigned" in text
    command = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    done = subprocess.run(command, cwd=site.root / "package", capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r"data/heads.jsonl: events from \d+ on: no signed head covers them", done.stdout)
    assert "Findings: 1." in done.stdout


@pytest.mark.needs("processes")
def test_it_claims_no_standard_that_it_does_not_carry_out(package: Path) -> None:
    text = (package / "report.html").read_text("utf-8")
    # 四性检测 is a procedure of DA/T 70-2018; the report only counts.
    for claim in ("四性", "检测标准", "DA/T", "Four properties"):
        assert claim not in text, claim
    assert "并非依据任何标准所作的检测" in text
    assert "not a test under any standard" in text


def test_it_opens_in_the_language_that_was_asked_for(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    for lang, picked in (("en", "lang-en"), ("zh", "lang-zh")):
        site.run("--lang", lang, "audit", "--to", lang)
        text = (site.root / lang / "report.html").read_text("utf-8")
        assert re.search(rf'id="{picked}" checked', text)
