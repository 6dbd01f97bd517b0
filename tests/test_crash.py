"""Kill it anywhere: every file archived once, no doubled version, verify clean."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from archiver.store.failpoints import Step
from tests.support.killed import killed_at, run_killed
from tests.support.site import COMMAND, UNGUARDED, Site, wait_until


def fill(site: Site, files: int = 500, mark: str = "") -> None:
    for number in range(files):
        site.write(
            f"f{number % 5}/s{number % 2}/d{number % 11}/材料{number}", f"{mark}{number}" * (1 + number % 50)
        )


def check_complete(site: Site) -> None:
    site.catch_up()
    site.verified()
    held = {}
    latest = {}
    for version in reversed(site.json("log")):
        latest[version["filing"], version["submission"]] = version["tag"]
    for (filing, submission), tag in latest.items():
        for material in site.json("show", tag)["materials"]:
            if material["sha256"] is None:
                assert (site.watch / filing / submission / material["path"].rstrip("/")).is_dir()
                continue
            held[f"{filing}/{submission}/{material['path']}"] = material["size"]
    there = {os.fspath(p.relative_to(site.watch)): p.stat().st_size for p in site.watch.rglob("*") if p.is_file()}
    assert held == there
    # What was signed stays noted there.
    assert [path.name for path in (site.archive / "spool").iterdir()] == ["signing"]
    assert list(site.repository.rglob("*.lock")) == []


def check_no_doubles(site: Site) -> None:
    """Of one submission, no two versions in a row hold the same."""
    trees: dict[str, list[str]] = {}
    for version in site.json("log"):
        if not version["added"] + version["modified"] + version["deleted"]:
            # An empty folder stands in the journal only.
            continue
        branch = f"{version['filing']}/{version['submission']}"
        trees.setdefault(branch, []).append(site.git("rev-parse", f"{version['commit']}^{{tree}}").stdout)
    for branch, row in trees.items():
        assert all(one != other for one, other in zip(row, row[1:], strict=False)), branch


def test_thirty_kills_at_random_moments_of_a_capture(site: Site) -> None:
    fill(site)
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    for _ in range(30):
        daemon = site.start("--settle", "0")
        time.sleep(chance.uniform(0.15, 1.2))
        daemon.kill()
        daemon.wait()
        assert daemon.stdout is not None
        daemon.stdout.close()
        # Something new each time, so that no round finds its work already done.
        site.write(f"f{chance.randrange(5)}/s{chance.randrange(2)}/neu{chance.random()}", os.urandom(100))
    check_complete(site)
    check_no_doubles(site)


WRAPPER = """\
#!/bin/sh
# git, but the writer's own ref transaction is killed at one of its renames.
case "$*" in
*update-ref*)
    [ -e {mark} ] && exec {git} "$@"
    : > {mark}
    exec strace -qq -f -o {log} -e trace=rename -e inject=rename:signal=KILL:when={nth} {git} "$@" ;;
esac
exec {git} "$@"
"""


@pytest.mark.needs("strace")
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_git_is_killed_between_each_pair_of_its_ref_renames(site: Site, nth: int, tmp_path: Path) -> None:
    """The journal moves first: recovery replays the refs that did not move any more."""
    site.write("f/s/a", "1")
    site.catch_up()
    # Or the daemon would make one first, and git would be killed in that.
    site.run("checkpoint")
    site.write("f/s/a", "2")
    wrapper = tmp_path / "bin" / "git"
    wrapper.parent.mkdir()
    log = tmp_path / "log"
    wrapper.write_text(WRAPPER.format(mark=tmp_path / "mark", log=log, nth=nth, git=shutil.which("git")))
    wrapper.chmod(0o755)
    before = set(site.git("for-each-ref").stdout.splitlines())
    env = {"PATH": f"{wrapper.parent}:{os.environ['PATH']}"}
    # The daemon is killed as well: nobody is there to mend anything.
    daemon = subprocess.Popen(
        [COMMAND, "--config", site.config, "run", "--settle", "0"],
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
    )
    while not (tmp_path / "mark").exists() or "killed by SIGKILL" not in (log.read_text() if log.exists() else ""):
        time.sleep(0.002)
    daemon.kill()
    daemon.wait()
    moved = {line.split("\t")[1] for line in set(site.git("for-each-ref").stdout.splitlines()) - before}
    order = ["refs/heads/journal", "refs/heads/filings/f/s", "refs/tags/f/s/v2"]
    renames = [line for line in log.read_text().splitlines() if "rename(" in line]
    assert len(renames) == nth
    assert [ref for ref in order if ref in moved][: nth - 1] == order[: nth - 1]
    check_complete(site)
    check_no_doubles(site)
    assert site.tags() == ["f/s/v2", "f/s/v1"]


@pytest.mark.needs("strace")
@pytest.mark.parametrize("syscall", ["fsync", "syncfs", "link", "openat", "write", "rename", "unlink"])
def test_the_whole_tree_of_processes_is_killed_at_a_syscall(site: Site, syscall: str) -> None:
    chance = random.Random(syscall)
    site.set("watch", "maximum_delay_seconds", 2)
    site.write("f/s/a", "1")
    site.catch_up()
    for _ in range(4):
        site.write("f/s/a", os.urandom(20))
        site.write("f/s/b", os.urandom(20))
        nth = chance.randrange(1, 60 if syscall in ("openat", "write") else 12)
        _strace(site, "-e", f"trace={syscall}", "-e", f"inject={syscall}:signal=KILL:when={nth}")
    check_complete(site)
    check_no_doubles(site)


def _strace(site: Site, *options: str) -> None:
    command = ["strace", "-qq", "-f", "-o", os.devnull, *options, COMMAND, "--config", site.config]
    subprocess.run(
        [*map(os.fspath, command), "run", "--once", "--settle", "0"],
        cwd=site.root,
        capture_output=True,
        timeout=60,
    )


def test_a_kill_after_the_commit_point_finishes_the_version(site: Site, tmp_path: Path) -> None:
    """Only the journal moved: the next writer moves branch and tag, and the version counts."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.write("f/s/a", "2")
    site.catch_up()
    off = [*UNGUARDED]
    site.git(*off, "update-ref", "refs/heads/filings/f/s", "f/s/v1^{commit}")
    site.git(*off, "update-ref", "-d", "refs/tags/f/s/v2")
    (site.archive / "lock").write_text("12345 (killed)")
    (site.repository / "refs/heads/filings/f/s.lock").write_text("")
    shutil.rmtree(site.archive / "index.db", ignore_errors=True)
    (site.archive / "index.db").unlink()
    done = site.run("run", "--once", "--settle", "0")
    assert "Completed after a crash" in done.stderr
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    check_complete(site)


