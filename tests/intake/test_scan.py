from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import DirectAccess
from archiver.intake.scan import Scanner, ScanResult
from archiver.intake.snapshot import FOLDER, Snapshot
from archiver.store.content.source import StatData
from tests.support.site import open_the_way


def scan(root: Path, snapshot: Snapshot, start: bytes = b"") -> ScanResult:
    return Scanner(DirectAccess(root), IgnoreRules(["*.swp"])).scan(snapshot, start)


def accept(root: Path, snapshot: Snapshot) -> None:
    snapshot.record(scan(root, snapshot).changed)


def test_an_unchanged_tree_has_no_differences(root: Path, snapshot: Snapshot) -> None:
    (root / "f/s/深").mkdir(parents=True)
    (root / "f/s/深/a").write_bytes(b"1")
    (root / "f/s/empty").mkdir()
    accept(root, snapshot)
    assert scan(root, snapshot).changed == {}


def test_every_kind_of_change_is_seen(root: Path, snapshot: Snapshot) -> None:
    for name in ("same", "grown", "gone", "touched-back", "becomes-folder", "d1/x", "d1/d2/y"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")
    (root / "emptied").mkdir()
    (root / "emptied/x").write_bytes(b"1")
    (root / "empty-gone").mkdir()
    accept(root, snapshot)
    (root / "grown").write_bytes(b"12")
    (root / "gone").unlink()
    before = (root / "touched-back").stat()
    (root / "touched-back").write_bytes(b"2")
    os.utime(root / "touched-back", ns=(before.st_atime_ns, before.st_mtime_ns))
    (root / "becomes-folder").unlink()
    (root / "becomes-folder").mkdir()
    os.rename(root / "d1", root / "moved")
    (root / "emptied/x").unlink()
    (root / "empty-gone").rmdir()
    (root / "new").write_bytes(b"")
    changed = scan(root, snapshot).changed
    gone = {path for path, state in changed.items() if state is None}
    assert gone == {b"gone", b"d1/x", b"d1/d2/y", b"emptied/x", b"empty-gone"}
    assert {path for path, state in changed.items() if isinstance(state, StatData)} == {
        *(b"grown", b"touched-back", b"moved/x", b"moved/d2/y", b"new"),
    }
    assert {path for path, state in changed.items() if state == FOLDER} == {b"becomes-folder", b"emptied"}
    snapshot.record(changed)
    assert scan(root, snapshot).changed == {}


def test_what_is_not_archived_is_named_with_its_reason(root: Path, snapshot: Snapshot) -> None:
    (root / "x.swp").write_bytes(b"")
    (root / "outside").symlink_to("/etc")
    (root / "dangling").symlink_to("nowhere")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.fspath(root / "socket"))
        found = scan(root, snapshot)
    reasons = {item.path: str(item.reason) for item in found.skipped}
    assert set(reasons) == {b"x.swp", b"outside", b"dangling", b"loop", b"fifo", b"socket"}
    assert "*.swp" in reasons[b"x.swp"]
    assert "symbolic link" in reasons[b"loop"]
    assert "FIFO" in reasons[b"fifo"]
    assert "socket" in reasons[b"socket"]
    assert found.changed == {}


@pytest.mark.needs("root")
def test_a_folder_that_cannot_be_read_is_not_a_deletion(root: Path, snapshot: Snapshot) -> None:
    (root / "f").mkdir()
    (root / "f/a").write_bytes(b"1")
    accept(root, snapshot)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.chmod(root / "f", 0)
            open_the_way(root.parent)
            os.chmod(root.parent / "state.db", 0o666)
            os.seteuid(65534)
            found = scan(root, snapshot)
            code = int(found.changed != {} or [i.path for i in found.skipped] != [b"f"])
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.chmod(root / "f", 0o755)


def test_part_of_the_tree_can_be_scanned(root: Path, snapshot: Snapshot) -> None:
    for name in ("f/s/a", "f/s2/b", "g/c"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"1")
    accept(root, snapshot)
    for name in ("f/s/a", "f/s2/b", "g/c"):
        (root / name).unlink()
    (root / "f/s").rmdir()
    assert set(scan(root, snapshot, b"f/s").changed) == {b"f/s/a"}


def test_a_missing_watched_folder_is_an_error_not_an_empty_one(root: Path, snapshot: Snapshot) -> None:
    root.rmdir()
    with pytest.raises(FileNotFoundError):
        scan(root, snapshot)


def test_a_damaged_snapshot_is_thrown_away(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database, not at all" * 100)
    snapshot = Snapshot(tmp_path / "state.db")
    assert snapshot.folder_entries(b"") == {}
    snapshot.close()
