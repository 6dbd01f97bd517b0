"""Filesystems mounted below the watched folder: one that vanishes deletes nothing, one that appears is captured."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from archiver.intake.folder.folder_identity import MountIdentity
from archiver.intake.folder.mounts import Mount, find_mounts_below
from archiver.intake.folder.mounts_below import find_unmounted_automounts, find_vanished, keep_known_uuids
from tests.support.site import COMMAND, Site, wait_until
from tests.support.volumes import Disk, codes, file_counts, sh

SHARE = MountIdentity("f/s", "ext4", "aa", "", "/")


@pytest.mark.parametrize(
    ("present", "is_vanished"),
    [
        (SHARE, False),
        (SHARE._replace(root="/elsewhere"), False),
        (SHARE._replace(uuid=""), False),
        (SHARE._replace(uuid="bb"), True),
        (SHARE._replace(uuid="", filesystem="xfs"), True),
        (SHARE._replace(path="f"), True),
    ],
)
def test_when_a_mount_has_vanished(present: MountIdentity, is_vanished: bool) -> None:
    assert find_vanished([SHARE], [present], {}) == [SHARE] * is_vanished


def test_a_uuid_that_only_one_process_sees_is_kept() -> None:
    """Otherwise the service and a person's command would record the same mount in turns."""
    unseen = SHARE._replace(uuid="")
    assert find_vanished([unseen], [SHARE], {}) == []
    assert keep_known_uuids([SHARE], [unseen]) == [SHARE]
    assert keep_known_uuids([unseen], [SHARE]) == [SHARE]
    other = unseen._replace(filesystem="xfs")
    assert keep_known_uuids([SHARE], [other]) == [other]


@pytest.mark.parametrize("path", [b"f/s", b"f"])
def test_what_autofs_mounts_again_has_not_vanished(path: bytes) -> None:
    """After some minutes without a look, the automounter unmounts it."""
    mounts = {path: Mount(b"/w/" + path, "autofs")}
    assert find_vanished([SHARE], [], mounts) == []
    assert find_unmounted_automounts([SHARE], [], mounts) == [SHARE]
    assert find_unmounted_automounts([SHARE], [SHARE], mounts) == []


def test_mounts_beside_the_folder_are_not_below() -> None:
    table = [Mount(point, "ext4") for point in (b"/", b"/w", b"/w/a", b"/w2/a", b"/w/a/b")]
    assert set(find_mounts_below(b"/w", table)) == {b"a", b"a/b"}
    assert b"w" in find_mounts_below(b"/", table)


@pytest.mark.needs("root", "loop device")
@pytest.mark.parametrize(
    ("place", "is_point_removed"), [("推荐/首次/共享", False), ("推荐/首次", True), ("推荐", False)]
)
def test_a_share_that_is_unmounted_is_no_deletion(
    bare_site: Site,
    tmp_path: Path,
    disks: list[Disk],
    start: Callable[[Site], None],
    place: str,
    is_point_removed: bool,
) -> None:
    site, disk = bare_site, Disk(tmp_path / "one.img", "ext4")
    disks.append(disk)
    point = site.watch / place
    point.mkdir(parents=True)
    disk.mount(point)
    site.init()
    for name in "推荐/首次/共享/甲", "搜索/首次/乙":
        site.write(name, name)
    site.catch_up()
    versions = site.tags()
    start(site)
    disk.umount(point)
    if is_point_removed:
        point.rmdir()
    wait_until(lambda: "status.unreadable-paths" in codes(site))
    assert [(skip["path"], skip["code"]) for skip in site.json("status")["skipped"]] == [
        (place, "path.not-mounted")
    ]
    site.write("搜索/首次/乙", "another filing goes on")
    wait_until(lambda: "搜索/首次/v2" in site.tags())
    site.run("submit", "推荐/首次", "--on", "2026-01-01", code=4)
    assert set(site.tags()) == {*versions, "搜索/首次/v2"}
    disk.mount(point)
    site.write("推荐/首次/共享/甲", "after it was mounted again")
    wait_until(lambda: "推荐/首次/v2" in site.tags() or "推荐/首次/v3" in site.tags())
    wait_until(lambda: codes(site) == [])
    assert 0 not in file_counts(site)


