"""Files that cannot be read for the moment: denied by a virus scanner, lent to a client of a share, or of no size."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from archiver.intake.folder.access import DirectAccess
from archiver.intake.staging import FileReader, ReadingOrder
from archiver.store.content.objects import ContentStore
from archiver.store.content.source import SourceChanged
from tests.support.access_denial import denied_access
from tests.support.site import Site, wait_until

pytestmark = pytest.mark.needs("processes")

#: Holds a write lease, as a Samba server does for a client with an oplock, and gives it back a while after the
#: kernel asks for it; the file is not open for writing then.
LEASE_HOLDER = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, lambda *_: None)
descriptor = os.open(sys.argv[1], os.O_RDWR)
fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("held", flush=True)
signal.pause()
time.sleep(float(sys.argv[2]))
os.close(descriptor)
print("returned", flush=True)
"""


@contextmanager
def held_lease(path: Path, return_seconds: float) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", LEASE_HOLDER, path, str(return_seconds)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.kill()


def test_a_file_that_a_client_has_to_give_back_is_captured_soon_after(site: Site) -> None:
    path = site.write("f/s/lent", "1")
    with held_lease(path, 0.5) as holder:
        site.catch_up()
        assert holder.stdout is not None
        assert holder.stdout.readline() == "returned\n", "the program asked for the file"
    assert site.tags() == ["f/s/v1"]
    assert site.json("status")["skipped"] == []


def test_a_file_that_a_client_holds_is_open_for_a_check(site: Site) -> None:
    path = site.write("f/s/lent", "1")
    site.catch_up()
    with held_lease(path, 30):
        checked = site.json("check", "f/s", code=4)
    assert {"code": "check.open", "path": "lent"}.items() <= checked["open_points"][0].items(), checked


@pytest.mark.needs("root", "fanotify")
def test_the_service_tries_a_file_that_a_scanner_denies_again_within_seconds(site: Site) -> None:
    site.set("watch", "scan_minutes", 60)
    sick = site.write("f/s/sick", "1")
    site.write("f/s/well", "1")
    # Each attempt opens the file twice, with O_NOATIME and without; so does the look at the start.
    with denied_access(sick, denials=8) as denial:
        daemon = site.start("--settle", "0.2")
        wait_until(lambda: len(site.tags()) == 2)
        assert denial.denied == 8
    assert [each["path"] for each in site.json("show", "f/s/v1")["materials"]] == ["well"]
    assert [each["path"] for each in site.json("show", "f/s/v2")["materials"]] == ["sick", "well"]
    wait_until(lambda: not site.json("status")["skipped"])
    daemon.send_signal(signal.SIGINT)
    output, _ = daemon.communicate(timeout=20)
    assert output.count("refuses access to the file") == 1, output


@pytest.mark.needs("root", "fanotify")
def test_a_file_that_stays_denied_keeps_out_itself_alone_and_is_named(site: Site) -> None:
    sick = site.write("f/s/sick", "1")
    site.write("f/s/well", "1")
    with denied_access(sick, denials=1000):
        done = site.run("run", "--once", "--settle", "0.05", code=9)
        assert "sick" in done.stderr
        status = site.json("status")
        assert [(each["path"], each["code"]) for each in status["skipped"]] == [("f/s/sick", "path.refused-file")]
        assert site.tags() == ["f/s/v1"]
    site.catch_up()
    assert site.json("status")["skipped"] == []
    assert len(site.tags()) == 2


@pytest.mark.parametrize(
    ("folder", "name"), [("/proc", "version"), ("/sys/kernel/mm/transparent_hugepage", "enabled")]
)
def test_a_file_whose_filesystem_states_a_wrong_size_is_not_archived_in_part(
    tmp_path: Path, folder: str, name: str
) -> None:
    """The one states 0 bytes, the other a page of 4,096."""
    content = _make_store(tmp_path)
    result = FileReader(DirectAccess(folder), content).read(ReadingOrder([name.encode()]))
    assert [(item.path, item.code) for item in result.unreadable] == [(name.encode(), "path.unknown-length")]
    assert not result.staged
    assert list(content.spool.folder.iterdir()) == []


def test_a_file_that_grows_is_not_said_to_have_an_unknown_length(tmp_path: Path) -> None:
    content = _make_store(tmp_path)
    path = tmp_path / "grows"
    path.write_bytes(b"1" * 10)
    with closing(DirectAccess(tmp_path).open(b"grows")) as source:
        with path.open("ab") as appended:
            appended.write(b"2")
        with pytest.raises(SourceChanged) as raised:
            content.spool.stage_copy(source)
    assert type(raised.value) is SourceChanged


def _make_store(folder: Path) -> ContentStore:
    for name in ("objects", "spool"):
        (folder / name).mkdir()
    return ContentStore(folder / "objects", folder / "spool")
