"""The defaults of git 3, and repositories of another format than the archive's: see tests/git_three.py."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from archiver.errors import StorageProblem
from archiver.store.repository import Repository
from tests import git_three
from tests.conftest import CHECKOUT, SAMPLES, Site, wait_until


@pytest.fixture
def git_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_three.take_defaults(tmp_path / "git-3", monkeypatch)


def listing(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything below ``root`` with its mode, inode, time and bytes."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[os.fspath(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, data)
    return found


# --- the whole job under the defaults of git 3


@pytest.mark.usefixtures("git_3")
def test_everything_works_with_the_defaults_of_git_3(bare_site: Site) -> None:
    site = bare_site.init()
    assert "refs/heads/journal" in site.git("for-each-ref").stdout
    assert site.git("rev-parse", "--show-object-format").stdout == "sha1\n"
    shutil.copytree(SAMPLES, site.watch, dirs_exist_ok=True)
    site.catch_up()
    name = site.tags()[0].rpartition("/")[0]
    site.run("submit", name, "--on", "2026-03-20")
    site.write(f"{name}/新增.txt", "1")
    daemon = site.start("--settle", "0.1")
    wait_until(lambda: f"{name}/v2" in site.tags())
    daemon.send_signal(signal.SIGINT)
    out, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, out
    log = site.json("log")
    (site.archive / "index.db").unlink()
    site.run("reindex")
    assert site.json("log") == log
    site.run("maintain")
    site.run("checkpoint")
    site.run("diff", f"{name}/v1", f"{name}/v2")
    site.run("restore", f"{name}/v2", "--to", site.root / "back")
    assert (site.root / "back/新增.txt").read_text() == "1"
    site.run("drill")
    site.run("audit", "--to", "package")
    subprocess.run(
        ["git", "bundle", "list-heads", "package/data/repository/archive.bundle"], cwd=site.root, check=True
    )
    site.verified()


# --- what git made is looked at before anything is written over it

WRONG = {
    "reftable": r"printf '[extensions]\n\trefstorage = reftable\n' >> config",
    "sha256": r"printf '[extensions]\n\tobjectformat = sha256\n' >> config",
    "version": r"printf '[core]\n\trepositoryformatversion = 2\n' >> config",
    "unknown": r"printf '[extensions]\n\tcolour = blue\n' >> config",
    "head": "echo 'ref: refs/heads/.invalid' > HEAD",
    "nothing": "rm HEAD",
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_repository_of_another_format_is_refused_and_removed(
    bare_site: Site, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_three.change_what_is_made(bare_site.root / "bin", change, monkeypatch)
    before = listing(bare_site.root)
    arguments = ["init", "--archive", bare_site.archive, "--watch", bare_site.watch]
    done = bare_site.run(*arguments, code=8)
    assert "another format" in done.stderr
    assert str(bare_site.archive) in done.stderr
    after = listing(bare_site.root)
    assert after.keys() == before.keys()


@pytest.mark.parametrize("change", [WRONG["reftable"], "exit 1"], ids=["wrong", "failed"])
def test_no_half_made_repository_stays(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    git_three.change_what_is_made(tmp_path / "bin", change, monkeypatch)
    with pytest.raises(StorageProblem):
        Repository.begin(tmp_path / "archive.git")
    assert os.listdir(tmp_path) == ["bin"]
