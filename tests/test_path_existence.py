"""Nothing there, and not allowed to look: two answers, on every Python."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import archiver
from archiver.audit import package
from archiver.documents.cache import DocumentCache
from archiver.path_existence import is_folder, is_plain_file, is_there
from tests.support.site import Site
from tests.support.syntax_trees import nodes_of_module

#: Root may look everywhere; without these capabilities it is kept out as anybody else is.
WITHOUT_OVERRIDE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search"]  # fmt: skip

#: What pathlib answers from Python 3.14 on, for the versions before.
AS_IN_3_14 = """
import os, pathlib, sys
pathlib.Path.exists = lambda self, **_: os.path.exists(self)
pathlib.Path.is_dir = lambda self, **_: os.path.isdir(self)
pathlib.Path.is_file = lambda self, **_: os.path.isfile(self)
from archiver.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def closed(tmp_path: Path) -> Iterator[Path]:
    """A folder that tests close to everybody; opened again, so that it can be removed."""
    folder = tmp_path / "closed"
    folder.mkdir()
    yield folder
    folder.chmod(0o700)


def as_stranger(
    site: Site, *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as somebody whom closed folders keep out."""
    before = WITHOUT_OVERRIDE if os.geteuid() == 0 else []
    done = subprocess.run(
        [*before, sys.executable, "-c", AS_IN_3_14, *map(str, arguments)],
        cwd=cwd or site.root,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.fspath(Path(archiver.__file__).parents[1]), **(env or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done


def is_told_of(done: subprocess.CompletedProcess[str], path: Path) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == 8, said
    assert f"{path}" in done.stderr
    assert "Permission denied" in done.stderr
    for lie in ("There is no archive", "does not exist", "is missing", "Cannot find archiver.toml"):
        assert lie not in said


COMMANDS = [["status"], ["log"], ["verify"], ["run", "--once"], ["run"], ["submit", "f/s", "--on", "2026-01-01"],
            ["maintain"], ["reindex"], ["audit", "--to", "package"]]  # fmt: skip


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0] + "--once" * ("--once" in words))
def test_an_archive_in_a_closed_folder_is_not_taken_for_none(
    closed: Path, tmp_path: Path, command: list[str]
) -> None:
    site = Site(tmp_path / "site")
    site.archive = closed / "archive"
    site.init()
    closed.chmod(0)
    is_told_of(as_stranger(site, "--config", site.config, *command), site.archive)


@pytest.mark.needs("setpriv")
def test_nor_is_a_repository_that_is_closed(site: Site) -> None:
    site.repository.chmod(0)
    try:
        is_told_of(as_stranger(site, "--config", site.config, "log"), site.repository)
    finally:
        site.repository.chmod(0o700)


@pytest.mark.needs("setpriv")
@pytest.mark.parametrize("way", ["option", "environment", "current folder"])
@pytest.mark.parametrize("what", ["its folder", "the file"])
def test_a_configuration_that_is_closed_is_not_taken_for_none(
    site: Site, closed: Path, way: str, what: str
) -> None:
    moved = site.config.rename(closed / "archiver.toml")
    shut = closed if what == "its folder" else moved
    shut.chmod(0)
    arguments = ["--config", moved] if way == "option" else []
    env = {"ARCHIVER_CONFIG": os.fspath(moved)} if way == "environment" else {}
    done = as_stranger(site, *arguments, "log", env=env, cwd=closed if way == "current folder" else None)
    is_told_of(done, Path("archiver.toml") if way == "current folder" else moved)


@pytest.mark.needs("setpriv")
def test_init_tells_a_closed_folder_from_none(bare_site: Site, closed: Path) -> None:
    site = bare_site
    (closed / "watched").mkdir()
    line = ["--config", site.config, "init", "--archive"]
    closed.chmod(0)
    is_told_of(as_stranger(site, *line, site.archive, "--watch", closed / "watched"), closed / "watched")
    is_told_of(as_stranger(site, *line, closed / "archive", "--watch", site.watch), closed / "archive")
    there = ["--config", closed / "archiver.toml", "init", "--archive", site.archive, "--watch", site.watch]
    is_told_of(as_stranger(site, *there), closed / "archiver.toml")
    closed.chmod(0o700)
    assert os.listdir(closed) == ["watched"]
    assert os.listdir(site.root) == ["watched"]


@pytest.mark.needs("setpriv")
def test_a_watched_folder_that_is_closed_is_not_missing(closed: Path, tmp_path: Path) -> None:
    site = Site(tmp_path / "site")
    site.watch = closed / "watched"
    site.watch.mkdir()
    site.init()
    closed.chmod(0)
    is_told_of(as_stranger(site, "--config", site.config, "status"), site.watch)


# --- the questions themselves


@pytest.mark.needs("setpriv")
def test_what_may_not_be_looked_at_is_an_error(closed: Path) -> None:
    (closed / "file").write_text("x")
    code = """
import sys
from pathlib import Path
from archiver import path_existence
for ask in (path_existence.is_there, path_existence.is_folder, path_existence.is_plain_file):
    try:
        print(ask(Path(sys.argv[1])))
    except PermissionError as error:
        print(error.filename)
"""
    closed.chmod(0)
    before = WITHOUT_OVERRIDE if os.geteuid() == 0 else []
    env = {**os.environ, "PYTHONPATH": os.fspath(Path(archiver.__file__).parents[1])}
    line = [*before, sys.executable, "-c", code, closed / "file"]
    out = subprocess.run(line, capture_output=True, text=True, check=True, env=env).stdout
    assert out == f"{closed / 'file'}\n" * 3


def test_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "to-file").symlink_to("file")
    (tmp_path / "to-folder").symlink_to(tmp_path)
    (tmp_path / "to-nothing").symlink_to("gone")
    (tmp_path / "to-itself").symlink_to("to-itself")
    os.mkfifo(tmp_path / "pipe")
    there = {name: (is_there(tmp_path / name), is_folder(tmp_path / name), is_plain_file(tmp_path / name))
             for name in ("", "file", "to-file", "to-folder", "to-nothing", "to-itself", "pipe", "gone", "file/x")}  # fmt: skip
    assert there == {
        "": (True, True, False),
        "file": (True, False, True),
        "to-file": (True, False, True),
        "to-folder": (True, True, False),
        "to-nothing": (False, False, False),
        "to-itself": (False, False, False),
        "pipe": (True, False, False),
        "gone": (False, False, False),
        "file/x": (False, False, False),
    }
    assert all(is_there(tmp_path / name, follow_links=False) for name in ("to-nothing", "to-itself"))
    assert not is_folder(tmp_path / "to-folder", follow_links=False)
    assert not is_there(tmp_path / "gone", follow_links=False)


def test_what_cannot_be_listed_is_not_passed_over(tmp_path: Path) -> None:
    """As Path.glob does; a link to itself stands for a folder that the disk does not give any more."""
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "ab").symlink_to("ab")
    with pytest.raises(OSError, match="symbolic links"):
        DocumentCache(tmp_path).remove_entries(["ab" * 32])
    DocumentCache(tmp_path).remove_entries(["cd" * 32])
    DocumentCache(tmp_path / "none").remove_entries(["ab" * 32])
    with pytest.raises(OSError, match="symbolic links"):
        package._write_zip(tmp_path / "documents", tmp_path / "documents.zip", "documents")


#: Each answers False where it may not look: os.path on every Python, pathlib from 3.14 on.
SWALLOWING = {"exists", "lexists", "is_dir", "is_file", "is_symlink", "is_mount", "is_fifo", "is_socket",
              "is_block_device", "is_char_device", "isdir", "isfile", "islink", "ismount"}  # fmt: skip
SOURCES = [path for path in sorted(Path(archiver.__file__).parent.rglob("*.py")) if "resources" not in path.parts]


def test_no_question_swallows_its_error() -> None:
    """Ask with archiver.path_existence; an entry of os.scandir has a kind of its own, and is asked without links."""
    found = [f"{path}:{node.lineno}" for path in SOURCES for node in nodes_of_module(path)
             if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SWALLOWING
             and [each.arg for each in node.keywords] != ["follow_symlinks"]]  # fmt: skip
    assert found == []
