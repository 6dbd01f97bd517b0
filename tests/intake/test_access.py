"""Network filesystems: recognised, polled, and no danger to the rest when they hang."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.intake.folder import mounts
from archiver.intake.folder.access import DirectAccess
from archiver.intake.folder.child_access import ChildAccess
from archiver.store.content.root_folder import RootFolder
from archiver.store.content.source import FileSource, SourceChanged
from archiver.workers import WorkerProgram
from tests.support.site import Site, wait_until

TABLES = Path(__file__).parent / "mount_tables"


@pytest.mark.parametrize(
    ("table", "path", "filesystem", "point"),
    [
        ("file_server", b"/srv/filings", None, None),
        ("file_server", b"/srv/nfs/filings", "nfs4", b"/srv/nfs"),
        ("file_server", "/mnt/windows 共享/备案".encode(), "cifs", "/mnt/windows 共享".encode()),
        ("file_server", b"/srv", "nfs4", b"/srv/nfs"),
        ("file_server", b"/home/li/remote/x", "fuse.sshfs", b"/home/li/remote"),
        ("file_server", b"/srv/nfs-backup", None, None),
        ("container", b"/data", "virtiofs", b"/data/share"),
        ("container", b"/data/share", "virtiofs", b"/data/share"),
        ("container", b"/mnt/over/x", None, None),
    ],
)
def test_recorded_mount_tables(table: str, path: bytes, filesystem: str | None, point: bytes | None) -> None:
    found = mounts.find_remote_mount(path, mounts.parse_mounts((TABLES / table).read_bytes()))
    assert (found.filesystem, found.point) == (filesystem, point) if found else filesystem is None


@pytest.mark.parametrize(
    "filesystem", ["fakeowner", "osxfs", "drvfs", "fuse.rclone", "fuseblk", "9p", "new in 2030"]
)
def test_a_filesystem_that_is_not_known_to_report_its_changes_is_polled(filesystem: str) -> None:
    """Docker Desktop and WSL show folders of the host under names of their own."""
    assert mounts.Mount(b"/data", filesystem).is_remote


@pytest.mark.parametrize(
    "filesystem", ["ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "ntfs3", "autofs", "unknown"]
)
def test_a_local_filesystem_is_watched(filesystem: str) -> None:
    assert not mounts.Mount(b"/data", filesystem).is_remote


def test_the_table_of_this_machine_is_read() -> None:
    table = mounts.read_mounts()
    assert mounts.find_mount(b"/proc/self", table).filesystem == "proc"
    assert mounts.find_mount(b"/", table).point == b"/"


@pytest.mark.needs("processes")
def test_children_see_what_this_process_sees(tmp_path: Path) -> None:
    (tmp_path / "深").mkdir()
    (tmp_path / "深/a\nb").write_bytes(os.urandom(3_000_000))
    (tmp_path / "link").symlink_to("nowhere")
    direct, remote = DirectAccess(tmp_path), ChildAccess(tmp_path, 10)
    try:
        for path in (b"", "深".encode()):
            assert sorted(remote.list_folder(path)) == sorted(direct.list_folder(path))
        name = "深/a\nb".encode()
        assert remote.look_up(name) == direct.look_up(name)
        sources = [access.open(name) for access in (direct, remote)]
        pieces = []
        for source in sources:
            buffer = bytearray(1 << 20)
            data = b""
            while count := source.readinto(memoryview(buffer)):
                data += buffer[:count]
            pieces.append(data)
            assert source.is_unchanged()
        assert pieces[0] == pieces[1]
        (tmp_path / "深/a\nb").write_bytes(b"other")
        assert [source.is_unchanged() for source in sources] == [False, False]
        for source in sources:
            source.close()
        with pytest.raises(FileNotFoundError):
            remote.look_up(b"nothing")
        with pytest.raises(OSError, match="symbolic") as error:
            remote.open(b"link")
        assert error.value.errno == errno.ELOOP
        with pytest.raises(SourceChanged):
            remote.open("深".encode())
        assert remote.look_up(b"link")
    finally:
        remote.close()


#: Children by what they do with a request; their socket is descriptor 0.
ONE_BYTE_AND_SILENCE = "import os, time; os.read(0, 1000); os.write(0, b'x'); time.sleep(600)"
DIES = "import os; os.read(0, 1000)"
SAYS_TIMED_OUT_ONCE = """
import errno
from archiver.workers import serve
answers = iter([["error", errno.ETIMEDOUT, "Connection timed out"], ["ok", ["f"]]])
serve(lambda request: next(answers))
"""


def through(code: str, patience_seconds: float) -> ChildAccess:
    """Access through children that run ``code``."""
    access = ChildAccess(Path("/nonexistent"), patience_seconds)
    access._program = WorkerProgram("unused", interpreter_options=("-P", "-c", code))
    return access


@pytest.mark.needs("processes")
def test_a_child_that_answers_in_part_holds_nobody_up() -> None:
    """The first byte came in time, and the rest was waited for without end."""
    access = through(ONE_BYTE_AND_SILENCE, 1)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        access.look_up(b"f")
    assert time.monotonic() - began < 15
    access.close()


@pytest.mark.needs("processes")
def test_a_child_that_dies_is_an_error_of_that_path() -> None:
    """Not an EOFError, which nobody expects of a folder."""
    access = through(DIES, 60)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            access.look_up(b"f")
    access.close()


@pytest.mark.needs("processes")
def test_a_share_that_itself_gave_up_is_asked_again() -> None:
    """NFS mounted with "soft" answers ETIMEDOUT: that is an answer, and no child hangs."""
    access = through(SAYS_TIMED_OUT_ONCE, 60)
    with pytest.raises(TimeoutError):
        access.look_up(b"f")
    assert access._call_free_worker(list, "names", b"f") == ["f"]
    access.close()


def opened(path: Path) -> FileSource:
    return FileSource(RootFolder(os.fsencode(path.parent)), os.fsencode(path.name))


def test_a_writer_is_noticed_and_its_end_too(tmp_path: Path) -> None:
    target = tmp_path / "f"
    with open(target, "wb"):
        assert opened(target).is_being_written
    with open(target, "rb"):
        assert not opened(target).is_being_written


class Mounted:
    """A bindfs mount: changes behind it raise no events, and it can be made to hang."""

    def __init__(self, source: Path, point: Path) -> None:
        source.mkdir(parents=True)
        point.mkdir(parents=True)
        self.point = point
        self.process = subprocess.Popen(
            ["bindfs", "-f", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0", source, point]
        )
        wait_until(lambda: os.path.ismount(point))

    def hang(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self.go_on()
        subprocess.run(["umount", "-l", self.point], check=True)
        self.process.wait(timeout=20)


@pytest.fixture
def share(site: Site) -> Iterator[Mounted]:
    mounted = Mounted(site.root / "server", site.watch / "g")
    yield mounted
    mounted.end()


def start_impatient(site: Site) -> subprocess.Popen[bytes]:
    code = "import archiver.intake.folder.access as a; a.PATIENCE_SECONDS = 1; from archiver.cli.main import run; run()"
    return subprocess.Popen(
        [sys.executable, "-c", code, "--config", site.config, "run", "--settle", "0.2"], stdout=subprocess.DEVNULL
    )


@pytest.mark.needs("root", "bindfs")
def test_changes_behind_a_mount_are_found_by_polling(site: Site, share: Mounted) -> None:
    site.set("watch", "poll_seconds", 0.5)
    daemon = start_impatient(site)
    (site.root / "server/s").mkdir()
    (site.root / "server/s/a").write_text("1")
    wait_until(lambda: site.tags() == ["g/s/v1"])
    status = site.json("status")
    assert status["watching"] == "watched by polling"
    assert "fuse delivers no kernel notifications" in status["watching_reason"].replace("fuse.bindfs", "fuse")
    (site.root / "server/s/a").write_text("2")
    wait_until(lambda: site.tags() == ["g/s/v2", "g/s/v1"])
    daemon.terminate()
    assert daemon.wait(timeout=10) == 0
    site.verified()


@pytest.mark.needs("root", "bindfs")
def test_a_share_that_hangs_does_not_stop_the_other_filings(site: Site, share: Mounted) -> None:
    site.set("watch", "poll_seconds", 0.5)
    daemon = start_impatient(site)
    site.write("f/s/a", "1")
    (site.root / "server/s").mkdir()
    (site.root / "server/s/b").write_text("1")
    wait_until(lambda: sorted(site.tags()) == ["f/s/v1", "g/s/v1"])
    share.hang()
    site.write("f/s/a", "2")
    (site.root / "server/s/b").write_text("2")
    wait_until(lambda: "f/s/v2" in site.tags(), 40)
    wait_until(lambda: "g" in {item["path"] for item in site.json("status")["skipped"]})
    assert "cannot be read" in site.run("status", "--check", code=9).stderr
    assert "g/s/v2" not in site.tags()
    share.go_on()
    wait_until(lambda: "g/s/v2" in site.tags(), 40)
    share.hang()
    time.sleep(3)
    daemon.terminate()
    assert daemon.wait(timeout=10) == 0
    share.go_on()
    site.verified()
    assert [m["path"] for m in site.json("show", "g/s/v2")["materials"]] == ["b"]
