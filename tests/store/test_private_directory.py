"""Git obeys settings in a directory of this process alone, which comes and goes without a trace."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from archiver.errors import StorageError
from archiver.store.git import private_directory
from archiver.store.git.private_directory import PrivateDirectory
from archiver.store.git.repository import JOURNAL, Repository
from tests.support.site import CHECKOUT, Site, wait_until


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Private directories of this test alone."""
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(private_directory, "_MEMORY_FOLDER", os.fspath(folder))
    yield folder
    assert list(folder.iterdir()) == []


def test_it_is_made_at_the_first_use_and_removed_at_the_end(own_folder: Path) -> None:
    with closing(PrivateDirectory()) as directory:
        assert list(own_folder.iterdir()) == []
        path = Path(directory.path())
        assert path.parent == own_folder
        assert path.stat().st_mode & 0o777 == 0o700
        assert directory.path() == os.fspath(path)
    assert not path.exists()


@pytest.mark.parametrize("lost", ["HEAD", "config", "refs", "packed-refs", ""])
def test_it_is_made_again_when_a_cleaner_took_a_part_of_it(lost: str) -> None:
    with closing(PrivateDirectory()) as directory:
        path = Path(directory.path())
        if lost:
            (path / lost).unlink()
        else:
            shutil.rmtree(path)
        assert not directory.is_intact()
        assert Path(directory.path(), "refs").is_symlink()
        assert directory.is_intact()


@pytest.mark.needs("processes")
def test_what_a_killed_process_left_is_removed_by_the_next_one(own_folder: Path) -> None:
    code = (
        "import os, sys\n"
        "from archiver.store.git import private_directory\n"
        "private_directory._MEMORY_FOLDER = sys.argv[1]\n"
        "directory = private_directory.PrivateDirectory()\n"
        "print(directory.path(), flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, own_folder]
    child = subprocess.Popen(command, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    path = Path(child.stdout.readline().strip())
    with closing(PrivateDirectory()) as directory:
        directory.path()
        assert path.exists(), "its process lives"
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert path.exists()
    with closing(PrivateDirectory()) as directory:
        directory.path()
    assert not path.exists()


def test_without_the_folder_in_memory_the_temporary_folder_serves(
    own_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private_directory, "_MEMORY_FOLDER", "/nonexistent")
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(tmp_path))
    with closing(PrivateDirectory()) as directory:
        assert Path(directory.path()).parent == tmp_path


def test_without_any_folder_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_directory, "_MEMORY_FOLDER", "/nonexistent")
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent/either")
    with pytest.raises(StorageError, match=r"Cannot create a temporary folder for git .*TMPDIR"):
        PrivateDirectory().path()


def test_a_ref_is_not_missing_because_the_directory_is(site: Site) -> None:
    """A cleaner of temporary files must not make the journal look empty."""
    with closing(Repository(site.repository)) as repository:
        tip = repository.resolve(JOURNAL)
        assert tip is not None
        subprocess.run(["rm", "-r", repository.commands._directory.path()], check=True)
        assert repository.resolve(JOURNAL) == tip


def test_the_repository_may_be_moved_while_git_works_in_it(site: Site) -> None:
    """Refs and objects are those of the folder that git works in, and nothing appears where it was."""
    with closing(Repository(site.repository)) as repository:
        tip = repository.resolve(JOURNAL)
        away = site.root / "away"
        site.archive.rename(away)
        assert repository.resolve(JOURNAL) == tip
        assert not site.archive.exists()
        away.rename(site.archive)


def test_a_command_leaves_nothing_behind(site: Site, tmp_path: Path) -> None:
    """In a folder of this test: tests beside it have directories of their own in the usual one."""
    memory = tmp_path / "own"
    memory.mkdir(mode=0o700)
    code = (
        f"import archiver.store.git.private_directory as p; p._MEMORY_FOLDER = {os.fspath(memory)!r}\n"
        "from archiver.cli.main import run; run()"
    )
    command = [sys.executable, "-c", code, "--config", os.fspath(site.config)]
    site.write("f/s/a", "1")
    for arguments in (["run", "--once", "--settle", "0"], ["verify"]):
        subprocess.run([*command, *arguments], check=True, capture_output=True)
    daemon = subprocess.Popen([*command, "run", "--settle", "0"], stdout=subprocess.DEVNULL)
    wait_until(lambda: site.json("status")["daemon"])
    wait_until(lambda: list(memory.iterdir()))
    daemon.terminate()
    assert daemon.wait(timeout=20) == 0
    assert list(memory.iterdir()) == []
