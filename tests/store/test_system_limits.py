"""Limits of the process, the user and the machine: named with what to raise, and nothing is lost or given up."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from archiver.store.system_limits import find_limit
from archiver.workers import WorkerDied
from tests.support.other_user import become_user
from tests.support.site import COMMAND, Site, open_the_way, wait_until


@pytest.mark.parametrize(
    ("error", "setting"),
    [
        (OSError(errno.EMFILE, "x"), "LimitNOFILE"),
        (OSError(errno.ENFILE, "x"), "fs.file-max"),
        (OSError(errno.ENOMEM, "x"), "MemoryMax"),
        (MemoryError(), "MemoryMax"),
        (RuntimeError("can't start new thread"), "TasksMax"),
        (BlockingIOError(errno.EAGAIN, "x"), None),
        (RuntimeError("something else"), None),
        (RecursionError("can't start new thread, deeply"), None),
        (OSError(errno.EIO, "x"), None),
        (OSError("no number"), None),
        (KeyError(errno.EMFILE), None),
    ],
    ids=repr,
)
def test_a_limit_is_named_with_what_to_raise(error: Exception, setting: str | None) -> None:
    limit = find_limit(error)
    assert (limit is not None) == (setting is not None)
    if limit is not None and setting is not None:
        assert setting in str(limit)
        assert limit.exit_code == 8


def test_a_process_that_cannot_be_started_is_a_limit() -> None:
    limit = find_limit(BlockingIOError(errno.EAGAIN, "x"), is_process_start=True)
    assert "TasksMax" in str(limit)
    assert find_limit(FileNotFoundError(errno.ENOENT, "x"), is_process_start=True) is None


def test_a_child_that_cannot_be_started_is_a_limit_by_its_cause() -> None:
    died = WorkerDied("no process")
    assert find_limit(died) is None
    died.__cause__ = BlockingIOError(errno.EAGAIN, "x")
    assert "TasksMax" in str(find_limit(died))


@pytest.fixture
def user_site(bare_site: Site) -> Iterator[tuple[Site, list[str]]]:
    """The site of a user with no other process, whose number the kernel limits; and the words before a command."""
    site = bare_site
    site.init()
    site.write("f/s/a", "1")
    open_the_way(site.root)
    uid = 61_000 + os.getpid() % 1_000
    subprocess.run(["chown", "-R", str(uid), site.root], check=True)
    yield site, become_user(uid)
    subprocess.run(["chown", "-R", "0", site.root], check=True)


def run_once(site: Site, before: Sequence[str], *limits: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["prlimit", *limits, *before, COMMAND, "--config", site.config, "run", "--once", "--settle", "0.05"],
        cwd=site.root,
        env={**os.environ, "HOME": os.fspath(site.root), "TMPDIR": os.fspath(site.root)},
        capture_output=True,
        text=True,
    )


@pytest.mark.needs("root", "another user")
@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_too_few_processes_are_no_fault_of_the_program(user_site: tuple[Site, list[str]], count: int) -> None:
    site, before = user_site
    limited = run_once(site, before, f"--nproc={count}")
    assert "unexpected" not in limited.stderr
    assert limited.returncode in (0, 8), limited.stderr
    if limited.returncode:
        assert "ulimit -u" in limited.stderr
    assert run_once(site, before).returncode == 0
    subprocess.run(["chown", "-R", "0", site.root], check=True)
    assert site.tags() == ["f/s/v1"]
    site.verified()


@pytest.mark.needs("root")
@pytest.mark.parametrize("count", [9, 17, 25])
def test_too_few_open_files_are_no_fault_of_the_program(site: Site, count: int) -> None:
    site.write("f/s/a", "1")
    limited = run_once(site, [], f"--nofile={count}")
    assert "unexpected" not in limited.stderr
    assert limited.returncode in (0, 8), limited.stderr
    assert "Traceback" not in limited.stderr
    site.catch_up()
    assert site.tags() == ["f/s/v1"]
    site.verified()


@pytest.mark.needs("root", "another user")
def test_a_running_service_goes_on_once_the_limit_is_raised(
    user_site: tuple[Site, list[str]], tmp_path: Path
) -> None:
    site, before = user_site
    log = tmp_path / "log"
    with open(log, "w", encoding="utf-8") as output:
        daemon = subprocess.Popen(
            ["prlimit", "--nproc=10:1000", *before, COMMAND, "--config", site.config, "run", "--settle", "0.1"],
            cwd=site.root,
            env={**os.environ, "HOME": os.fspath(site.root), "TMPDIR": os.fspath(site.root)},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "ulimit -u" in log.read_text("utf-8"))
        subprocess.run([*before, "prlimit", f"--pid={daemon.pid}", "--nproc=1000:1000"], check=True)
        wait_until(lambda: "Captured f/s/v1" in log.read_text("utf-8"), 60)
    finally:
        daemon.terminate()
        daemon.wait(timeout=30)
    assert daemon.returncode == 0
    assert "unexpected" not in log.read_text("utf-8")
