"""What stands at the watched folder's path is told from the watched folder, on real filesystems."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from archiver.config.loader import load_config
from archiver.intake.folder.access import open_access
from archiver.intake.folder.entries import RootIdentity
from archiver.intake.folder.folder_identity import FolderIdentity, MountIdentity
from archiver.intake.folder.mounts import Mount
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.snapshot import Snapshot
from tests.support.site import COMMAND, Site, wait_until
from tests.support.volumes import Disk, codes, file_counts, fill, identities, sh

# --- the rules


def _identity(**changes: object) -> FolderIdentity:
    system = RootIdentity(1, 2, 0o40755, "aa", "bb")
    mount = Mount(b"/srv", "ext4", b"8:1", b"/", b"/dev/sda1", b"30")
    return FolderIdentity.from_system(system, mount, ())._replace(**changes)  # type: ignore[arg-type]


def test_a_device_a_mount_point_or_a_name_makes_no_other_folder() -> None:
    moved = FolderIdentity.from_system(
        RootIdentity(99, 2, 0o40755, "aa", "bb"), Mount(b"/mnt", "ext4", b"7:9", b"/x", b"/dev/sdb1", b"77"), ()
    )
    assert moved.is_same_folder(_identity()) is True


@pytest.mark.parametrize("changes", [{"uuid": "cc"}, {"fsid": "cc"}, {"inode": "3"}, {"filesystem": "xfs"}])
def test_what_makes_another_folder(changes: dict[str, str]) -> None:
    assert _identity(**changes).is_same_folder(_identity()) is False


def test_what_one_of_two_kernels_does_not_say_is_not_compared() -> None:
    assert _identity(uuid="").is_same_folder(_identity()) is True
    assert _identity(uuid="", fsid="").is_same_folder(_identity()) is None


@pytest.mark.parametrize("kind", ["tmpfs", "overlay", "fuse.rclone"])
def test_what_a_reboot_changes_is_not_recorded(kind: str) -> None:
    identity = FolderIdentity.from_system(
        RootIdentity(1, 1, 0o40755, "aa", "bb"), Mount(b"/srv", kind, b"0:5", b"/", b"any"), ()
    )
    assert (identity.uuid, identity.fsid, identity.source) == ("", "", "")
    assert identity.is_same_folder(identity) is None


def test_a_share_is_known_by_its_server() -> None:
    share = FolderIdentity.from_system(
        RootIdentity(1, 7, 0o40755), Mount(b"/srv", "nfs4", b"0:50", b"/", b"nas:/export"), ()
    )
    assert share.is_same_folder(share) is True
    assert share.is_same_folder(share._replace(source="nas:/other")) is False


def test_an_identity_survives_the_journal() -> None:
    identity = _identity(mounts=(MountIdentity("推荐", "ext4", "cc", "", "/"),))
    assert FolderIdentity.from_details(identity.to_details()) == identity
    assert FolderIdentity.from_details({}) is None
    foreign = {**identity.to_details(), "uuid": 5, "mounts": ["x", {"path": 3}]}
    assert FolderIdentity.from_details(foreign) == _identity(uuid="", mounts=(MountIdentity("", "", "", "", ""),))


# --- honest life


def test_the_folder_is_identified_once(filled: Site) -> None:
    filled.write("推荐/首次/甲", "changed")
    filled.catch_up()
    filled.run("submit", "推荐/首次", "--on", "2026-01-01")
    assert len(filled.events("watch-folder")) == 1
    filled.verified()


def test_a_restored_folder_takes_the_place_of_the_lost_one(filled: Site, tmp_path: Path) -> None:
    shutil.copytree(filled.watch, tmp_path / "backup")
    shutil.rmtree(filled.watch)
    shutil.copytree(tmp_path / "backup", filled.watch)
    filled.catch_up()
    assert len(identities(filled)) == 2
    assert file_counts(filled) == {1, 2}


@pytest.mark.needs("root", "loop device")
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_a_remount_on_another_device_is_no_difference(
    bare_site: Site, tmp_path: Path, disks: list[Disk], kind: str
) -> None:
    site, disk, filler = bare_site, Disk(tmp_path / "one.img", kind), Disk(tmp_path / "two.img", "ext4")
    disks += [disk, filler]
    disk.mount(site.watch)
    site.init()
    fill(site)
    device = os.stat(site.watch).st_dev
    disk.umount(site.watch)
    # It takes the number of the loop device, as disks do that are found in another order after a reboot.
    filler.mount(tmp_path / "filler")
    disk.mount(site.watch)
    for name in "推荐", "搜索":
        shutil.rmtree(site.watch / name)
    site.write("别的/首次/丁", "known by its filesystem, not by its names")
    assert os.stat(site.watch).st_dev != device
    assert "are missing" in site.run("run", "--once", "--settle", "0.05", code=8).stderr
    assert len(identities(site)) == 1


@pytest.mark.needs("root", "mount")
def test_a_tmpfs_is_filled_again_after_a_reboot(bare_site: Site, tmp_path: Path) -> None:
    site = bare_site
    sh("mount", "-t", "tmpfs", "tmpfs", site.watch)
    try:
        site.init()
        fill(site)
        shutil.copytree(site.watch, tmp_path / "backup")
        sh("umount", site.watch)
        sh("mount", "-t", "tmpfs", "tmpfs", site.watch)
        assert "none of the archived files" in site.run("run", "--once", code=8).stderr
        shutil.copytree(tmp_path / "backup", site.watch, dirs_exist_ok=True)
        site.catch_up()
        assert file_counts(site) == {1, 2}
    finally:
        subprocess.run(["umount", "-l", site.watch], check=False)


@pytest.mark.needs("root", "mount")
def test_a_person_accepts_another_tmpfs(bare_site: Site) -> None:
    """Nothing identifies it: the decision itself has to count, until the folder was scanned on this mount."""
    site = bare_site
    sh("mount", "-t", "tmpfs", "tmpfs", site.watch)
    try:
        site.init()
        fill(site)
        sh("umount", site.watch)
        sh("mount", "-t", "tmpfs", "tmpfs", site.watch)
        site.write("别的/首次/丁", "of another project")
        assert "none of the archived files" in site.run("run", "--once", code=8).stderr
        site.run("watch", "accept", "--reason", "a new server")
        site.catch_up()
        assert {"别的/首次/v1", "推荐/首次/v2", "搜索/首次/v2"} <= set(site.tags())
        sh("umount", site.watch)
        sh("mount", "-t", "tmpfs", "tmpfs", site.watch)
        assert "none of the archived files" in site.run("run", "--once", code=8).stderr
    finally:
        subprocess.run(["umount", "-l", site.watch], check=False)


def test_a_folder_replaced_during_the_scan_is_not_recorded(filled: Site) -> None:
    """The scan was of the watched folder, and what stands at the path afterwards was never compared."""
    config = load_config(filled.config)
    with (
        closing(filled.open()) as archive,
        closing(open_access(config.watch, config.archive)) as access,
        closing(Snapshot(filled.archive / "state.db")) as snapshot,
    ):
        presence = FolderPresence(os.fsencode(config.watch), access, snapshot, archive)
        assert presence.is_present()
        filled.watch.rename(filled.root / "away")
        filled.write("别的/首次/丁", "of another project")
        assert presence.identification() is None
        presence.record_mount()
        assert not presence.is_present()


# --- another folder


def test_another_folder_at_the_path_is_not_captured(filled: Site) -> None:
    filled.watch.rename(filled.root / "away")
    (filled.watch / "别的/首次").mkdir(parents=True)
    filled.write("别的/首次/丁", "of another project")
    assert "another folder" in filled.run("run", "--once", "--settle", "0", code=8).stderr
    refusal = filled.run("submit", "推荐/首次", "--on", "2026-01-01", code=4)
    assert "none of the archived files" in refusal.stderr
    assert {version["filing"] for version in filled.json("log")} == {"推荐", "搜索"}


def test_half_of_the_names_are_not_less_than_half(filled: Site) -> None:
    filled.watch.rename(filled.root / "away")
    filled.write("推荐/首次/甲", "one of three")
    assert "(1/3)" in filled.run("run", "--once", "--settle", "0", code=8).stderr
    filled.write("推荐/首次/乙", "two of three")
    filled.catch_up()
    assert file_counts(filled) == {0, 1, 2}


def test_a_person_accepts_another_folder(filled: Site, start: Callable[[Site], None]) -> None:
    filled.watch.rename(filled.root / "away")
    filled.write("别的/首次/丁", "of another project")
    start(filled)
    wait_until(lambda: "status.folder-replaced" in codes(filled))
    assert "archiver watch accept" in filled.run("status", "--check", code=9).stderr
    accepted = filled.json("watch", "accept", "--reason", "新服务器", "--by", "王芳")
    assert accepted == {"accepted": "folder.files-missing"}
    # What is missing was seen with the decision, which covers it.
    wait_until(lambda: {"别的/首次/v1", "推荐/首次/v2", "搜索/首次/v2"} <= set(filled.tags()))
    wait_until(lambda: codes(filled) == [])
    (event,) = filled.events("watch-accept")
    assert event["details"]["reason"] == "新服务器"
    filled.verified()


def test_nothing_is_accepted_without_a_folder_or_a_reason(filled: Site) -> None:
    assert "A reason" in filled.run("watch", "accept", "--reason", " ", code=2).stderr
    shutil.rmtree(filled.watch)
    assert "cannot be accepted" in filled.run("watch", "accept", "--reason", "x", code=8).stderr
    assert filled.events("watch-accept") == []


@pytest.mark.needs("root", "loop device")
@pytest.mark.parametrize("litter", ["", ".DS_Store", "lost+found/x", "#recycle/old.docx"])
def test_a_volume_that_is_not_mounted_is_no_deletion(
    bare_site: Site, tmp_path: Path, disks: list[Disk], litter: str, start: Callable[[Site], None]
) -> None:
    """Its folder stands on the disk below, with what Finder, fsck, or a NAS leaves there."""
    site, disk = bare_site, Disk(tmp_path / "one.img", "ext4")
    disks.append(disk)
    if litter:
        site.write(litter, "litter")
    disk.mount(site.watch)
    site.init()
    fill(site)
    start(site)
    wait_until(lambda: site.json("status")["watching"].startswith("watched"))
    disk.umount(site.watch)
    wait_until(lambda: "status.folder-missing" in codes(site) or "status.folder-replaced" in codes(site))
    time.sleep(1)
    assert file_counts(site) == {1, 2}
    disk.mount(site.watch)
    site.write("推荐/首次/甲", "after the remount")
    wait_until(lambda: "推荐/首次/v2" in site.tags())
    wait_until(lambda: codes(site) == [])
    assert file_counts(site) == {1, 2}


@pytest.mark.needs("root", "mount")
def test_a_submission_from_outside_of_the_container_stops_nothing(
    bare_site: Site, start: Callable[[Site], None]
) -> None:
    """The service sees a bind mount where the host sees an ordinary folder: the roots of the mounts differ."""
    site = bare_site
    site.init()
    fill(site)
    command = [COMMAND, "--config", site.config, "run", "--settle", "0.2"]
    inside = f'mount --bind {shlex.quote(str(site.watch))} {shlex.quote(str(site.watch))}; exec "$@"'
    daemon = subprocess.Popen(
        ["unshare", "--mount", "sh", "-ec", inside, "sh", *command], cwd=site.root, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: "推荐/首次/v1" in site.tags())
        wait_until(lambda: site.json("status")["watching"].startswith("watched"))
        identified = len(site.events("watch-folder"))
        for _ in range(2):
            site.run("submit", "推荐/首次", "--on", "2026-01-01")
        time.sleep(3)
        assert codes(site) == []
        site.write("推荐/首次/甲", "after the submission")
        wait_until(lambda: "推荐/首次/v2" in site.tags())
        assert len(site.events("watch-folder")) == identified
    finally:
        daemon.terminate()
        assert daemon.wait(20) == 0


@pytest.mark.needs("root", "loop device")
def test_a_folder_renamed_behind_its_bind_mount_is_noticed(
    bare_site: Site, tmp_path: Path, disks: list[Disk], start: Callable[[Site], None]
) -> None:
    """As a container sees it: the path stays, the folder behind is another one, and new files never arrive."""
    site, disk = bare_site, Disk(tmp_path / "host.img", "ext4")
    disks.append(disk)
    disk.mount(tmp_path / "host")
    data = tmp_path / "host/data"
    data.mkdir()
    sh("mount", "--bind", data, site.watch)
    try:
        site.init()
        fill(site)
        start(site)
        wait_until(lambda: site.json("status")["watching"].startswith("watched"))
        data.rename(tmp_path / "host/data.old")
        shutil.copytree(tmp_path / "host/data.old", data)
        wait_until(lambda: "status.folder-replaced" in codes(site))
        assert "data.old" in site.run("status", "--check", code=9).stderr
        site.run("submit", "推荐/首次", "--on", "2026-01-01", code=4)
        # Restart the container: the mount is made anew, and leads to the present folder.
        sh("umount", "-l", site.watch)
        sh("mount", "--bind", data, site.watch)
        wait_until(lambda: codes(site) == [])
        (data / "推荐/首次/甲").write_text("on the new one")
        wait_until(lambda: "推荐/首次/v2" in site.tags())
    finally:
        subprocess.run(["umount", "-l", site.watch], check=False)


@pytest.mark.needs("root", "btrfs")
def test_a_rolled_back_subvolume_is_watched_anew(
    bare_site: Site, tmp_path: Path, disks: list[Disk], start: Callable[[Site], None]
) -> None:
    """The snapshot has the inode number 256 of the subvolume, and the same names."""
    disk = Disk(tmp_path / "b.img", "btrfs")
    disks.append(disk)
    disk.mount(tmp_path / "vol")
    volume = tmp_path / "vol"
    sh("btrfs", "subvolume", "create", volume / "data")
    bare_site.watch.rmdir()
    bare_site.watch.symlink_to(volume / "data")
    site = bare_site.init()
    fill(site)
    sh("btrfs", "subvolume", "snapshot", volume / "data", volume / "yesterday")
    site.write("推荐/首次/甲", "today")
    site.catch_up()
    inode = os.stat(site.watch).st_ino
    start(site)
    wait_until(lambda: site.json("status")["watching"].startswith("watched"))
    os.rename(volume / "data", volume / "data.old")
    os.rename(volume / "yesterday", volume / "data")
    assert os.stat(site.watch).st_ino == inode
    wait_until(lambda: "推荐/首次/v3" in site.tags())
    # Seen through an event, not by the timer: the watch is on the new subvolume.
    site.write("推荐/首次/甲", "after the rollback")
    wait_until(lambda: "推荐/首次/v4" in site.tags(), 10)
    assert site.json("status")["watching"].startswith("watched")
    assert len(site.events("watch-folder")) == 2