@pytest.mark.needs("root", "loop device")
def test_a_person_accepts_that_a_share_is_gone(
    bare_site: Site, tmp_path: Path, disks: list[Disk], start: Callable[[Site], None]
) -> None:
    site, disk = bare_site, Disk(tmp_path / "one.img", "ext4")
    disks.append(disk)
    (site.watch / "推荐/首次").mkdir(parents=True)
    disk.mount(site.watch / "推荐/首次")
    site.init()
    for name in "推荐/首次/甲", "搜索/首次/乙":
        site.write(name, name)
    start(site)
    wait_until(lambda: len(site.tags()) == 2)
    disk.umount(site.watch / "推荐/首次")
    wait_until(lambda: "status.unreadable-paths" in codes(site))
    assert site.json("watch", "accept", "--reason", "the share was given up")["accepted"] == "path.not-mounted"
    wait_until(lambda: "推荐/首次/v2" in site.tags())
    wait_until(lambda: codes(site) == [])


@pytest.mark.needs("root", "mount")
def test_a_share_that_appears_is_captured(bare_site: Site, tmp_path: Path, start: Callable[[Site], None]) -> None:
    """No notification says that something was mounted, and none comes from its folders without a new watch."""
    site = bare_site.init()
    site.write("推荐/首次/甲", "beside it")
    (site.watch / "推荐/首次/共享").mkdir()
    start(site)
    wait_until(lambda: site.tags() == ["推荐/首次/v1"])
    (tmp_path / "share").mkdir()
    (tmp_path / "share/乙").write_text("on the share")
    sh("mount", "--bind", tmp_path / "share", site.watch / "推荐/首次/共享")
    try:
        wait_until(lambda: "推荐/首次/v2" in site.tags())
        (tmp_path / "share/丙").write_text("later")
        wait_until(lambda: "推荐/首次/v3" in site.tags(), 10)
        assert site.json("log")[0]["files"] == 3
    finally:
        subprocess.run(["umount", "-l", site.watch / "推荐/首次/共享"], check=True)


@pytest.mark.needs("root", "loop device", "processes")
@pytest.mark.parametrize("propagation", ["slave", "private"])
def test_a_share_is_mounted_on_the_host_of_a_container(
    bare_site: Site, tmp_path: Path, disks: list[Disk], propagation: str
) -> None:
    """With ``rslave`` it appears in the container; otherwise status says that a restart is needed."""
    site, disk, place = bare_site, Disk(tmp_path / "one.img", "ext4"), "推荐/首次/共享"
    disks.append(disk)
    sh("mount", "--bind", site.watch, site.watch)
    sh("mount", "--make-shared", site.watch)
    (site.watch / place).mkdir(parents=True)
    disk.mount(site.watch / place)
    site.init()
    for name in f"{place}/甲", "搜索/首次/乙":
        site.write(name, name)
    site.catch_up()
    disk.umount(site.watch / place)
    container = ["unshare", "--mount", "--propagation", propagation]
    command = [*container, COMMAND, "--config", site.config, "run", "--settle", "0.2"]
    service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: "status.unreadable-paths" in codes(site))
        assert "restart the container" in site.json("status")["skipped"][0]["reason"]
        disk.mount(site.watch / place)
        site.write(f"{place}/丙", "after it was mounted")
        if propagation == "private":
            site.write("搜索/首次/乙", "everything else goes on")
            wait_until(lambda: "搜索/首次/v2" in site.tags())
            assert "status.unreadable-paths" in codes(site)
            service.terminate()
            service.wait(20)
            service = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: "推荐/首次/v2" in site.tags())
        wait_until(lambda: codes(site) == [])
        assert 0 not in file_counts(site)
    finally:
        service.terminate()
        service.wait(20)
        for point in [*disk.points, site.watch]:
            subprocess.run(["umount", "-l", point], check=False)
        disk.points.clear()
