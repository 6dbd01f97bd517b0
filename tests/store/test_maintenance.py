"""Housekeeping puts files together and loses nothing, wherever it is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.store import maintenance
from archiver.store.failpoints import Step
from archiver.store.git.pack_index import PackSize
from tests.support.killed import HOOK
from tests.support.loose_objects import unpack_all
from tests.support.site import Site, tree, wait_until


def versions(site: Site, start: int, count: int) -> None:
    for number in range(start, start + count):
        site.write(f"f/s{number % 3}/材料", f"{number}")
        site.catch_up()


def loose(site: Site) -> int:
    objects = [p for p in site.repository.glob("objects/[0-9a-f][0-9a-f]/*") if p.is_file()]
    refs = [p for p in site.repository.joinpath("refs").rglob("*") if p.is_file()]
    return len(objects) + len(refs)


def has_few_loose_files(site: Site) -> bool:
    try:
        return loose(site) < 5
    except FileNotFoundError:
        # Git is removing them.
        return False


def packs(site: Site) -> list[Path]:
    return list(site.repository.glob("objects/pack/*.pack"))


def everything(site: Site) -> tuple[str, ...]:
    """What git holds, as anybody would read it."""
    refs = site.git("for-each-ref", "--format=%(refname) %(objectname)").stdout
    objects = site.git("cat-file", "--batch-all-objects", "--batch-check", "--unordered").stdout
    return (*sorted(refs.splitlines()), *sorted(objects.splitlines()))


def test_everything_is_there_afterwards_in_few_files(site: Site) -> None:
    versions(site, 0, 6)
    archive = site.open()
    first = archive.journal.newest_event()
    assert first is not None
    before, held = everything(site), tree(site.repository / "lfs")
    assert len(packs(site)) > 6
    site.run("maintain")
    assert len(packs(site)) < 3
    assert everything(site) == before
    assert tree(site.repository / "lfs") == held
    assert loose(site) == 0
    # A reader that was there before finds what has moved under it.
    assert archive.journal.read_event(first.commit) == first
    archive.close()
    assert site.git("fsck", "--full", "--strict").stderr == ""
    site.verified()
    versions(site, 6, 3)
    site.verified()
    assert "git update-ref" not in site.run("maintain").stdout
    site.run("restore", "f/s0/v1", "--to", "out")
    assert site.root.joinpath("out/材料").read_text() == "0"


def test_what_nobody_points_at_stays_too(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    body = "left by a crash"
    oid = subprocess.run(
        ["git", f"--git-dir={site.repository}", "-c", "safe.directory=*", "hash-object", "-w", "--stdin"],
        input=body,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    for _ in range(2):
        site.run("maintain")
        assert site.git("cat-file", "blob", oid).stdout == body


def test_packs_become_few(site: Site) -> None:
    for start in range(0, 8, 2):
        versions(site, start, 2)
        archive = site.open()
        maintenance.maintain(archive, 5)
        archive.close()
    before = everything(site)
    assert len(packs(site)) <= 3
    site.verified()
    versions(site, 8, 1)
    site.verified()
    assert set(before) - set(everything(site)) <= {line for line in before if "refs/heads" in line}


@pytest.mark.parametrize(
    ("step", "nth"),
    [(Step.REFS_PACKED, 1), *((Step.PACKS_MERGED, nth) for nth in (1, 2, 3))],
)
def test_a_kill_loses_nothing(site: Site, step: Step, nth: int) -> None:
    for start in (0, 2):
        versions(site, start, 2)
        if start == 0:
            site.run("maintain")
    before = everything(site)
    code = HOOK.format(step=step.value, nth=nth)
    command = [sys.executable, "-c", code, "--config", os.fspath(site.config), "maintain"]
    done = subprocess.run(command, cwd=site.root, capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert everything(site) == before
    site.verified()
    versions(site, 4, 1)
    site.run("maintain")
    site.verified()


def test_loose_objects_become_a_pack_wherever_it_is_killed(site: Site) -> None:
    """Archives of earlier releases have many of them."""
    versions(site, 0, 2)
    unpack_all(site)
    before = everything(site)
    assert loose(site) > 20
    for step in (Step.OBJECTS_PACKED, None):
        code = HOOK.format(step=step and step.value, nth=1)
        command = [sys.executable, "-c", code, "--config", os.fspath(site.config), "maintain"]
        done = subprocess.run(command, cwd=site.root, capture_output=True, timeout=60)
        assert done.returncode == (-signal.SIGKILL if step else 0), done.stderr
        assert everything(site) == before
        site.verified()
    assert loose(site) == 0


def test_scheduled_runs_do_it_too(site: Site) -> None:
    """Where no service runs, nothing else would merge the packs of years."""
    versions(site, 0, maintenance._MANY_PACKS - 1)
    assert len(packs(site)) < maintenance._MANY_PACKS
    versions(site, maintenance._MANY_PACKS, 2)
    # One each of the runs after the merge, the identification of the folder among them.
    assert len(packs(site)) < 5
    # The last of these runs came after the housekeeping, and left a branch, a tag and its folders.
    assert loose(site) < 10
    site.verified()


def test_a_first_capture_leaves_the_single_refs_to_the_service(site: Site) -> None:
    for number in range(maintenance._MANY_SUBMISSIONS):
        site.write(f"g{number % 7}/s{number}/材料", f"{number}")
    site.catch_up()
    assert loose(site) > maintenance._MANY_SUBMISSIONS
    assert not maintenance.has_many_object_files(site.repository)
    assert maintenance.is_wanted(site.repository)
    daemon = site.start("--settle", "0")
    try:
        # It is no longer wanted as soon as most of them are packed.
        wait_until(lambda: has_few_loose_files(site))
    finally:
        daemon.send_signal(signal.SIGINT)
        daemon.communicate(timeout=30)
    assert loose(site) < 5
    assert not maintenance.is_wanted(site.repository)
    site.verified()


def test_a_pack_of_somebody_else_stays_as_it_is(site: Site) -> None:
    versions(site, 0, 3)
    kept = packs(site)[0]
    kept.with_suffix(".keep").write_text("")
    for _ in range(2):
        site.run("maintain")
    assert kept in packs(site)
    assert len(packs(site)) == 2


@given(st.lists(st.integers(1, 1000), max_size=60))
def test_afterwards_each_pack_has_twice_the_objects_of_all_smaller_ones(sizes: list[int]) -> None:
    packs_before = [PackSize(f"pack-{number}", size) for number, size in enumerate(sizes)]
    chosen = maintenance.choose_small_packs(packs_before)
    assert len(chosen) != 1
    left = sorted(pack.objects for pack in packs_before if pack not in chosen)
    left = sorted([*left, sum(pack.objects for pack in chosen)] if chosen else left)
    assert all(size >= 2 * sum(left[:number]) for number, size in enumerate(left) if number)


def test_kills_at_any_moment_lose_nothing(site: Site) -> None:
    versions(site, 0, 4)
    before = set(everything(site))
    for number in range(8):
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "from archiver.cli.main import run; run()",
                "--config",
                site.config,
                "maintain",
            ],
            cwd=site.root,
            start_new_session=True,
            stdout=subprocess.DEVNULL,
        )
        try:
            process.wait(timeout=0.25 + 0.07 * number)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert before <= set(everything(site))
    versions(site, 4, 1)
    site.run("maintain")
    site.verified()
    assert list(site.repository.rglob("*.lock")) == []
    assert list(site.repository.glob("objects/pack/tmp_*")) == []


def test_the_daemon_goes_on_beside_it_and_does_it_by_itself(site: Site, tmp_path: Path) -> None:
    daemon = site.start("--settle", "0")
    try:
        for number in range(25):
            site.write(f"f/s{number % 5}/材料", f"{number}")
            if number % 5 == 0:
                site.run("maintain")
        wait_until(lambda: len(site.tags()) >= 5 and site.json("status")["pending"] == [])
    finally:
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(timeout=30) == 0
        assert daemon.stdout is not None
        daemon.stdout.close()
    site.verified()
    assert not maintenance.is_wanted(site.repository)
