"""How git is started: with GitPython where something is written, without it where nothing is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from archiver.errors import ConfigError, StorageError
from archiver.store.git.commands import GitCommands
from tests.support.site import Site

#: Runs a command in its own process, and prints what it imported although only writers and rare cases need it.
REPORTING = """
import sys
from archiver.cli.main import main
main(sys.argv[1:])
print(sys.modules.keys() & {"git", "ctypes", "difflib", "secrets", "shutil", "tempfile", "configparser"})
"""


@pytest.mark.needs("processes")
@pytest.mark.parametrize("words", [("log",), ("status",), ("show", "f/s/v1")], ids=lambda words: words[0])
def test_what_only_reads_imports_nothing_for_writers(site: Site, words: tuple[str, ...]) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    done = subprocess.run(
        [sys.executable, "-c", REPORTING, "--config", site.config, *words],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "set()", done


@pytest.mark.parametrize("words", [("cat-file", "--batch"), ("gc",)], ids=["reads", "writes"])
def test_without_git_it_says_so(site: Site, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    commands = GitCommands(site.repository)
    monkeypatch.setenv("PATH", os.fspath(site.root))
    with pytest.raises((ConfigError, StorageError), match=r"git is not installed|No such file|not found"):
        commands.run(*words)
    commands.close()


def test_a_repository_that_went_away_is_named(site: Site, tmp_path: Path) -> None:
    commands = GitCommands(site.repository)
    site.repository.rename(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"archive\.git"):
        commands.run("for-each-ref")
    commands.close()
