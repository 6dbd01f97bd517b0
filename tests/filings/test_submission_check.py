"""The list of open points: ``check`` prints it and records nothing, ``submit`` refuses or records it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from archiver import clock
from archiver.filings.check.open_points import (
    MAX_RECORDED_PATHS,
    OPEN_POINTS,
    make_note,
    read_points,
    record_points,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.validation import check_known_members
from tests.support.site import CHECKOUT, COMMAND, Site, wait_until

NAME = "推荐算法/首次"
DOCX = b"PK\x03\x04" + b"x" * 900 + b"PK\x05\x06" + b"\0" * 18
#: What the portal asks for in a first filing.
EXPECTED = ("算法备案承诺书", "落实算法安全主体责任基本情况", "算法安全自评估报告", "拟公示内容")
#: The machine's own day in the zone of the archive, so that no version is captured later.
TODAY = str(clock.today(ZoneInfo("Asia/Shanghai")))

pytestmark = pytest.mark.needs("processes")


@pytest.fixture
def filed(site: Site) -> Site:
    """A submission about which nothing is open."""
    site.set("watch", "settle_seconds", 0)
    for name in EXPECTED:
        site.write(f"{NAME}/{name}.docx", DOCX)
    site.write("别的/首次/x", "3")
    site.catch_up()
    return site


def check(site: Site, *arguments: object, code: int = 0, name: str = NAME) -> dict[str, list[str]]:
    """Check a submission; return the paths by code.  The journal stays as it is."""
    before = site.git("rev-list", "--count", "journal").stdout
    document = site.json("check", name, *arguments, code=code)
    assert site.git("rev-list", "--count", "journal").stdout == before
    assert document["is_refused"] == (code == 4)
    paths: dict[str, list[str]] = {}
    for point in document["open_points"]:
        paths.setdefault(point["code"], []).append(point["path"])
    assert {found: len(each) for found, each in paths.items()} == document["counts"]
    return paths


def recorded(site: Site) -> dict[str, list[str]]:
    """The open points in the newest event of a submission, by code."""
    points = site.events("submit")[-1]["details"].get("x-open-points", [])
    return {point["code"]: point["paths"] for point in points}


def refused(site: Site, *arguments: object) -> str:
    before = site.git("rev-list", "--count", "journal").stdout
    said = site.run("submit", NAME, "--on", TODAY, *arguments, code=4).stderr
    assert "Nothing was recorded" in said
    assert site.git("rev-list", "--count", "journal").stdout == before
    return said


def test_nothing_is_open_and_nothing_is_recorded(filed: Site) -> None:
    assert check(filed) == {}
    said = filed.run("check", NAME).stdout
    assert f"Version: {NAME}/v1 (the newest captured by the end of {TODAY})" in said
    assert "Kind: first filing (from the name of the folder)" in said
    assert "Nothing is open." in said
    filed.run("submit", NAME, "--on", TODAY)
    assert recorded(filed) == {}
    # An event without open points is as it was before there were any.
    assert "x-open-points" not in filed.events("submit")[-1]["details"]
    assert "open_points" not in filed.json("log", NAME)[0]["submitted"][0]


def test_an_unknown_submission_or_version_is_not_found(filed: Site) -> None:
    filed.run("check", "推荐算法/变更", code=7)
    command = [COMMAND, "--config", filed.config, "check", NAME, "--version", "9"]
    assert subprocess.run(command, capture_output=True).returncode == 7
    assert "is in the future" in filed.run("check", NAME, "--on", "2999-01-01", code=2).stderr


# --- what refuses the signature


def test_a_file_that_is_still_open_is_not_signed(filed: Site) -> None:
    """The content on the disk is archived already: the writer is slow, and half of the document is missing."""
    with open(filed.watch / NAME / "拟公示内容.docx", "r+b"):
        assert check(filed, code=4) == {"check.open": ["拟公示内容.docx"]}
        assert "拟公示内容.docx: is open for writing" in refused(filed)
        assert "拟公示内容.docx" in refused(filed, "--version", 1)
        filed.run("submit", NAME, "--on", TODAY, "--version", 1, "--reason", "the portal has this state")
    assert recorded(filed) == {"check.open": ["拟公示内容.docx"]}
    assert check(filed) == {}
    filed.run("submit", NAME, "--on", TODAY)
    filed.verified()


def test_a_file_that_was_captured_while_it_was_open_is_not_signed(filed: Site) -> None:
    """The maximum delay has passed, and the copy is one of many states of the file."""
    filed.set("watch", "maximum_delay_seconds", 2)
    daemon = filed.start("--settle", "0.2")
    name = "拟公示内容.docx"
    with open(filed.watch / NAME / name, "ab") as stream:
        stream.write(b"half")
        stream.flush()
        wait_until(lambda: f"{NAME}/v2" in filed.tags())
        daemon.send_signal(signal.SIGINT)
        daemon.communicate(timeout=20)
        [material] = [each for each in filed.json("show", f"{NAME}/v2")["materials"] if each["path"] == name]
        assert material["health"] == "open"
        assert "open for writing" in filed.run("show", f"{NAME}/v2").stdout
        assert check(filed, code=4) == {"check.open": [name], "check.captured-open": [name]}
    assert check(filed) == {}, "it was closed as it was captured"
    filed.write(f"{NAME}/{name}", DOCX)
    assert check(filed, "--version", 2, code=4)["check.captured-open"] == [name]
    filed.catch_up()
    assert "was open for writing" in refused(filed, "--version", 2)
    filed.run("submit", NAME, "--on", TODAY, "--version", 2, "--reason", "the portal has this state")
    assert "check.captured-open" in recorded(filed)
    filed.run("submit", NAME, "--on", TODAY)
    filed.verified()


def test_a_file_that_is_open_does_not_concern_an_earlier_version(filed: Site) -> None:
    filed.write(f"{NAME}/草稿.txt", "next")
    filed.catch_up()
    with open(filed.watch / NAME / "草稿.txt", "a"):
        assert "check.open" not in check(filed, "--version", 1)
        assert check(filed, "--version", 2, code=4) == {"check.open": ["草稿.txt"]}
        filed.run("submit", NAME, "--on", TODAY, "--version", 1)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("报告.docx.nextcloud", b" "),
        (".报告.docx.icloud", b"bplist00"),
        ("报告.lnk", b"L\0\0\0"),
        ("报告.gdoc", b"{}"),
        ("报告.docx", b""),
    ],
)
def test_a_stand_in_is_not_signed(filed: Site, name: str, content: bytes) -> None:
    filed.write(f"{NAME}/{name}", content)
    # Before its capture and after.
    assert check(filed, code=4)["check.stand-in"] == [name]
    filed.catch_up()
    assert check(filed, code=4) == {"check.stand-in": [name]}
    assert f"{name}: stands for a document" in refused(filed)
    # The version before has the document itself.
    assert "check.stand-in" not in check(filed, "--version", 1)
    filed.run("submit", NAME, "--on", TODAY, "--version", 1)
    filed.run("submit", NAME, "--on", TODAY, "--version", 2, "--reason", "only the link was submitted")
    assert recorded(filed) == {"check.stand-in": [name]}
    shown = filed.run("show", f"{NAME}/submitted-2").stdout
    assert "Reason: only the link was submitted" in shown
    assert f"At the signature: {name}: stands for a document" in shown


def test_a_link_to_a_document_outside_is_not_signed(filed: Site) -> None:
    (filed.watch / NAME / "报告.docx").symlink_to("/srv/报告.docx")
    (filed.watch / NAME / "同一份.docx").symlink_to("拟公示内容.docx")
    # A link inside the folder leads to a document that is archived.
    assert check(filed, code=4) == {"check.stand-in": ["报告.docx"], "check.skipped": ["同一份.docx"]}
    assert "报告.docx" in refused(filed)


def test_content_that_the_archive_has_lost_is_named(filed: Site) -> None:
    sha256 = filed.json("show", f"{NAME}/v1")["materials"][0]["sha256"]
    (filed.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256).unlink()
    assert check(filed, code=4) == {"check.content-lost": sorted(f"{name}.docx" for name in EXPECTED)}
    filed.run("submit", NAME, "--on", TODAY, "--version", 1, "--reason", "the paper copy was submitted")
    assert len(recorded(filed)["check.content-lost"]) == 4


def watched_folder(site: Site) -> None:
    shutil.rmtree(site.watch)


def submission_folder(site: Site) -> None:
    shutil.rmtree(site.watch / NAME)


def all_files(site: Site) -> None:
    submission_folder(site)
    (site.watch / NAME).mkdir()


@pytest.mark.parametrize(
    ("lose", "code"),
    [
        (watched_folder, "check.watched-folder"),
        (submission_folder, "check.folder-missing"),
        (all_files, "check.files-missing"),
    ],
)
def test_a_missing_folder_refuses_unless_a_version_is_named(
    filed: Site, lose: Callable[[Site], None], code: str
) -> None:
    lose(filed)
    assert check(filed, code=4)[code] == [""]
    refused(filed)
    # The folder was moved away after the submission.
    assert check(filed, "--version", 1)[code] == [""]
    filed.run("submit", NAME, "--on", TODAY, "--version", 1)
    assert code in recorded(filed)


def test_a_version_without_files_is_not_signed(filed: Site) -> None:
    shutil.rmtree(filed.watch / "推荐算法")
    filed.catch_up()
    assert check(filed, code=4) == {"check.no-files": [""], "check.expected-absent": list(EXPECTED)}


def test_a_change_that_has_not_settled_refuses_and_one_that_has_is_captured_first(filed: Site) -> None:
    filed.write(f"{NAME}/附件.txt", "new")
    assert check(filed) == {"check.not-captured": ["附件.txt"]}
    document = filed.json("check", NAME)
    assert (document["choice_code"], document["tag"]) == ("choice.present-state", None)
    assert "submit captures it first" in filed.run("check", NAME).stdout
    filed.set("watch", "settle_seconds", 1000)
    assert check(filed, code=4) == {"check.not-captured": ["附件.txt"]}
    filed.run("submit", NAME, "--on", TODAY, code=2)
    assert check(filed, "--version", 1)["check.not-captured"] == ["附件.txt"]
    filed.set("watch", "settle_seconds", 0)
    filed.run("submit", NAME, "--on", TODAY)
    assert recorded(filed) == {}
    assert filed.json("log", NAME)[0]["submitted"]


# --- what is printed and recorded


def test_doubtful_files_are_printed_and_recorded(filed: Site) -> None:
    files = {
        "check.conflict-copy": ("拟公示内容 (conflicted copy 2026-11-25 101010).docx", DOCX),
        "check.empty": ("说明.txt", b""),
        "check.zeros": ("附表.xlsx", b"\0" * 70_000),
        "check.html-page": ("回复.doc", b"<!DOCTYPE html><title>login</title>"),
        "check.doubtful": ("截断.pdf", b"%PDF-1.4\n" + b"x" * 500),
        "check.partial": ("模型.zip.part", b"PK"),
    }
    for name, content in files.values():
        filed.write(f"{NAME}/{name}", content)
    # Programs create these on purpose, and storage servers leave those behind.
    for name in (".gitkeep", "@eaDir/x", "~$公示内容.docx", "Thumbs.db"):
        filed.write(f"{NAME}/{name}", b"")
    os.mkfifo(filed.watch / NAME / "管道")
    filed.catch_up()
    expected = {code: [name] for code, (name, _) in files.items()} | {"check.skipped": ["管道"]}
    assert check(filed) == expected
    done = filed.run("submit", NAME, "--on", TODAY)
    for name, _ in files.values():
        assert f"To check: {name}: " in done.stderr
    assert recorded(filed) == expected
    points = filed.json("log", NAME)[0]["submitted"][0]["open_points"]
    assert {point["code"]: point["paths"] for point in points} == expected
    assert all(point["count"] == 1 for point in points)
    # The tag and the manifest are as without open points, and every reader accepts the event.
    filed.run("reindex")
    filed.verified()
    package = filed.root / "package"
    filed.run("audit", "--to", package)
    versions = json.loads((package / "data/versions.json").read_text("utf-8"))
    [signed] = [record for version in versions for record in version["submitted"]]
    assert {point["code"] for point in signed["open_points"]} == set(expected)
    assert "冲突副本" in (package / "report.html").read_text("utf-8")
    verifier = subprocess.run([sys.executable, package / "verify.py"], capture_output=True, text=True)
    assert verifier.returncode == 0, verifier.stdout + verifier.stderr


def test_an_incomplete_transfer_counts_although_the_settings_archive_it(filed: Site) -> None:
    filed.set("watch", "ignore", '["!*.crdownload", "*.bak"]')
    filed.write(f"{NAME}/模型.zip.crdownload", b"PK")
    filed.write(f"{NAME}/报告.bak", b"old")
    filed.catch_up()
    # A pattern of the admin hides a file from the officer, who may not know it.
    assert check(filed) == {"check.partial": ["模型.zip.crdownload"], "check.skipped": ["报告.bak"]}


def test_expected_materials_may_be_in_the_folder_of_the_filing(filed: Site) -> None:
    os.rename(filed.watch / NAME / "拟公示内容.docx", filed.watch / "推荐算法/拟公示内容 v2.docx")
    os.unlink(filed.watch / NAME / "算法备案承诺书.docx")
    filed.catch_up()
    assert check(filed) == {"check.expected-absent": ["算法备案承诺书"]}
    assert check(filed, "--kind", "annual") == {}
    said = filed.run("check", "别的/首次").stdout
    assert f"To check: {', '.join(EXPECTED)}: expected in a submission of this kind" in said


def test_the_kind_and_its_origin_are_printed(filed: Site) -> None:
    filed.write("推荐算法/资料/a.txt", "1")
    filed.catch_up()
    document = filed.json("check", "推荐算法/资料")
    assert (document["kind"], document["kind_code"]) == ("other", "kind.unknown")
    done = filed.run("submit", "推荐算法/资料", "--on", TODAY)
    assert "Kind: other (the name of the folder suggests no kind; state the kind with --kind)" in done.stderr
    done = filed.run("submit", NAME, "--on", TODAY, "--kind", "change")
    assert "Kind: change (as stated with --kind)" in done.stderr
    assert [event["details"]["kind"] for event in filed.events("submit")] == ["other", "change"]


def later(site: Site, days: float, *arguments: object) -> None:
    """Run a command on a later day."""
    command = [sys.executable, "-m", "tests.support.later", str(days), "--config", site.config]
    done = subprocess.run([*command, *map(str, arguments)], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_version_captured_after_the_day_is_marked_in_every_later_view(filed: Site) -> None:
    """An imported past: the files are older than the archive, and one was changed after the day."""
    old = clock.parse_time("2026-03-01T00:00:00Z").timestamp()
    name = "推荐算法/年度"
    os.utime(filed.write(f"{name}/报告.txt", "old"), (old, old))
    filed.write(f"{name}/附件.txt", "changed after the day")
    filed.catch_up()
    found = check(filed, "--on", "2026-03-20", name=name)
    assert found == {"check.captured-later": [""], "check.changed-later": ["附件.txt"]}
    done = filed.run("submit", name, "--on", "2026-03-20")
    assert "the first captured after 2026-03-20: none was captured by the end of this day" in done.stderr
    assert "after the stated day" in filed.run("show", f"{name}/submitted").stdout
    [record] = filed.json("log", name)[0]["submitted"]
    assert record["open_points"][0] == {"code": "check.captured-later", "count": 1, "paths": []}
    package = filed.root / "package"
    filed.run("audit", "--to", package)
    assert "存档晚于所填报送日期" in (package / "report.html").read_text("utf-8")


def test_a_version_captured_after_the_day_is_newer_and_not_signed(filed: Site) -> None:
    filed.write(f"{NAME}/算法备案承诺书.docx", DOCX + b"2")
    filed.write(f"{NAME}/后来.txt", "later")
    later(filed, 3, "run", "--once", "--settle", "0")
    assert filed.json("check", NAME)["newer"] == f"{NAME}/v2"
    assert check(filed) == {"check.newer-version": ["后来.txt", "算法备案承诺书.docx"]}
    done = filed.run("submit", NAME, "--on", TODAY)
    assert f"Version: {NAME}/v1 (the newest captured by the end of {TODAY})" in done.stderr
    assert f"To check: 后来.txt, 算法备案承诺书.docx: different in {NAME}/v2, captured " in done.stderr
    assert [bool(version["submitted"]) for version in filed.json("log", NAME)] == [False, True]
    # A named version wins.
    filed.run("submit", NAME, "--on", TODAY, "--version", 2)
    assert "check.captured-later" in recorded(filed)


def test_receipts_about_the_submission_are_no_part_of_the_list(filed: Site) -> None:
    filed.write(f"{NAME}/回执.pdf", b"<html>saved from the portal")
    filed.catch_up()
    assert check(filed) == {"check.html-page": ["回执.pdf"]}
    filed.run("submit", NAME, "--on", TODAY, "--receipt-in-folder", "回执.pdf")
    assert recorded(filed) == {}


def test_the_list_in_chinese(filed: Site) -> None:
    filed.write(f"{NAME}/拟公示内容-冲突-张三.docx", DOCX)
    filed.write(f"{NAME}/报告.docx.nextcloud", b" ")
    filed.catch_up()
    done = filed.run("--lang", "zh", "check", NAME, code=4)
    assert "报送类型：首次备案（根据文件夹名称）" in done.stdout
    assert "请核对：拟公示内容-冲突-张三.docx：是冲突副本：两台设备同时改动了同一文档" in done.stdout
    assert "须处理：报告.docx.nextcloud：" in done.stdout
    assert "未作任何更改" in done.stderr


# --- the form in the journal


def test_an_earlier_release_accepts_the_member() -> None:
    check_known_members(Action.SUBMIT, {"x-open-points": [], "x-of-a-later-release": 1})
    with pytest.raises(ValueError, match="unknown"):
        check_known_members(Action.SUBMIT, {"open-points": []})


def test_many_paths_are_counted_and_the_first_recorded() -> None:
    message = OPEN_POINTS["check.changed-later"]
    [point] = record_points(make_note(message, f"{n}.txt") for n in range(MAX_RECORDED_PATHS + 5))
    assert point["count"] == MAX_RECORDED_PATHS + 5
    assert point["paths"] == [f"{n}.txt" for n in range(MAX_RECORDED_PATHS)]
    [read] = read_points([point])
    assert (read.path_count, len(read.paths)) == (MAX_RECORDED_PATHS + 5, MAX_RECORDED_PATHS)
    assert read.sentence == message


@pytest.mark.parametrize(
    "value", [None, 3, "x", {"code": 1}, [1, None, [], {}, {"code": 3}], [{"code": "y", "paths": 4, "count": "z"}]]
)
def test_a_form_of_a_later_release_is_no_error(value: Any) -> None:
    points = read_points(value)
    assert [point.code for point in points] == (
        ["y"] if value and isinstance(value, list) and len(value) == 1 else []
    )
    assert all(str(point.sentence) == point.code for point in points)


def test_every_code_has_a_sentence_in_both_languages() -> None:
    from archiver.i18n import translator

    translate = translator("zh")
    assert all(translate(message) != str(message) for message in OPEN_POINTS.values())


def test_what_is_wrong_with_a_newer_version_is_told(filed: Site) -> None:
    """The documents became placeholders after they were captured, and the day of the submission is past."""
    name = "拟公示内容.docx"
    (filed.watch / NAME / name).unlink()
    filed.write(f"{NAME}/{name}.nextcloud", b" ")
    (filed.watch / NAME / "算法安全自评估报告.docx").write_bytes(bytes(len(DOCX)))
    filed.catch_up()
    said = filed.run("submit", NAME, "--on", "2026-01-05").stderr
    assert f"{name}.nextcloud: different in {NAME}/v2" in said
    assert "stands for" in said
    assert "contains only zero bytes" in said
    assert "contains only zero bytes" in said
