"""Files and links in the place of a document: archived or not, each is a finding of its submission."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.exclusion.pointer_files import POINTER_FILES
from archiver.intake.exclusion.stand_ins import find_stand_in
from archiver.intake.folder.child_access import ChildAccess
from tests.support.site import Site, wait_until

#: Names as the named programs really create them.
POINTERS = (
    *(
        "报告.docx.nextcloud",
        "报告.docx.owncloud",
        ".报告.docx.icloud",
        "报告.docx.lnk",
        "报告 - 快捷方式.LNK",
        "备案系统.url",
    ),
    *("备案系统.webloc", "报告.gdoc", "表.gsheet", "幻灯.gslides", "表单.gform", "图.gdraw", "x.glink"),
)


@pytest.mark.parametrize("name", POINTERS)
def test_a_pointer_is_recognized_by_its_suffix_and_is_no_litter(name: str) -> None:
    found = find_stand_in(f"推荐/首次/{name}".encode(), 1)
    assert found is not None
    assert found.code == "standin.pointer-file"
    assert "{" not in str(found.reason)
    assert IgnoreRules.with_litter([]).matching_pattern(name.encode()) is None


@pytest.mark.parametrize(
    "name", ["报告.docx", "lnk", "url", "nextcloud", "报告.url.txt", "curl", "a.lnk2", "报告.icloud/x.pdf"]
)
def test_a_document_is_no_stand_in(name: str) -> None:
    assert find_stand_in(f"推荐/首次/{name}".encode(), 1) is None


def test_only_a_document_needs_content() -> None:
    """Programs create empty files with other names on purpose."""
    assert [find_stand_in(name, 0) is not None for name in (b"a.PDF", b"a.wps", b"a.jpg")] == [True] * 3
    assert [find_stand_in(name, 0) is not None for name in (b"a.txt", b".gitkeep", b"a", b"__init__.py")] == [
        False
    ] * 4


def test_each_line_states_its_purpose_and_source() -> None:
    assert len({pointer.suffix for pointer in POINTER_FILES}) == len(POINTER_FILES)
    assert all(str(pointer.purpose) and pointer.program and pointer.source for pointer in POINTER_FILES)


@pytest.mark.needs("processes")
def test_links_on_a_share_are_read_by_a_child(tmp_path: Path) -> None:
    (tmp_path / "w/f").mkdir(parents=True)
    (tmp_path / "w/f/link").symlink_to(os.fsdecode("/目标/".encode() + b"\xff"))
    access = ChildAccess(tmp_path / "w", 20)
    try:
        assert access.read_link(b"f/link") == "/目标/".encode() + b"\xff"
        with pytest.raises(FileNotFoundError):
            access.read_link(b"f/none")
    finally:
        access.close()


def codes(site: Site) -> dict[str, str]:
    return {item["path"]: item["code"] for item in site.json("status")["stand_ins"]}


@pytest.mark.needs("processes")
def test_status_lists_the_stand_ins_of_each_submission(site: Site) -> None:
    site.write("推荐/首次/报告.docx")
    site.write("推荐/首次/承诺书.pdf.nextcloud", b" ")
    site.write("推荐/首次/附件/.截图.png.icloud", b"bplist00")
    site.write("推荐/首次/表.gsheet", b'{"doc_id":"1x"}')
    site.write("生成/首次/空.docx", b"")
    site.write("生成/首次/备案.LNK", b"L\0\0\0")
    site.write("生成/说明.url", b"[InternetShortcut]")
    site.catch_up()
    expected = {
        "推荐/首次/承诺书.pdf.nextcloud": "standin.pointer-file",
        "推荐/首次/附件/.截图.png.icloud": "standin.pointer-file",
        "推荐/首次/表.gsheet": "standin.pointer-file",
        "生成/首次/空.docx": "standin.empty",
        "生成/首次/备案.LNK": "standin.pointer-file",
        "生成/说明.url": "standin.pointer-file",
    }
    assert codes(site) == expected
    submissions = {item["path"]: (item["filing"], item["submission"]) for item in site.json("status")["stand_ins"]}
    assert submissions["生成/首次/空.docx"] == ("生成", "首次")
    assert submissions["生成/说明.url"] == ("生成", "_common")
    # They are archived as they are, and not among what is skipped.
    assert site.json("status")["skipped"] == []
    assert len(site.json("show", "推荐/首次/v1")["materials"]) == 4
    line = "Stand-in: 推荐/首次/表.gsheet: stands for a document: pointer to an online document (Google Drive)"
    assert line in site.run("status").stdout
    assert (
        "替身文件：推荐/首次/表.gsheet：并非文档本身：在线文档的指向文件"
        in site.run("--lang", "zh", "status").stdout
    )
    # A finding ends with its file, or with the document in its place.
    (site.watch / "推荐/首次/表.gsheet").unlink()
    site.write("生成/首次/空.docx", b"PK")
    site.catch_up()
    assert codes(site) == {
        path: code for path, code in expected.items() if path not in ("推荐/首次/表.gsheet", "生成/首次/空.docx")
    }
    # The admin may decide that a kind of them is litter.
    site.set("watch", "ignore", '["*.lnk", "*.url", "*.icloud", "*.nextcloud"]')
    site.catch_up()
    assert codes(site) == {}


@pytest.mark.needs("processes")
def test_a_link_out_of_its_submission_stands_for_a_document(site: Site) -> None:
    site.write("推荐/首次/报告.docx")
    site.write("推荐/变更/新.docx")
    folder = site.watch / "推荐/首次"
    (folder / "附件").mkdir()
    outside = {
        "外部.docx": "/srv/share/报告.docx",
        "外部文件夹": "/srv/share",
        "上级.docx": "../../../报告.docx",
        "他批次.docx": "../变更/新.docx",
        "悬空.docx": "/nowhere",
        "附件/绝对.docx": str(site.watch / "推荐/变更/新.docx"),
    }
    inside = {
        "同批次.docx": "报告.docx",
        "附件/同批次.docx": "../报告.docx",
        "同批次绝对.docx": str(site.watch / "推荐/首次/报告.docx"),
    }
    for name, target in {**outside, **inside}.items():
        (folder / name).symlink_to(target)
    site.catch_up()
    assert codes(site) == {f"推荐/首次/{name}": "standin.link" for name in outside}
    # All of them are still listed as skipped, under the same code as before.
    skipped = {item["path"]: item["code"] for item in site.json("status")["skipped"]}
    assert skipped == {f"推荐/首次/{name}": "path.symbolic-link" for name in (*outside, *inside)}
    assert "it is a link to /srv/share, outside of the submission folder" in site.run("status").stdout


@pytest.mark.needs("processes")
def test_a_document_replaced_by_a_placeholder_is_found_before_anybody_signs(site: Site) -> None:
    """A sync client frees space: the documents of a submission become placeholders, live or before a check."""
    names = ("报告.docx", "承诺书.pdf", "截图.png")
    for name in names:
        site.write(f"推荐/首次/{name}")
    site.write("生成/首次/其他.lnk")
    site.set("watch", "settle_seconds", 0.2)
    process = site.start()
    try:
        wait_until(lambda: "推荐/首次/v1" in site.tags())
        for name in names:
            os.rename(site.watch / "推荐/首次" / name, site.watch / "推荐/首次" / f"{name}.nextcloud")
            (site.watch / "推荐/首次" / f"{name}.nextcloud").write_bytes(b" ")
        expected = {f"推荐/首次/{name}.nextcloud" for name in names}
        # Long before the next scan of the whole folder.
        wait_until(lambda: expected <= set(codes(site)))
    finally:
        process.terminate()
        process.communicate(timeout=30)
    (site.watch / "推荐/首次/链接.docx").symlink_to("/srv/报告.docx")
    points = site.json("check", "推荐/首次", code=4)["open_points"]
    stand_ins = {f"推荐/首次/{point['path']}" for point in points if point["code"] == "check.stand-in"}
    assert stand_ins == expected | {"推荐/首次/链接.docx"}
    points = site.json("check", "推荐/首次", "--version", 1)["open_points"]
    assert "check.stand-in" not in {point["code"] for point in points}


def test_a_stand_in_that_cannot_be_read_is_listed_as_unreadable(tmp_path: Path) -> None:
    """Each path has one reason, and the list must not change at every scan."""
    from archiver.intake.path_reasons import UNREADABLE_FILE
    from archiver.intake.snapshot import SkippedPath, Snapshot
    from archiver.store.content.source import StatData

    snapshot = Snapshot(tmp_path / "state.db")
    try:
        path = "推荐/首次/x.lnk".encode()
        stand_in = find_stand_in(path, 1)
        assert stand_in is not None
        unreadable = SkippedPath(path, UNREADABLE_FILE.code, "EIO")
        snapshot.note_scan(b"", [stand_in], {path})
        snapshot.note_unreadable([unreadable])
        snapshot.note_scan(b"", [stand_in], {path})
        assert (snapshot.skipped(), snapshot.stand_ins()) == ([unreadable], [])
        snapshot.record({path: StatData(1, 1, 1, 1)})
        snapshot.note_scan(b"", [stand_in], set())
        assert (snapshot.skipped(), snapshot.stand_ins()) == ([], [stand_in])
    finally:
        snapshot.close()
