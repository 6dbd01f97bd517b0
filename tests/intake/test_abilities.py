"""What the system does not let the program do in the watched folder, and how it makes up for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from archiver.intake.folder import abilities
from archiver.intake.folder.abilities import MissingAbility, find_missing_abilities
from archiver.intake.folder.access import DirectAccess
from archiver.store.content.source import StatData
from archiver.store.content.spool import Spool
from tests.support.site import COMMAND, Site

#: Root without CAP_LEASE, as in a container: files of other users can be read, and no lease on them is possible.
AS_IN_A_CONTAINER = ["setpriv", "--bounding-set", "-lease", "--inh-caps", "-lease"]


def run_as_in_a_container(site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*AS_IN_A_CONTAINER, COMMAND, "--config", site.config, *arguments],
        cwd=site.root,
        capture_output=True,
        text=True,
        check=True,
    )


@contextmanager
def slow_copy(path: Path, pause_seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    """Another user's copy of a file, which stops in the middle: by a process that nobody in the container sees."""
    copying = (
        "import os, sys, time\n"
        "os.setuid(65534)\n"
        "with open(sys.argv[1], 'wb', 0) as copy:\n"
        "    copy.write(b'first half')\n"
        "    time.sleep(float(sys.argv[2]))\n"
        "    copy.write(b', second half')\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.parent.chmod(0o777)
    with subprocess.Popen([sys.executable, "-c", copying, path, str(pause_seconds)]) as process:
        while not path.exists() or path.stat().st_size == 0:
            time.sleep(0.01)
        yield process


@pytest.mark.needs("root", "setpriv")
def test_a_copy_that_pauses_is_one_version_without_leases(site: Site) -> None:
    for folder in (site.root, *site.root.parents):
        if folder.stat().st_mode & 0o777 == 0o700 and folder != folder.parent:
            folder.chmod(0o711)
    with slow_copy(site.watch / "f/s/a", 2):
        # The quiet period is shorter than the pause of the copy, and its twelvefold is longer.
        captured = run_as_in_a_container(site, "run", "--once", "--settle", "0.3")
    assert "Captured f/s/v1" in captured.stdout
    assert site.tags() == ["f/s/v1"]
    site.run("restore", "f/s/v1", "--to", site.root / "out")
    assert (site.root / "out/a").read_bytes() == b"first half, second half"
    run_as_in_a_container(site, "run", "--once", "--settle", "0.3")
    [missing] = site.json("status")["missing_abilities"]
    assert missing["code"] == "ability.leases"
    assert "Limited: cannot detect" in site.run("status").stdout
    checked = run_as_in_a_container(site, "check", "f/s", "--json").stdout
    assert "check.writers-unknown" in json.loads(checked)["counts"]
    assert "check.writers-unknown" not in site.json("check", "f/s")["counts"]
    # Named, but no reason for an alarm: nobody can change it in a container.
    assert missing["reason"] not in site.json("status")["problems"]
    site.catch_up()
    assert site.json("status")["missing_abilities"] == []


@pytest.mark.needs("root", "setpriv")
def test_a_rename_is_one_version_without_leases(site: Site) -> None:
    """Not the deletion of the old name first, and the new name a minute later."""
    for folder in (site.root, *site.root.parents):
        if folder.stat().st_mode & 0o777 == 0o700 and folder != folder.parent:
            folder.chmod(0o711)
    path = site.write("f/s/draft", "1")
    site.write("f/s/a", "1")
    for each in (path, path.with_name("a")):
        os.chown(each, 65534, 65534)
    run_as_in_a_container(site, "run", "--once", "--settle", "0.05")
    path.rename(path.with_name("final"))
    run_as_in_a_container(site, "run", "--once", "--settle", "0.05")
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    assert [each["path"] for each in site.json("show", "f/s/v2")["materials"]] == ["a", "final"]


def _make_folder(tmp_path: Path, count: int = 5) -> tuple[DirectAccess, list[bytes]]:
    folder = tmp_path / "watched"
    folder.mkdir()
    paths = [b"%d" % number for number in range(count)]
    for path in paths:
        (folder / os.fsdecode(path)).write_bytes(b"x")
    return DirectAccess(folder), paths


def test_on_a_healthy_disk_nothing_is_missing(tmp_path: Path) -> None:
    access, paths = _make_folder(tmp_path)
    assert find_missing_abilities(access, os.fsencode(tmp_path), paths) == []
    assert find_missing_abilities(access, os.fsencode(tmp_path), [b"gone", *paths]) == []
    assert find_missing_abilities(access, os.fsencode(tmp_path), []) == []


@pytest.mark.parametrize(
    ("status", "is_missing"),
    [
        ("CapEff:\t000001ffffffffff\n", False),
        ("Name:\tx\nCapEff:\t00000000a80425fb\n", True),
        ("", False),
        ("CapEff:", False),
        ("CapEff:\txyz", False),
    ],
    ids=["root", "docker", "none", "cut", "no number"],
)
def test_in_an_empty_folder_the_capabilities_decide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: str, is_missing: bool
) -> None:
    """The first files to come may be those of other users."""
    access, _ = _make_folder(tmp_path, 0)
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: status)
    missing = find_missing_abilities(access, os.fsencode(tmp_path), [b"gone"])
    assert [each.code for each in missing] == (["ability.leases"] if is_missing else [])
    assert abilities.count_quiet_periods(missing) == (12 if is_missing else 1)


