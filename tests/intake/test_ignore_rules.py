"""Which names are litter, and what becomes of a path whose name is ignored."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.exclusion.litter import LITTER
from archiver.intake.folder.access import DirectAccess
from archiver.intake.path_reasons import IGNORED, NO_LONGER_CAPTURED
from archiver.intake.scan import Scanner, ScanResult
from archiver.intake.snapshot import Snapshot
from tests.support import ignored_names_page
from tests.support.site import Site, wait_until

#: Folders as the named programs really create them.
LITTER_FOLDERS = (
    *("#recycle", "@eaDir", "#snapshot", "@Recycle", "@Recently-Snapshot", ".@__thumb", ".streams", ".recycle"),
    *("@GMT-2026.11.25-10.00.00", ".snapshot", "~snapshot", ".snapshots", ".zfs", "$RECYCLE.BIN", "$Recycle.Bin"),
    *("System Volume Information", ".AppleDouble", "Network Trash Folder", "Temporary Items", ".TemporaryItems"),
    *(".Trashes", ".Trash-1000", ".Spotlight-V100", ".fseventsd", ".DocumentRevisions-V100", ".stversions"),
    *(".stfolder", ".~tmp~", ".rsync-partial", ".dropbox.cache", ".tmp.drivedownload", ".sync", "lost+found"),
    *("报告.docx.sb-1a2b3c4d-XyZ012", "报告.docx.download"),
)
#: Files as the named programs really create them.
LITTER_FILES = (
    *(
        "~$报告.docx",
        ".~lock.报告.odt#",
        ".~报告.docx",
        "~WRL0001.tmp",
        "~WRD0000.tmp",
        "~WRA3021.tmp",
        "备份属于 报告.wbk",
    ),
    *(
        "lu123abc.tmp",
        "ppt1A2B.tmp",
        ".报告.txt.swp",
        ".报告.txt.swo",
        ".报告.txt.swx",
        "报告.txt~",
        "#报告.txt#",
        ".#报告.txt",
    ),
    *(
        "thumbs.DB",
        "Desktop.ini",
        ".DS_Store",
        "._报告.docx",
        ".apdisk",
        ".smbdelete0001",
        ".nfs000000000123abcd00000001",
    ),
    *(
        ".fuse_hidden0000001200000001",
        ".goutputstream-ABC123",
        ".syncthing.报告.docx.tmp",
        "~syncthing~报告.docx.tmp",
    ),
    *(
        ".报告.docx.~1a2b3c",
        ".sync_0123456789ab.db",
        ".sync_0123456789ab.db-wal",
        ".owncloudsync.log",
        "报告.docx.!sync",
    ),
    *("x.crdownload", "x.part", "x.partial", "x.filepart", "x.pdf.baiduyun.p.downloading", "x.zip.xltd"),
)
#: Names of documents and of folders that people choose, some of them close to those of litter.
DOCUMENT_NAMES = (
    # Conflict copies and recovered documents are for a person to judge before anybody signs.
    *("报告.sync-conflict-20261125-101010-ABCDEFG.docx", "报告 (conflicted copy 2026-11-25 101010).docx"),
    *("报告-DESKTOP-AB12CD.docx", "报告 (SFConflict lisi@example.com 2026-11-25-10-10-10).docx"),
    *("报告(冲突副本-张三-2026-11-25).docx", "报告 (Autosaved).docx", "报告_AutoRecovered.docx"),
    *(
        "报告.docx",
        "a.tmp",
        ".gitignore",
        "~x",
        "part",
        "\ufeff.swp.txt",
        "recycle",
        "#1 报告.pdf",
        "@张三.docx",
        "snapshot",
    ),
    *(
        "4913",
        "2024-05-20 变更",
        "[定稿] 报告.pdf",
        "报告~最终.docx",
        "报告.bak",
        "lost+found.docx",
        "tmp",
        "sync",
        ".env",
        "-x",
    ),
    *(
        "报告.nextcloud",
        "Temporary Items.docx",
        "thumbs.db.pdf",
        "$RECYCLE.BIN.zip",
        "$预算.xlsx",
        "报告.sb-final.docx",
    ),
)


@pytest.mark.parametrize("name", LITTER_FOLDERS)
def test_folders_of_storage_servers_and_clients_are_litter(name: str) -> None:
    assert IgnoreRules.with_litter([]).matching_pattern(name.encode(), is_folder=True) is not None


@pytest.mark.parametrize("name", LITTER_FILES)
def test_files_of_editors_and_clients_are_litter(name: str) -> None:
    assert IgnoreRules.with_litter([]).matching_pattern(name.encode()) is not None


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("name", DOCUMENT_NAMES)
def test_everything_else_is_archived(name: str, is_folder: bool) -> None:
    assert IgnoreRules.with_litter([]).matching_pattern(name.encode(), is_folder) is None


def test_a_file_with_the_name_of_a_recycle_bin_is_archived() -> None:
    """Only folders are recycle bins; a slash at the end of a pattern says so."""
    rules = IgnoreRules.with_litter([])
    assert rules.matching_pattern(b"#recycle") is None
    assert rules.matching_pattern(b"#recycle", is_folder=True) == "#recycle/"


def test_each_line_states_its_reason_and_source() -> None:
    assert len({litter.pattern for litter in LITTER}) == len(LITTER)
    assert all(str(litter.purpose) and litter.program and litter.source for litter in LITTER)
    assert not any(litter.pattern.startswith("!") for litter in LITTER)


def test_the_page_of_ignored_names_is_that_of_the_code() -> None:
    page = ignored_names_page.PAGE.read_text("utf-8")
    assert page == ignored_names_page.render(), "python -m tests.support.ignored_names_page"


def test_the_setting_adds_patterns_and_makes_exceptions() -> None:
    rules = IgnoreRules.with_litter(["*.bak", "草稿/", "!*.part", "!@eaDir", "x.part"])
    assert rules.matching_pattern(b"a.bak") == "*.bak"
    assert rules.matching_pattern("草稿".encode(), is_folder=True) == "草稿/"
    assert rules.matching_pattern("草稿".encode()) is None
    assert rules.matching_pattern(b"a.part") is None
    assert rules.matching_pattern(b"x.part") == "x.part", "the last pattern decides"
    assert rules.matching_pattern(b"@eaDir", is_folder=True) is None
    assert rules.matching_pattern(b"#recycle", is_folder=True) == "#recycle/", "the others stay"


def test_one_exception_switches_the_built_in_patterns_off() -> None:
    rules = IgnoreRules.with_litter(["!*", "*.bak"])
    assert rules.matching_pattern(b"Thumbs.db") is None
    assert rules.matching_pattern(b"a.bak") == "*.bak"


def test_a_name_that_begins_with_an_exclamation_mark_can_be_ignored() -> None:
    assert IgnoreRules(["\\!*"]).matching_pattern("!重要.txt".encode()) == "\\!*"
    assert IgnoreRules(["\\!*"]).matching_pattern("重要.txt".encode()) is None


@pytest.mark.parametrize("pattern", ["[a-c]x", "?x", "*", "x?", "*x*", "X", "[!a]x", "*[xy]"])
def test_wildcards_at_either_end_match_as_in_fnmatch(pattern: str) -> None:
    """The first and the last byte of a pattern choose the patterns to try; a wildcard there must not hide one."""
    import fnmatch

    for name in ("ax", "bx", "x", "xa", "axb", "AX", "y"):
        expected = fnmatch.fnmatch(name.lower(), pattern.lower())
        assert (IgnoreRules([pattern]).matching_pattern(name.encode()) is not None) == expected, name


# --- what a scan makes of ignored names


def scan(root: Path, snapshot: Snapshot, *patterns: str, start: bytes = b"") -> ScanResult:
    return Scanner(DirectAccess(root), IgnoreRules.with_litter(patterns)).scan(snapshot, start)


def reasons(found: ScanResult) -> dict[bytes, str]:
    return {item.path: item.code for item in found.skipped}


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")


def test_an_ignored_folder_is_named_once_and_not_entered(root: Path, snapshot: Snapshot) -> None:
    put(root, "推荐/首次/报告.docx", "推荐/首次/@eaDir/报告.docx/SYNOINDEX", "#recycle/旧备案/首次/旧.docx")
    os.chmod(root / "#recycle", 0)  # nobody else's folder is to be read, so this is no error either
    found = scan(root, snapshot)
    assert set(found.changed) == {"推荐/首次/报告.docx".encode()}
    assert reasons(found) == {"推荐/首次/@eaDir".encode(): IGNORED.code, b"#recycle": IGNORED.code}
    assert "thumbnails or metadata; Synology DSM" in str(found.skipped[0].reason) + str(found.skipped[1].reason)
    os.chmod(root / "#recycle", 0o755)


def test_what_was_archived_and_is_ignored_now_is_no_longer_captured(root: Path, snapshot: Snapshot) -> None:
    """An update adds patterns; nothing that an earlier release archived may look deleted for that."""
    put(
        root,
        "f/s/a.docx",
        "f/s/Thumbs.db",
        "f/s/@eaDir/a/x",
        "f/s/@eaDir/y",
        "#recycle/s/old.docx",
        "f/s/.~tmp~/t",
    )
    (root / "f/s/.stversions").mkdir()  # an empty folder is archived, too
    snapshot.record(scan(root, snapshot, "!*").changed)
    found = scan(root, snapshot)
    assert found.changed == {}
    assert set(reasons(found).items()) == {
        *((b"f/s/Thumbs.db", NO_LONGER_CAPTURED.code), (b"f/s/@eaDir", NO_LONGER_CAPTURED.code)),
        *((b"#recycle", NO_LONGER_CAPTURED.code), (b"f/s/.~tmp~", NO_LONGER_CAPTURED.code)),
        (b"f/s/.stversions", NO_LONGER_CAPTURED.code),
    }
    # Neither changes below an ignored folder nor a scan of one are news.
    (root / "f/s/@eaDir/y").write_bytes(b"22")
    (root / "f/s/@eaDir/a/x").unlink()
    (root / "f/s/Thumbs.db").write_bytes(b"22")
    assert scan(root, snapshot).changed == {}
    assert scan(root, snapshot, start=b"f/s/@eaDir").changed == {}
    assert scan(root, snapshot, start=b"#recycle/s").changed == {}
    # The exception of the admin captures them again.
    assert set(scan(root, snapshot, "!Thumbs.db").changed) == {b"f/s/Thumbs.db"}


def test_an_archived_file_that_is_really_deleted_is_deleted(root: Path, snapshot: Snapshot) -> None:
    """So a folder can be emptied before a disposal, whatever an earlier release archived in it."""
    put(root, "f/s/a.docx", "f/s/Thumbs.db", "f/s/@eaDir/y", "#recycle/s/old.docx")
    snapshot.record(scan(root, snapshot, "!*").changed)
    (root / "f/s/Thumbs.db").unlink()
    os.rename(root / "f/s/@eaDir", root / "f/s/named")
    found = scan(root, snapshot)
    assert {path for path, state in found.changed.items() if state is None} == {b"f/s/Thumbs.db", b"f/s/@eaDir/y"}


def test_a_lock_file_of_emacs_is_litter_although_it_is_a_link(root: Path, snapshot: Snapshot) -> None:
    put(root, "f/s/a.txt")
    (root / "f/s/.#a.txt").symlink_to("user@host.1234:1700000000")
    assert reasons(scan(root, snapshot)) == {b"f/s/.#a.txt": IGNORED.code}


# --- the whole program


@pytest.mark.needs("processes")
def test_a_recycle_bin_is_no_filing_and_thumbnails_are_in_no_version(site: Site) -> None:
    site.write("推荐/首次/报告.docx")
    site.write("推荐/首次/@eaDir/报告.docx/SYNOPHOTO_THUMB_M.jpg")
    site.write("推荐/首次/子/._报告.docx")
    site.write("#recycle/旧备案/首次/旧.docx")
    site.write("$RECYCLE.BIN/S-1-5-21/desktop.ini")
    site.catch_up()
    assert site.tags() == ["推荐/首次/v1"]
    assert [file["path"] for file in site.json("show", "推荐/首次/v1")["materials"]] == ["报告.docx"]
    skipped = {item["path"]: item["code"] for item in site.json("status")["skipped"]}
    assert skipped == dict.fromkeys(
        ["推荐/首次/@eaDir", "推荐/首次/子/._报告.docx", "#recycle", "$RECYCLE.BIN"], "path.ignored"
    )
    shown = site.run("status").stdout
    assert "Skipped: #recycle: matches the ignore pattern #recycle/ (recycle bin; Synology DSM)" in shown
    chinese = site.run("--lang", "zh", "status").stdout
    assert "已跳过：#recycle：符合忽略规则 #recycle/（回收站，Synology DSM）" in chinese


@pytest.mark.needs("processes")
def test_an_update_that_ignores_more_changes_no_version(site: Site) -> None:
    site.set("watch", "ignore", '["!*"]')
    for path in ("推荐/首次/报告.docx", "推荐/首次/@eaDir/缩略图", "推荐/首次/Thumbs.db", "#recycle/批次/旧.docx"):
        site.write(path)
    site.catch_up()
    before = site.tags()
    site.set("watch", "ignore", "[]")
    site.write("推荐/首次/Thumbs.db", b"changed")
    site.catch_up()
    assert site.tags() == before
    materials = {file["path"] for file in site.json("show", "推荐/首次/v1")["materials"]}
    assert materials == {"报告.docx", "Thumbs.db", "@eaDir/缩略图"}
    skipped = {item["path"]: item["code"] for item in site.json("status")["skipped"]}
    assert skipped == dict.fromkeys(
        ["推荐/首次/@eaDir", "推荐/首次/Thumbs.db", "#recycle"], "path.no-longer-captured"
    )
    assert "the newest version retains it unchanged" in site.run("status").stdout
    # Nor does a submission, whose own comparison knows the same rules.
    site.run("submit", "推荐/首次", "--on", "2026-11-25")
    assert sorted(site.tags()) == sorted(before)
    site.verified()


@pytest.mark.needs("processes")
def test_an_emptied_folder_is_noticed_beside_a_file_that_is_ignored_now(site: Site) -> None:
    """An unmounted share leaves nothing; what is no longer captured must not hide that from submit."""
    site.set("watch", "ignore", '["!*"]')
    site.write("推荐/首次/报告.docx")
    site.write("推荐/首次/Thumbs.db")
    site.catch_up()
    site.set("watch", "ignore", "[]")
    (site.watch / "推荐/首次/报告.docx").unlink()
    refused = site.run("submit", "推荐/首次", "--on", "2026-11-25", code=4)
    assert "All files of the submission folder" in refused.stderr


@pytest.mark.needs("processes")
def test_many_ignored_paths_are_counted(site: Site) -> None:
    for number in range(25):
        site.write(f"推荐/首次/{number:02}/@eaDir/x")
        site.write(f"推荐/首次/{number:02}/报告.docx")
    site.catch_up()
    lines = [line for line in site.run("status").stdout.splitlines() if line.startswith("Skipped:")]
    assert len(lines) == 11
    assert "25 paths in total match the ignore pattern @eaDir/" in lines[-1]
    assert len(site.json("status")["skipped"]) == 25


@pytest.mark.needs("processes")
def test_events_in_an_ignored_folder_make_nothing_pending(site: Site) -> None:
    """Notifications name paths without a scan, so they need the same rules."""
    site.write("推荐/首次/报告.docx")
    site.set("watch", "settle_seconds", 0.2)
    process = site.start()
    try:
        wait_until(lambda: site.tags() == ["推荐/首次/v1"])
        site.write("推荐/首次/@eaDir/报告.docx/THUMB.jpg")
        site.write("#recycle/推荐/首次/旧.docx")
        site.write("推荐/首次/子/.syncthing.大.docx.tmp")
        site.write("推荐/首次/子/大.docx")
        wait_until(lambda: site.tags() == ["推荐/首次/v2", "推荐/首次/v1"])
        assert {file["path"] for file in site.json("show", "推荐/首次/v2")["materials"]} == {
            "报告.docx",
            "子/大.docx",
        }
        assert site.json("status")["pending_count"] == 0
    finally:
        process.terminate()
        process.communicate(timeout=30)
