"""Archive and watched folder inside one another by another path: a bind mount, a container volume, a hard link."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver.intake.folder import mounts
from archiver.store.content.own_files import OwnFile, OwnFiles
from tests.support.site import Site, wait_until

Bind = Callable[[Path, Path], None]


@pytest.fixture
def bind() -> Iterator[Bind]:
    points: list[Path] = []

    def mount(source: Path, point: Path) -> None:
        point.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", source, point], check=True)
        points.append(point)

    yield mount
    for point in reversed(points):
        subprocess.run(["umount", "-l", point], check=True)


def archived(site: Site) -> set[str]:
    paths: set[str] = set()
    for tag in site.tags():
        paths |= {f"{tag.rsplit('/', 1)[0]}/{m['path']}" for m in site.json("show", tag)["materials"]}
    return paths


def problems(site: Site) -> list[str]:
    found: list[str] = site.json("status")["problems"]
    return found


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    "part", [".", "keys", "archive.git", "archive.git/refs", "archive.git/lfs/objects", "spool"]
)
def test_the_archive_deeper_in_the_watched_folder_is_passed_over(site: Site, bind: Bind, part: str) -> None:
    site.write("f/s/a.txt", "ours")
    bind(site.archive / part, site.watch / "f/s/volume")
    for _ in range(2):
        site.catch_up()
    assert archived(site) == {"f/s/a.txt"}
    assert site.tags() == ["f/s/v1"]
    skipped = {item["path"]: item["reason"] for item in site.json("status")["skipped"]}
    assert skipped == {"f/s/volume": "is part of the archive, reached through another path"}
    assert "the archive is inside the watched folder: f/s/volume" in problems(site)
    site.run("status", "--check", code=9)
    site.run("submit", "f/s", "--on", "2026-11-25")
    assert archived(site) == {"f/s/a.txt"}
    site.verified()


@pytest.mark.needs("root")
def test_events_from_the_archive_start_no_circle(site: Site, bind: Bind) -> None:
    site.write("f/s/a.txt", "ours")
    bind(site.archive, site.watch / "f/s/volume")
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    site.write("f/s/a.txt", "ours again")
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    assert archived(site) == {"f/s/a.txt"}
    assert "the archive is inside the watched folder: f/s/volume" in problems(site)
    daemon.terminate()
    daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert site.tags() == ["f/s/v2", "f/s/v1"]


@pytest.mark.needs("root")
def test_what_the_archive_had_below_that_path_is_not_deleted(site: Site, bind: Bind) -> None:
    site.write("f/s/volume/old.txt", "archived before the mount")
    site.catch_up()
    bind(site.archive, site.watch / "f/s/volume")
    site.write("f/s/a.txt", "new")
    site.catch_up()
    assert [m["path"] for m in site.json("show", "f/s/v2")["materials"]] == ["a.txt", "volume/old.txt"]


def test_a_hard_link_to_the_key_is_not_archived(site: Site) -> None:
    site.write("f/s/a.txt", "ours")
    os.link(site.archive / "keys/signing_key", site.watch / "f/s/key")
    site.catch_up()
    assert archived(site) == {"f/s/a.txt"}
    assert "the archive is inside the watched folder: f/s/key" in problems(site)


def refused(site: Site, *arguments: object) -> str:
    return site.run(*arguments, code=3).stderr


@pytest.mark.needs("root")
@pytest.mark.parametrize("part", [".", "keys", "spool", "archive.git/refs/heads"])
def test_the_watched_folder_is_a_part_of_the_archive(site: Site, bind: Bind, part: str) -> None:
    bind(site.archive / part, site.watch)
    for arguments in (["run", "--once"], ["run"]):
        assert "another path" in refused(site, *arguments)
    assert site.tags() == []


@pytest.mark.needs("root")
def test_the_watched_folder_lies_below_a_part_of_the_archive(site: Site, bind: Bind) -> None:
    bind(site.archive / "spool", site.root / "volume")
    (site.root / "volume/inner").mkdir()
    site.set("watch", "path", f'"{site.root / "volume/inner"}"')
    assert "another path" in refused(site, "run", "--once")


@pytest.mark.needs("root")
def test_the_archive_lies_below_the_watched_folder(site: Site, bind: Bind) -> None:
    bind(site.root, site.root / "volume")
    site.set("archive", "path", f'"{site.root / "volume/archive"}"')
    site.set("watch", "path", f'"{site.root}"')
    refused(site, "run", "--once")


@pytest.mark.needs("root")
@pytest.mark.parametrize(("archive", "watch"), [("volume/a", "watched"), ("volume", "watched"), ("w/a", "volume")])
def test_init_refuses_it_by_another_path(bare_site: Site, bind: Bind, archive: str, watch: str) -> None:
    source = bare_site.watch if watch == "watched" else bare_site.root / "w"
    source.mkdir(exist_ok=True)
    bind(source, bare_site.root / "volume")
    arguments = ["init", "--archive", bare_site.root / archive, "--watch", bare_site.root / watch]
    assert "another path" in refused(bare_site, *arguments)
    assert not bare_site.config.exists()
    assert list(source.iterdir()) == []


@pytest.mark.needs("root")
@pytest.mark.parametrize("mounted", ["data", "data/archive", "data/archive/deep"])
def test_init_refuses_an_archive_that_is_mounted_in_the_watched_folder(
    bare_site: Site, bind: Bind, mounted: str
) -> None:
    archive = bare_site.root / "data/archive"
    (bare_site.root / mounted).mkdir(parents=True)
    bind(bare_site.root / mounted, bare_site.watch / "f/s/volume")
    arguments = ["init", "--archive", archive / "deep", "--watch", bare_site.watch]
    assert "another path" in refused(bare_site, *arguments)
    assert not bare_site.config.exists()


@pytest.mark.needs("root")
def test_a_neighbour_of_the_archive_may_be_mounted_in_the_watched_folder(bare_site: Site, bind: Bind) -> None:
    (bare_site.root / "scans").mkdir()
    bind(bare_site.root / "scans", bare_site.watch / "f/s/scans")
    bare_site.init()
    bare_site.write("f/s/scans/a", "1")
    bare_site.catch_up()
    assert archived(bare_site) == {"f/s/scans/a"}


@pytest.mark.needs("root")
def test_neighbours_on_one_volume_are_no_trouble(bare_site: Site, bind: Bind) -> None:
    for name in ("archive", "watched"):
        (bare_site.root / "disk" / name).mkdir(parents=True)
        bind(bare_site.root / "disk" / name, bare_site.root / name)
    bare_site.init()
    bare_site.write("f/s/a", "1")
    bare_site.catch_up()
    assert bare_site.tags() == ["f/s/v1"]


def test_the_root_of_each_mount_is_read() -> None:
    table = b"36 25 8:1 /srv/a\\040b /mnt rw - ext4 /dev/sda1 rw\n"
    expected = mounts.Mount(b"/mnt", "ext4", b"8:1", b"/srv/a b", source=b"/dev/sda1", number=b"36")
    assert mounts.parse_mounts(table) == [expected]


def test_an_inode_number_that_is_given_again_is_no_file_of_the_archive(site: Site, tmp_path: Path) -> None:
    old = site.archive / "keys/signing_key"
    own = OwnFiles(os.fsencode(site.archive))
    kept = tmp_path / "ours"
    os.link(old, kept)
    with pytest.raises(OwnFile):
        own.refuse_own_file(os.stat(kept), b"ours")
    # A new key takes the name: from now on the old file belongs to nobody.
    (tmp_path / "new").write_bytes(b"")
    os.rename(tmp_path / "new", old)
    own.refuse_own_file(os.stat(kept), b"ours")
