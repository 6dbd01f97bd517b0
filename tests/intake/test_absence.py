"""Files that cannot be seen were not deleted: locked, unreadable, or gone all at once."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.site import Site, wait_until
from tests.support.volumes import Disk, codes, file_counts, fill, sh

FILING = "推荐"


class Key:
    """A key of fscrypt, which locks and unlocks the folders of a filesystem that are encrypted with it."""

    def __init__(self, volume: Path) -> None:
        self._volume, self._key, self._identifier = volume, os.urandom(64), b""

    def _ioctl(self, folder: Path, request: int, argument: bytes) -> bytes:
        buffer = bytearray(argument)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, request, buffer)
        finally:
            os.close(descriptor)
        return bytes(buffer)

    def unlock(self) -> None:
        header = struct.pack("<II32sII32s", 2, 0, b"", len(self._key), 0, b"")
        self._identifier = self._ioctl(self._volume, 0xC0506617, header + self._key)[8:24]

    def lock(self) -> None:
        os.sync()
        self._ioctl(self._volume, 0xC0406618, struct.pack("<II16s16sI20s", 2, 0, self._identifier, b"", 0, b""))

    def encrypt(self, folder: Path) -> None:
        """Encrypt an empty folder."""
        self._ioctl(folder, 0x800C6613, struct.pack("<BBBBB3s16s", 2, 1, 4, 3, 0, b"", self._identifier))


@pytest.mark.needs("root", "fscrypt")
@pytest.mark.parametrize("locked_part", ["", FILING, f"{FILING}/首次"])
def test_a_locked_folder_is_no_deletion(
    bare_site: Site, tmp_path: Path, disks: list[Disk], start: Callable[[Site], None], locked_part: str
) -> None:
    """The inode number is the same, the names are nonsense, and the files cannot be opened."""
    site, disk = bare_site, Disk(tmp_path / "one.img", "ext4", "-O", "encrypt")
    disks.append(disk)
    disk.mount(tmp_path / "vol")
    key = Key(tmp_path / "vol")
    key.unlock()
    watched = tmp_path / "vol/w"
    (watched / locked_part).mkdir(parents=True)
    key.encrypt(watched / locked_part)
    site.watch.rmdir()
    site.watch.symlink_to(watched)
    site.init()
    for name in f"{FILING}/首次/甲", f"{FILING}/首次/深/乙", f"{FILING}/首次/空/丙":
        site.write(name, name)
    site.write("搜索/首次/丁", "in another filing")
    site.catch_up()
    versions = site.tags()
    # As a reboot does, which no busy inode survives.  The mount namespace of another test may keep the volume, and with
    # it the key.
    key.lock()
    disk.umount(tmp_path / "vol")
    disk.mount(tmp_path / "vol")
    assert site.run("run", "--once", "--settle", "0.05", code=9).stderr
    start(site)
    wait_until(lambda: "status.unreadable-paths" in codes(site))
    assert "encrypted" in str(site.json("status")["skipped"])
    assert "encrypted" in site.run("submit", f"{FILING}/首次", "--on", "2026-01-01", code=4).stderr
    assert site.tags() == versions
    key.unlock()
    site.write(f"{FILING}/首次/甲", "after it was unlocked")
    wait_until(lambda: f"{FILING}/首次/v2" in site.tags())
    assert file_counts(site) == {1, 3}


def test_everything_gone_at_once_is_no_deletion(filled: Site, start: Callable[[Site], None]) -> None:
    start(filled)
    backup = shutil.copytree(filled.watch, filled.root / "backup")
    for name in "推荐", "搜索":
        shutil.rmtree(filled.watch / name)
    wait_until(lambda: "status.files-missing" in codes(filled))
    # What appears now is no proof that the rest was deleted.
    filled.write("别的/首次/丁", "new")
    filled.run("submit", "推荐/首次", "--on", "2026-01-01", code=4)
    assert file_counts(filled) == {1, 2}
    assert "archiver watch accept" in filled.run("status", "--check", code=9).stderr
    filled.write("推荐/首次/甲", "somebody begins anew")
    time.sleep(1)
    assert file_counts(filled) == {1, 2}
    shutil.copytree(backup / "推荐", filled.watch / "推荐", dirs_exist_ok=True)
    wait_until(lambda: {"别的/首次/v1", "搜索/首次/v2"} <= set(filled.tags()))
    assert "推荐/首次/v2" not in filled.tags()
    wait_until(lambda: codes(filled) == [])


@pytest.mark.parametrize("is_running", [True, False])
def test_a_person_accepts_that_everything_is_gone(
    filled: Site, start: Callable[[Site], None], is_running: bool
) -> None:
    for name in "推荐", "搜索":
        shutil.rmtree(filled.watch / name)
    if is_running:
        start(filled)
        wait_until(lambda: "status.files-missing" in codes(filled))
    else:
        assert "are missing" in filled.run("run", "--once", "--settle", "0", code=8).stderr
    assert filled.json("watch", "accept", "--reason", "moved")["accepted"] == "folder.all-files-gone"
    if not is_running:
        filled.catch_up()
    wait_until(lambda: {"推荐/首次/v2", "搜索/首次/v2"} <= set(filled.tags()))
    wait_until(lambda: codes(filled) == ["status.no-daemon"] * (not is_running))
    # The decision was about these files, and about no others.
    filled.write("推荐/首次/甲", "again")
    if not is_running:
        filled.catch_up()
    wait_until(lambda: "推荐/首次/v3" in filled.tags())
    shutil.rmtree(filled.watch / "推荐")
    if not is_running:
        assert "are missing" in filled.run("run", "--once", "--settle", "0", code=8).stderr
    wait_until(lambda: "status.files-missing" in codes(filled))


def test_a_whole_tree_moves_within_the_folder(filled: Site, start: Callable[[Site], None]) -> None:
    (filled.watch / "2026").mkdir()
    for name in "推荐", "搜索":
        os.rename(filled.watch / name, filled.watch / "2026" / name)
    filled.catch_up()
    assert set(filled.tags()) >= {"推荐/首次/v2", "2026/推荐/v1"}
    start(filled)
    os.rename(filled.watch / "2026", filled.watch / "2027")
    wait_until(lambda: {"2027/推荐/v1", "2026/推荐/v2"} <= set(filled.tags()))
    assert codes(filled) == []


def test_a_folder_is_emptied_by_hand(site: Site) -> None:
    """Before a disposal, as ADR 0006 asks: the only filing, and every file in it."""
    for name in "推荐/首次/甲", "推荐/首次/深/乙":
        site.write(name, name)
    site.catch_up()
    sh("find", site.watch / "推荐/首次", "-type", "f", "-delete")
    site.catch_up()
    assert site.json("log")[0]["files"] == 0


def test_accepting_a_sound_folder_decides_nothing_about_later(filled: Site, start: Callable[[Site], None]) -> None:
    start(filled)
    done = filled.run("watch", "accept", "--reason", "looked at it")
    assert "No files will be captured as deleted" in done.stdout
    for name in "推荐", "搜索":
        shutil.rmtree(filled.watch / name)
    wait_until(lambda: "status.files-missing" in codes(filled))
    assert file_counts(filled) == {1, 2}


def test_a_person_accepts_what_no_scan_has_found_yet(filled: Site) -> None:
    for name in "推荐", "搜索":
        shutil.rmtree(filled.watch / name)
    assert filled.json("watch", "accept", "--reason", "moved")["accepted"] == "folder.all-files-gone"
    filled.catch_up()
    assert file_counts(filled) == {0, 1, 2}


def test_one_filing_of_two_is_removed(filled: Site) -> None:
    shutil.rmtree(filled.watch / "推荐")
    filled.catch_up()
    assert filled.json("log")[0]["tag"] == "推荐/首次/v2"


def test_no_old_decision_counts_for_a_new_database(filled: Site) -> None:
    filled.run("watch", "accept", "--reason", "nothing was wrong")
    (filled.archive / "state.db").unlink()
    for name in "推荐", "搜索":
        shutil.rmtree(filled.watch / name)
    assert "missing" in filled.run("run", "--once", "--settle", "0", code=8).stderr
    assert file_counts(filled) == {1, 2}


@pytest.mark.needs("root", "bindfs")
def test_a_dead_fuse_mount_keeps_only_itself_out(filled: Site, tmp_path: Path) -> None:
    """The program behind it was killed: every look at its mount point fails."""
    point = filled.watch / "推荐/首次/外部"
    point.mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/戊").write_text("outside")
    sh("bindfs", tmp_path / "outside", point)
    try:
        filled.catch_up()
        assert file_counts(filled) == {1, 2, 3}
        for service in Path("/proc").iterdir():
            command = service / "cmdline"
            if service.name.isdigit() and os.fsencode(point) in (
                command.read_bytes() if command.exists() else b""
            ):
                os.kill(int(service.name), 9)
        wait_until(lambda: subprocess.run(["stat", point], check=False, capture_output=True).returncode != 0)
        filled.write("推荐/首次/甲", "beside it")
        filled.run("run", "--once", "--settle", "0.05", code=9)
        newest = filled.json("show", "推荐/首次/v3")["materials"]
        assert {material["path"] for material in newest} == {"甲", "乙", "外部/戊"}
        assert filled.json("status")["skipped"][0]["path"] == "推荐/首次/外部"
    finally:
        subprocess.run(["umount", "-l", point], check=False)


@pytest.mark.needs("root", "loop device")
def test_one_damaged_inode_keeps_only_itself_out(bare_site: Site, tmp_path: Path, disks: list[Disk]) -> None:
    """The name is in its folder, and the kernel finds nonsense where the inode should be."""
    disk = Disk(tmp_path / "one.img", "ext4")
    disks.append(disk)
    disk.mount(bare_site.watch)
    bare_site.init()
    fill(bare_site)
    disk.umount(bare_site.watch)
    sh("debugfs", "-w", "-R", "set_inode_field 推荐/首次/乙 mode 0", disk.image)
    disk.mount(bare_site.watch)
    with pytest.raises(OSError, match="Structure needs cleaning"):
        os.stat(bare_site.watch / "推荐/首次/乙")
    bare_site.write("推荐/首次/甲", "beside it")
    bare_site.run("run", "--once", "--settle", "0.05", code=9)
    assert {material["path"] for material in bare_site.json("show", "推荐/首次/v2")["materials"]} == {"甲", "乙"}
    skipped = [item["path"] for item in bare_site.json("status")["skipped"]]
    assert skipped == ["lost+found", "推荐/首次/乙"]
