"""A changed ``watch.path``: taken and journalled for the same materials, refused for another folder's."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from archiver.intake.folder import watch_path
from archiver.store import names
from tests.support.site import Site, wait_until


@pytest.fixture
def filed(site: Site) -> Site:
    site.set("watch", "settle_seconds", 0)
    for number in range(4):
        site.write(f"推荐/首次/{number}", str(number))
    site.catch_up()
    return site


def point_at(site: Site, folder: Path) -> None:
    """The same archive with another folder, as a second configuration has it."""
    site.set("watch", "path", json.dumps(os.fspath(folder), ensure_ascii=False))


def fill(folder: Path, *files: str) -> Path:
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def journalled_moves(site: Site) -> list[dict[str, Any]]:
    """The changes of the path, after the event with which every archive begins."""
    first, *moves = site.events("watch-path")
    assert first["seq"] == 3
    assert first["details"]["from"] == ""
    return moves


COMMANDS = [("run", "--once", "--settle", "0"), ("run",), ("submit", "推荐/首次", "--on", "2026-01-01")]


@pytest.mark.parametrize("command", COMMANDS)
def test_another_folder_is_refused_while_the_first_is_there(
    filed: Site, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Both hold a filing of the same name, and one material: less than half."""
    second = fill(tmp_path / "second one", "推荐/首次/0", "推荐/首次/x", "别的/首次/y")
    point_at(filed, second)
    before = filed.git("rev-parse", "journal").stdout
    told = filed.run(*command, code=3).stderr
    assert str(second) in told
    assert str(filed.watch) in told
    assert "Nothing was changed" in told
    assert f"archiver init --archive DIR --watch '{second}'" in told
    assert filed.git("rev-parse", "journal").stdout == before
    point_at(filed, filed.watch)
    filed.catch_up()
    assert filed.tags() == ["推荐/首次/v1"]
    assert journalled_moves(filed) == []


