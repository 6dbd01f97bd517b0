"""Names of conflict copies, as the named programs create them, and names that people type."""

from __future__ import annotations

import pytest

from archiver.filings.check.conflict_copies import CONFLICT_COPIES, find_conflict_copy
from archiver.i18n import translator

#: Name -> the program that creates it, beside ``报告.docx`` and ``a.b``.
CREATED = {
    "报告.sync-conflict-20261125-101010-ABCDEFG.docx": "Syncthing",
    "报告.sync-conflict-20161125-101010.docx": "Syncthing",
    "报告 (conflicted copy 2026-11-25 101010).docx": "Nextcloud, ownCloud, Dropbox",
    "报告 (conflicted copy 李四 2026-11-25 101010).docx": "Nextcloud, ownCloud, Dropbox",
    "报告 (张三's conflicted copy).docx": "Nextcloud, ownCloud, Dropbox",
    "报告 (张三's conflicted copy 2026-11-25).docx": "Nextcloud, ownCloud, Dropbox",
    "报告_conflict-20161125-101010.docx": "ownCloud",
    "报告 (case clash from lisi).docx": "Nextcloud",
    "报告 (张三 的冲突副本 2026-11-25).docx": "Dropbox",
    "报告 (SFConflict lisi@example.com 2026-11-25-10-10-10).docx": "Seafile",
    "报告(冲突副本-张三-2026-11-25).docx": "坚果云 (Nutstore), 360云盘",
    "报告（冲突）.docx": "坚果云 (Nutstore), 360云盘",
    "报告-冲突.docx": "坚果云 (Nutstore)",
    "报告-冲突-张三.docx": "坚果云 (Nutstore)",
    "报告-NSConflict-张三.docx": "坚果云 (Nutstore)",
    "报告-conflict-张三.docx": "坚果云 (Nutstore)",
    "报告_NAS-PC_Nov-25-101010-2026_Conflict.docx": "Synology Drive",
    "报告-DESKTOP-AB12CD.docx": "OneDrive",
    "报告-DESKTOP-4K2L8NQ-2.docx": "OneDrive",
    "报告-LAPTOP-9P0Q1R2S.docx": "OneDrive",
    "报告-ZHANGSAN-PC.docx": "OneDrive",
    "报告-PC-20260101ABCD.docx": "OneDrive",
    "报告 (lisi v1).docx": "Windows Offline Files",
    "报告 (Autosaved).docx": "Microsoft Office",
    "报告[Recovered].docx": "Microsoft Office",
    "报告_AutoRecovered.docx": "Microsoft Office",
    "报告 (自动保存的).docx": "Microsoft Office, WPS Office",
    "报告(已自动恢复).docx": "Microsoft Office, WPS Office",
}
#: Names of documents, some of them beside ``附件3.docx`` and ``界面截图.png``.
TYPED = (
    *("报告.docx", "报告 (1).docx", "报告(2).docx", "报告 - 副本.docx", "报告最终版2.docx", "报告 v3-改.docx"),
    *("附件3-利益冲突声明.docx", "附件3-冲突处理机制.docx", "利益冲突说明.docx", "冲突.docx", "(冲突).docx"),
    *(
        "报告 (终稿 v2).docx",
        "界面截图-PC.png",
        "界面截图-PC-2024.png",
        "截图-DESKTOP.png",
        "截图-DESKTOP-HOME.png",
    ),
    *("GB-T-35273.docx", "T-SZ-2026.pdf", "model-conflict.docx", "sync-conflict.md", "conflicted copy.txt"),
    *(".sync-conflict-20261125-101010-ABCDEFG.docx", "保存的.docx", "自动保存.docx", "Recovered.docx"),
)


@pytest.mark.parametrize("name", CREATED)
def test_a_name_that_a_program_creates_is_recognized(name: str) -> None:
    for folder in ("", "附件/"):
        original = f"{folder}报告.docx".encode()
        found = find_conflict_copy(f"{folder}{name}".encode(), {original})
        assert found is not None
        assert found.program == CREATED[name]


@pytest.mark.parametrize("name", TYPED)
def test_a_name_that_a_person_types_is_a_document(name: str) -> None:
    assert find_conflict_copy(name.encode(), {"附件3.docx".encode(), "界面截图.png".encode()}) is None


@pytest.mark.parametrize("name", ["报告 (lisi v1).docx", "报告-ZHANGSAN-PC.docx", "报告-conflict.docx"])
def test_an_ambiguous_name_counts_only_beside_its_document_in_the_same_folder(name: str) -> None:
    assert find_conflict_copy(f"附件/{name}".encode(), {"报告.docx".encode(), "附件/报告.pdf".encode()}) is None


def test_a_name_in_gbk_keeps_its_bytes() -> None:
    original = "报告".encode("gbk")
    copy = original + b" (lisi v1).docx"
    assert find_conflict_copy(copy, {original + b".docx"}) is not None
    assert find_conflict_copy(copy, {original}) is None
    assert find_conflict_copy(original + b" (conflicted copy 2026-11-25 101010)", set()) is not None


def test_each_line_states_its_purpose_program_and_source_in_both_languages() -> None:
    assert len({copy.ending for copy in CONFLICT_COPIES}) == len(CONFLICT_COPIES)
    translate = translator("zh")
    for copy in CONFLICT_COPIES:
        assert copy.program
        assert copy.source
        assert translate(copy.purpose) != str(copy.purpose)


def test_a_long_name_in_capitals_is_examined_at_once() -> None:
    """An expression that matches in many ways would take centuries for it, and hold the service up."""
    name = "X" + "-SECURITY" * 20 + " 终稿.pdf"
    assert find_conflict_copy(name.encode(), {name.encode()}) is None
