"""The program before format 2, run on an archive of format 2, shows and restores versions and writes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.site import CHECKOUT, Site
from tests.test_golden import unpacked

pytestmark = pytest.mark.needs("processes")

#: A commit of release 0.1.0, which has no guard against newer formats.
OLDER_COMMIT = "2e4fd1f02754d1b3ea83bef25b6fe380f72d0c3b"
#: What writes, or would after this release's own repairs.
WRITING = [
    ["run", "--once"],
    ["submit", "推荐/首次", "--on", "2026-11-01"],
    ["hold", "place", "调查", "推荐", "--reason", "x"],
    ["checkpoint"],
    ["dispose", "plan"],
    ["key", "rotate", "--reason", "x"],
    ["filing", "end", "推荐", "--reason", "x"],
    ["reindex"],
    ["maintain"],
]


@pytest.fixture(scope="module")
def older_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of that commit, in a folder for itself."""
    folder = tmp_path_factory.mktemp("older")
    history = subprocess.Popen(
        ["git", "-C", CHECKOUT, "archive", OLDER_COMMIT, "archiver"], stdout=subprocess.PIPE
    )
    subprocess.run(["tar", "-x", "-C", folder], stdin=history.stdout, check=True)
    assert history.stdout is not None
    history.stdout.close()
    assert history.wait() == 0, "the checkout has no history"
    return folder


@pytest.fixture(scope="module", params=["upgraded", "new"])
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Site:
    if request.param == "upgraded":
        site = unpacked(tmp_path_factory.mktemp("upgraded") / "golden")
        site.run("upgrade")
    else:
        site = Site(tmp_path_factory.mktemp("new") / "site").init()
    site.write("推荐/首次/算法.txt", "新的内容")
    site.catch_up()
    return site


def run_older(older_program: Path, site: Site, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "archiver", "--config", site.config, *arguments],
        cwd=site.root,
        env={**os.environ, "PYTHONPATH": os.fspath(older_program)},
        capture_output=True,
        text=True,
    )


def contents(site: Site) -> dict[str, bytes]:
    """Every file that holds or proves something; locks name who held them last, databases are derived."""
    return {
        os.fspath(path.relative_to(site.archive)): path.read_bytes()
        for path in sorted(site.archive.rglob("*"))
        if path.is_file() and path.suffix not in (".db", ".db-wal", ".db-shm") and "lock" not in path.name
    }


def test_it_is_the_older_program_that_runs(older_program: Path, site: Site) -> None:
    found = subprocess.run(
        [sys.executable, "-c", "import archiver; print(archiver.__file__)"],
        cwd=site.root,
        env={**os.environ, "PYTHONPATH": os.fspath(older_program)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.startswith(os.fspath(older_program))


@pytest.mark.parametrize("arguments", WRITING, ids=lambda words: words[0])
def test_it_writes_nothing(older_program: Path, site: Site, arguments: list[str]) -> None:
    before = contents(site)
    done = run_older(older_program, site, *arguments)
    assert done.returncode != 0, done.stdout + done.stderr
    assert contents(site) == before


def test_this_release_goes_on_afterwards(older_program: Path, site: Site) -> None:
    run_older(older_program, site, "run", "--once")
    site.verified()
    site.write("推荐/首次/后来.txt", "后来的内容")
    site.catch_up()
    site.verified()