def test_an_empty_folder_is_refused_too(filed: Site, tmp_path: Path) -> None:
    point_at(filed, fill(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()
    assert "Nothing was changed" in filed.run("run", "--once", code=3).stderr


def renamed(site: Site, new: Path) -> None:
    site.watch.rename(new)


def reached_by_a_link(site: Site, new: Path) -> None:
    new.symlink_to(site.watch)


def replaced_by_a_file(site: Site, new: Path) -> None:
    fill(new, "推荐/首次/other")
    shutil.rmtree(site.watch)
    site.watch.write_text("no folder")


def half_of_it(site: Site, new: Path) -> None:
    shutil.copytree(site.watch, new)
    for number in range(2):
        (new / f"推荐/首次/{number}").unlink()


@pytest.mark.parametrize("move", [renamed, reached_by_a_link, replaced_by_a_file, half_of_it])
def test_the_folder_in_another_place_is_taken_and_journalled(
    filed: Site, tmp_path: Path, move: Callable[[Site, Path], None]
) -> None:
    new = tmp_path / "新的 place"
    move(filed, new)
    point_at(filed, new)
    filed.catch_up()
    filed.catch_up()
    (event,) = journalled_moves(filed)
    assert event["details"] == {"from": str(filed.watch), "to": str(new)}
    filed.run("reindex")
    filed.catch_up()
    assert len(journalled_moves(filed)) == 1
    filed.verified()


@pytest.mark.needs("root", "mount")
def test_the_same_folder_by_a_bind_mount_is_no_other(filed: Site, tmp_path: Path) -> None:
    point = tmp_path / "bound"
    point.mkdir()
    subprocess.run(["mount", "--bind", filed.watch, point], check=True)
    try:
        point_at(filed, point)
        shutil.rmtree(filed.watch / "推荐")
        filed.write("推荐/首次/only", "known by its inode, not by its names")
        filed.catch_up()
    finally:
        subprocess.run(["umount", point], check=True)
    assert len(journalled_moves(filed)) == 1


@pytest.mark.needs("root", "mount")
def test_materials_that_moved_from_a_share_to_the_server_itself(bare_site: Site, tmp_path: Path) -> None:
    """The new folder lies on no mount of its own, which alone would read as a share that is not mounted."""
    site, new = bare_site, tmp_path / "new"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", site.watch], check=True)
    try:
        site.init()
        site.write("f/s/a", "1")
        site.catch_up()
        shutil.copytree(site.watch, new)
    finally:
        subprocess.run(["umount", site.watch], check=True)
    point_at(site, new)
    site.catch_up()
    assert len(journalled_moves(site)) == 1
    assert "All changes are archived" in site.catch_up().stdout


def test_an_archive_that_knows_nothing_takes_any_folder(site: Site, tmp_path: Path) -> None:
    point_at(site, fill(tmp_path / "better", "f/s/a"))
    site.catch_up()
    assert site.tags() == ["f/s/v1"]
    assert len(journalled_moves(site)) == 1


def test_submit_takes_a_folder_that_moved(filed: Site, tmp_path: Path) -> None:
    filed.watch.rename(tmp_path / "moved")
    point_at(filed, tmp_path / "moved")
    filed.run("submit", "推荐/首次", "--on", "2026-01-01")
    assert len(journalled_moves(filed)) == 1


def test_a_reload_goes_on_with_the_folder_of_before(filed: Site, tmp_path: Path) -> None:
    second = fill(tmp_path / "second", "别的/首次/y")
    daemon = filed.start("--settle", "0.2")
    wait_until(lambda: filed.json("status")["daemon"])
    point_at(filed, second)
    daemon.send_signal(signal.SIGHUP)
    filed.write("推荐/首次/0", "changed")
    wait_until(lambda: "推荐/首次/v2" in filed.tags())
    third = tmp_path / "third"
    shutil.copytree(filed.watch, third)
    point_at(filed, third)
    daemon.send_signal(signal.SIGHUP)
    (third / "推荐/首次/0").write_text("changed in the new place")
    wait_until(lambda: "推荐/首次/v3" in filed.tags())
    daemon.terminate()
    out, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    assert "The previous one remains in force" in out
    assert filed.tags() == ["推荐/首次/v3", "推荐/首次/v2", "推荐/首次/v1"]
    assert [e["details"]["to"] for e in journalled_moves(filed)] == [str(third)]


def test_a_folder_that_comes_back_later_is_looked_at_then(filed: Site, tmp_path: Path) -> None:
    """At the start it is not mounted, so that there is nothing to compare yet."""
    second = tmp_path / "second"
    point_at(filed, second)
    daemon = filed.start("--settle", "0.2")
    # Not before it was missed: a folder that is there at the start ends the service.
    wait_until(lambda: "is missing" in str(filed.json("status")["last_problem"]))
    fill(tmp_path / "filled", "别的/首次/y").rename(second)
    wait_until(lambda: "is another folder" in str(filed.json("status")["last_problem"]))
    assert filed.tags() == ["推荐/首次/v1"]
    assert filed.run("status", "--check", code=9)
    daemon.terminate()
    daemon.communicate(timeout=20)


@pytest.mark.needs("processes")
def test_a_place_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No share that hangs can be made here: a child that sleeps does the same."""
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 100\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr("sys.executable", os.fspath(sleeper))
    monkeypatch.setattr(watch_path, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(TimeoutError):
        watch_path._folder_identity(os.fsencode(tmp_path))


@pytest.mark.needs("processes")
def test_a_place_is_told_from_others(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"GBK \xb1\xb8\xb0\xb8\n")
    odd.mkdir()
    status = os.stat(odd)
    assert watch_path._folder_identity(os.fsencode(odd)) == (status.st_dev, status.st_ino)
    assert watch_path._folder_identity(os.fsencode(tmp_path / "none")) is None
    (tmp_path / "file").touch()
    assert watch_path._folder_identity(os.fsencode(tmp_path / "file")) is None
    assert watch_path._folder_identity(os.fsencode(tmp_path / "file/below")) is None
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OSError, match="symbolic links"):
        watch_path._folder_identity(os.fsencode(tmp_path / "loop"))
    assert names.name_from_text(names.name_as_text(os.fsencode(odd))) == os.fsencode(odd)