def test_ctrl_c_ends_a_busy_daemon_cleanly(site: Site) -> None:
    fill(site, 300)
    for _ in range(3):
        daemon = site.start("--settle", "0")
        # Before that, Python itself ends it.
        wait_until(lambda: site.json("status")["daemon"])
        daemon.send_signal(signal.SIGINT)
        out, _ = daemon.communicate(timeout=20)
        assert daemon.returncode == 0, out
        assert "Traceback" not in out
    check_complete(site)
    check_no_doubles(site)


OTHERS = {Step.CONTENT_DESTROYED, Step.OBJECTS_PACKED, Step.REFS_PACKED, Step.PACKS_MERGED}


@pytest.mark.parametrize("step", [step for step in Step if step not in OTHERS])
def test_the_process_is_killed_at_each_named_step(site: Site, step: Step) -> None:
    """First at the first version of two submissions, then at a second one of both."""
    for round_ in "12":
        site.write("f/a/x", f"{round_} x")
        site.write("f/a/gone", "1") if round_ == "1" else (site.watch / "f/a/gone").unlink()
        site.write("f/b/y", f"{round_} y")
        killed_at(site, step)
        # If both submissions were in one batch, nothing may be left that comes to this step again.
        assert run_killed(site, step) in (-signal.SIGKILL, 0), step
        before = site.git("rev-parse", "journal").stdout
        site.catch_up()
        check_complete(site)
        assert site.git("merge-base", "--is-ancestor", before.strip(), "journal", check=False).returncode == 0
    check_no_doubles(site)
    assert sorted(site.tags()) == ["f/a/v1", "f/a/v2", "f/b/v1", "f/b/v2"]


@pytest.mark.parametrize("step", [Step.CONTENT_DURABLE, Step.REFS_MOVED, Step.INDEX_UPDATED])
@pytest.mark.parametrize("change", ["delete", "delete the folder", "become a folder", "rename", "move away"])
def test_what_is_deleted_after_a_kill_is_noticed(site: Site, step: Step, change: str) -> None:
    """The version is there, but the snapshot does not know of it yet; and now the file goes."""
    site.write("f/a/stays", "1")
    site.catch_up()
    site.write("f/a/子/c", "2")
    killed_at(site, step)
    target = site.watch / "f/a/子/c"
    if change == "delete the folder":
        shutil.rmtree(target.parent)
    elif change == "rename":
        os.rename(target, target.with_name("d"))
    elif change == "move away":
        os.renames(target, site.watch / "f/b/c")
    else:
        target.unlink()
    if change == "become a folder":
        target.mkdir()
    check_complete(site)
    check_no_doubles(site)


@pytest.mark.parametrize("step", [Step.REFS_DURABLE, Step.INDEX_UPDATED, Step.SNAPSHOT_SAVED])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_file_that_became_a_folder_leaves_both_submissions_right(site: Site, step: Step, nth: int) -> None:
    """Its name directly below the filing belongs to _common as a file, to a submission as a folder."""
    site.write("f/x", "a file")
    site.catch_up()
    (site.watch / "f/x").unlink()
    site.write("f/x/inside", "now a folder")
    (site.watch / "f/y").mkdir()
    # Both submissions may be in one batch, which then comes to each step once.
    assert run_killed(site, step, nth=nth) in (-signal.SIGKILL, 0 if nth == 2 else -signal.SIGKILL)
    check_complete(site)
    latest = {v["submission"]: v["tag"] for v in reversed(site.json("log"))}
    assert site.json("show", latest["_common"])["materials"] == []
    assert [m["path"] for m in site.json("show", latest["x"])["materials"]] == ["inside"]
    check_no_doubles(site)


def test_a_file_that_became_an_empty_folder_is_gone_from_common(site: Site) -> None:
    site.write("f/x", "a file")
    site.write("f/x2", "another")
    site.catch_up()
    (site.watch / "f/x").unlink()
    (site.watch / "f/x").mkdir()
    killed_at(site, Step.SNAPSHOT_SAVED)
    site.catch_up()
    assert [m["path"] for m in site.json("show", site.tags()[0])["materials"]] == ["x2"]
    site.catch_up()
    assert len(site.tags()) == 2
