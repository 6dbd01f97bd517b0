"""Below the watched folder nothing is reached through a link, whenever the link is put there."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from archiver.intake.folder.access import DirectAccess, FolderAccess
from archiver.intake.folder.child_access import ChildAccess
from archiver.store.content.source import SourceChanged
from tests.support.site import Site, wait_until

SECRET = "root:$6$salt$digest:20000:0:99999:7:::"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder that only the service may read, with the names of an ordinary one."""
    folder = tmp_path / "outside"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.txt", "sub/b.txt", "shadow"):
        (folder / name).write_text(SECRET)
    return folder


@pytest.fixture(params=["direct", "children"])
def access(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FolderAccess]:
    root = tmp_path / "watched"
    (root / "f/s").mkdir(parents=True)
    (root / "f/s/a.txt").write_text("ours")
    opened: FolderAccess = DirectAccess(root) if request.param == "direct" else ChildAccess(root, 20)
    yield opened
    opened.close()


def swap(folder: Path, target: Path) -> None:
    folder.rename(folder.with_name(folder.name + ".moved"))
    folder.symlink_to(target)


def contents(site: Site) -> set[bytes]:
    """Every byte sequence that the archive holds."""
    objects = site.repository / "lfs/objects"
    return {file.read_bytes() for file in objects.rglob("*") if file.is_file()}


@pytest.mark.needs("processes")
@pytest.mark.parametrize("link", ["f", "f/s"])
def test_a_path_with_a_link_in_its_middle_leads_nowhere(
    access: FolderAccess, tmp_path: Path, outside: Path, link: str
) -> None:
    (outside / "s").symlink_to(".")
    swap(tmp_path / "watched" / link, outside)
    with pytest.raises(NotADirectoryError):
        access.open(b"f/s/a.txt")
    with pytest.raises(NotADirectoryError):
        access.look_up(b"f/s/a.txt")
    with pytest.raises(NotADirectoryError):
        list(access.list_folder(b"f/s"))


@pytest.mark.needs("processes")
def test_a_link_that_comes_in_the_middle_of_a_row_of_files_leads_nowhere(
    access: FolderAccess, tmp_path: Path, outside: Path
) -> None:
    root = tmp_path / "watched"
    (root / "f/s/b.txt").write_text("ours too")
    (root / "g").mkdir()
    (root / "g/a.txt").write_text("ours as well")
    held = os.listdir("/proc/self/fd")
    with access.opened_in_turn() as open_file:
        open_file(b"f/s/a.txt").close()
        for folder in ("f/s", "g"):
            swap(root / folder, outside)
        with suppress(NotADirectoryError):
            # The folder that was entered, not the one that the path would lead to now.
            source = open_file(b"f/s/b.txt")
            buffer = bytearray(100)
            assert buffer[: source.readinto(memoryview(buffer))] == b"ours too"
            source.close()
        for path in (b"g/a.txt", b"f/s/a.txt"):
            with pytest.raises(NotADirectoryError):
                open_file(path)
    if isinstance(access, DirectAccess):
        assert os.listdir("/proc/self/fd") == held


@pytest.mark.needs("processes")
@pytest.mark.parametrize("path", [b"f/../f/s/a.txt", b"f/./s/a.txt", b"../outside/shadow", b"/etc/passwd"])
def test_a_forged_path_leads_nowhere(access: FolderAccess, outside: Path, path: bytes) -> None:
    with pytest.raises((FileNotFoundError, SourceChanged)):
        access.open(path)


def test_the_watched_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real/a").write_text("1")
    (tmp_path / "link").symlink_to("real")
    assert [entry.name for entry in DirectAccess(tmp_path / "link").list_folder(b"")] == [b"a"]


@pytest.mark.parametrize("depth", ["f", "f/s", "f/s/sub"])
def test_a_folder_replaced_by_a_link_counts_as_gone(site: Site, outside: Path, depth: str) -> None:
    site.write("f/s/sub/b.txt", "ours")
    site.write("f/s/c.txt", "stays")
    site.catch_up()
    (outside / "s").symlink_to(".")
    folder = site.watch / depth
    folder.rename(site.root / "moved")
    folder.symlink_to(outside)
    site.catch_up()
    assert SECRET.encode() not in contents(site)
    skipped = {item["path"]: item["reason"] for item in site.json("status")["skipped"]}
    assert skipped == {depth: "is a symbolic link, which is not followed"}
    left = {"f/s/c.txt"} if depth == "f/s/sub" else set()
    shown = site.json("show", site.tags()[0])["materials"]
    assert {f"f/s/{material['path']}" for material in shown} == left
    site.verified()


@pytest.mark.parametrize("target", ["keys", "."])
def test_the_archives_own_key_is_not_archived_through_a_link(site: Site, target: str) -> None:
    site.write("f/s/keys/signing_key", "an ordinary file of that name")
    site.catch_up()
    key = (site.archive / "keys/signing_key").read_bytes()
    swap(site.watch / "f/s/keys", site.archive / target)
    site.catch_up()
    assert key not in contents(site)


def test_submit_captures_nothing_through_a_link(site: Site, outside: Path) -> None:
    site.set("watch", "settle_seconds", 0)
    site.write("f/s/a.txt", "ours")
    site.catch_up()
    swap(site.watch / "f/s", outside)
    site.run("submit", "f/s", "--on", "2026-11-25", code=None)
    assert SECRET.encode() not in contents(site)


def test_a_link_put_there_while_events_wait(site: Site, daemon: subprocess.Popen[str], outside: Path) -> None:
    site.write("f/s/a.txt", "ours")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    # Within the quiet period: the event is known, and what it names is elsewhere when it is read.
    site.write("f/s/sub/b.txt", "ours too")
    site.write("f/s/a.txt", "changed")
    swap(site.watch / "f/s", outside)
    wait_until(lambda: {"f/s/v2", "f/s.moved/v1"} <= set(site.tags()))
    assert site.json("show", "f/s/v2")["materials"] == []
    assert SECRET.encode() not in contents(site)
    assert contents(site) <= {b"ours", b"ours too", b"changed"}


@pytest.mark.needs("root")
def test_magic_links_of_proc_lead_nowhere(site: Site) -> None:
    point = site.watch / "f/s/proc"
    point.mkdir(parents=True)
    held = os.open("/etc/shadow", os.O_RDONLY)
    subprocess.run(["mount", "--bind", f"/proc/{os.getpid()}", point], check=True)
    try:
        access = DirectAccess(site.watch)
        with pytest.raises(OSError, match="symbolic"):
            access.open(b"f/s/proc/fd/%d" % held)
        with pytest.raises(NotADirectoryError):
            access.open(b"f/s/proc/root/etc/shadow")
    finally:
        subprocess.run(["umount", "-l", point], check=True)
        os.close(held)