def test_the_error_of_a_lease_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access, paths = _make_folder(tmp_path)
    monkeypatch.setattr("archiver.store.content.source._request_lease", lambda _: 13)
    assert find_missing_abilities(access, os.fsencode(tmp_path), paths) == [
        MissingAbility("ability.leases", "Permission denied")
    ]


def test_whole_seconds_are_a_coarse_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    access, paths = _make_folder(tmp_path)
    with closing(access.open(paths[0])) as source:
        coarse = source.stat_data._replace(ctime_ns=source.stat_data.ctime_ns // 10**9 * 10**9)
    monkeypatch.setattr("archiver.store.content.source.StatData.from_stat_result", lambda _: coarse)
    assert find_missing_abilities(access, os.fsencode(tmp_path), paths) == [
        MissingAbility(abilities.FINE_CLOCK.code)
    ]
    assert find_missing_abilities(access, os.fsencode(tmp_path), paths[:2]) == []
    # A second change within the same second has the same times.
    spool = Spool(tmp_path)
    for age_seconds, is_racy in ((1.5, True), (2.5, False)):
        monkeypatch.setattr(
            "archiver.clock.wall_time_ns", lambda age=age_seconds: coarse.ctime_ns + int(age * 10**9)
        )
        with closing(access.open(paths[0])) as source:
            copy = spool.stage_copy(source)
        spool.discard_copies([copy])
        assert copy.is_racy == is_racy


@pytest.mark.parametrize("stored", ["", "[]", "{", "3", '[["ability.leases"]]', '"x"'])
def test_a_text_of_another_form_names_nothing(stored: str) -> None:
    assert abilities.decode_abilities(stored) == []


def test_what_is_stored_is_read_back() -> None:
    missing = [MissingAbility("ability.leases", "nicht erlaubt"), MissingAbility("ability.of-2030", "3")]
    assert abilities.decode_abilities(abilities.encode_abilities(missing)) == missing
    assert str(missing[1].sentence) == "ability.of-2030: 3"


@pytest.mark.parametrize(
    ("shifts", "is_missing"), [((1, 1, 1), True), ((1, 1, 0), False), ((1, 1), False), ((0, 0, 0), False)], ids=str
)
def test_other_inode_numbers_of_unchanged_files_are_named(
    tmp_path: Path, shifts: tuple[int, ...], is_missing: bool
) -> None:
    access, paths = _make_folder(tmp_path, len(shifts))
    known = []
    for path, shift in zip(paths, shifts, strict=True):
        state = access.look_up(path).stat_data
        known.append((path, state._replace(inode=state.inode + shift)))
    # Neither a file that has changed, nor one that is gone or not known.
    (tmp_path / "watched/changed").write_text("1")
    changed = access.look_up(b"changed").stat_data
    known += [(b"changed", changed._replace(size=2)), (b"gone", changed), (b"0", StatData.unknown())]
    missing = find_missing_abilities(access, os.fsencode(tmp_path), [], known)
    assert ("ability.inode-numbers" in {each.code for each in missing}) == is_missing
