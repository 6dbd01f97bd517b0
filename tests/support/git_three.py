"""A git with the defaults that git announced for its version 3, and one that makes something else than it is told.

git before 2.47 passes over the formats; what else is set counts for each git that archiver runs with.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

#: As git's Documentation/BreakingChanges.adoc has them.
DEFAULTS = {
    "init.defaultRefFormat": "reftable",
    "init.defaultObjectFormat": "sha256",
    "init.defaultBranch": "main",
    "safe.bareRepository": "explicit",
}


#: For a clone that becomes an archive, as the manual has it.
IN_FILES = ("-c", "init.defaultRefFormat=files")


def put_first(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``script`` be what is found as ``git``, also by what git starts; in it, ``$GIT`` is the real one."""
    folder.mkdir(mode=0o755)
    real = shutil.which("git")
    assert real is not None
    # git puts this folder of its own before everything else in PATH.
    core = Path(subprocess.run([real, "--exec-path"], capture_output=True, text=True, check=True).stdout.strip())
    (folder / "core").mkdir()
    for each in core.iterdir():
        (folder / "core" / each.name).symlink_to(each if each.name != "git" else "../git")
    stand_in = folder / "git"
    head = f"#!/bin/sh\nGIT={shlex.quote(real)}\nexport GIT_EXEC_PATH={shlex.quote(os.fspath(folder / 'core'))}\n"
    stand_in.write_text(f"{head}{script}\n", "utf-8")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def take_defaults(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every git the defaults of git 3, as if they were compiled in: every setting of anybody overrules them.

    Where nothing but the settings of the command counts, they stand first among these.
    """
    words = shlex.join(word for each in DEFAULTS.items() for word in ("-c", "=".join(each)))
    settings = folder / "system"
    script = f"""\
[ -z "$GIT_CONFIG_NOSYSTEM" ] || exec "$GIT" {words} "$@"
GIT_CONFIG_SYSTEM={shlex.quote(os.fspath(settings))} exec "$GIT" "$@"
"""
    put_first(folder, script, monkeypatch)
    sections = ("[{0[0]}]\n\t{0[1]} = {1}\n".format(key.split("."), value) for key, value in DEFAULTS.items())
    settings.write_text("".join(sections), "ascii")
    settings.chmod(0o644)


def change_what_is_made(folder: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``git init`` be followed by the commands ``change``, in what it made."""
    script = f"""\
"$GIT" "$@" || exit
for word; do [ "$word" != init ] || {{ {change}; }}; done"""
    put_first(folder, script, monkeypatch)
