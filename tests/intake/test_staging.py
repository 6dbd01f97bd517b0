"""Many small files are read in processes beside the daemon: the same outcome, whatever happens to those."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archiver.errors import StorageError
from archiver.intake.staging import ReadingOrder
from archiver.intake.staging_worker import StagingProcesses
from archiver.store.content.objects import ContentStore
from archiver.workers import WorkerDied
from tests.support.site import Site, tree


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    for name in ("objects", "spool", "watched"):
        (tmp_path / name).mkdir()
    return ContentStore(tmp_path / "objects", tmp_path / "spool")


def staging(store: ContentStore) -> StagingProcesses:
    return StagingProcesses(os.fsencode(store.spool.folder.parent / "watched"), store)


def test_many_files_come_back_as_they_were(site: Site) -> None:
    for number in range(700):
        site.write(f"推荐/首次/文件夹{number % 7}/文件{number}".encode() + b"\xff", b"%d" % number * (number % 50))
    site.write("推荐/首次/大", os.urandom(400_000))
    site.catch_up()
    assert site.tags() == ["推荐/首次/v1"]
    site.run("restore", "推荐/首次/v1", "--to", site.root / "out")
    assert tree(site.root / "out") == tree(site.watch / "推荐/首次")
    site.verified()
    # Of what was staged nothing is left; the newest signed head lies there until the next one.
    assert os.listdir(site.archive / "spool") == ["signing"]


@pytest.mark.needs("processes")
def test_what_became_of_each_file(store: ContentStore) -> None:
    watched = store.spool.folder.parent / "watched"
    (watched / "good.pdf").write_bytes(b"%PDF-1.7 cut")
    (watched / "open").write_bytes(b"x")
    (watched / "link").symlink_to("good.pdf")
    processes = staging(store)
    with open(watched / "open", "ab"):
        read = processes.read(ReadingOrder([b"good.pdf", b"open", b"gone", b"link"]))
        overdue = processes.read(ReadingOrder([b"open"], overdue={b"open"}))
    processes.close()
    assert {path: item.health for path, item in read.staged.items()} == {b"good.pdf": "cut"}
    assert read.unstable == [b"gone"]
    assert [noted.path for noted in read.unreadable] == [b"link"]
    assert read.held == [b"open"]
    assert list(overdue.staged) == [b"open"]
    assert store.path(read.staged[b"good.pdf"].sha256).read_bytes() == b"%PDF-1.7 cut"
    assert list(store.spool.folder.iterdir()) == []


@pytest.mark.needs("root", "mount")
def test_a_full_disk_is_told_as_such(store: ContentStore, tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", store.spool.folder], check=True)
    try:
        (tmp_path / "watched/large").write_bytes(os.urandom(200_000))
        processes = staging(store)
        with pytest.raises(StorageError, match="Cannot write to the archive disk"):
            processes.read(ReadingOrder([b"large"]))
        (tmp_path / "watched/empty").write_bytes(b"")
        assert list(processes.read(ReadingOrder([b"empty"])).staged) == [b"empty"]
        processes.close()
    finally:
        subprocess.run(["umount", "-l", store.spool.folder], check=True)


@pytest.mark.needs("processes")
def test_a_process_that_dies_is_an_error_and_is_replaced(
    store: ContentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    (store.spool.folder.parent / "watched/file").write_bytes(b"x")
    processes = staging(store)
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(WorkerDied):
        processes.read(ReadingOrder([b"file"]))
    monkeypatch.undo()
    assert list(processes.read(ReadingOrder([b"file"])).staged) == [b"file"]
    processes.close()


def test_without_them_the_files_are_read_here(site: Site) -> None:
    """As where this user may start no more processes."""
    for number in range(520):
        site.write(f"推荐/首次/{number}", f"{number}")
    code = (
        "import archiver.workers as w, sys\n"
        "w.Worker.start = lambda self: (_ for _ in ()).throw(w.WorkerDied('no more processes'))\n"
        "from archiver.cli.main import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["--config", os.fspath(site.config), "run", "--once", "--settle", "0.05"]
    subprocess.run([sys.executable, "-c", code, *words], check=True, capture_output=True)
    assert site.json("log")[0]["files"] == 520
    site.verified()
