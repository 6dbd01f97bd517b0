"""Ctrl-C at whatever moment: 130 and no traceback, and what had begun is undone or finished."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_bad_input import damage_index_inside
from tests.cli.test_init import entries, words
from tests.support.site import COMMAND, Site

#: Presses Ctrl-C at one of the steps after our first line; only ``sys`` and ``os`` are there before it.
#: Until Python has read that line nobody can handle anything: see archiver/__main__.py.
PRESSED = """
import os, sys
form, kind, left = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.argv[:4] = [form]
import runpy
has_begun = False
def hook(event, arguments):
    global has_begun, left
    has_begun = has_begun or (event == "import" and arguments[0] == "archiver.keyboard_interrupt")
    if has_begun and event == kind:
        left -= 1
        if left == 0:
            os.kill(os.getpid(), 2)
sys.addaudithook(hook)
if form == "-m":
    runpy.run_module("archiver", run_name="__main__", alter_sys=True)
else:
    runpy.run_path(form, run_name="__main__")
"""
FORMS = [os.fspath(COMMAND), "-m"]


def press(
    site: Site, form: str, kind: str, at: int, *arguments: object, before: Callable[[], object] | None = None
) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", PRESSED, form, kind, str(at), "--config", site.config, *arguments]
    done = subprocess.run(
        list(map(str, line)), cwd=site.root, capture_output=True, text=True, timeout=60, preexec_fn=before
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said, said
    assert "KeyboardInterrupt" not in said, said
    return done


@pytest.mark.parametrize("form", FORMS, ids=["installed", "module"])
@pytest.mark.parametrize("once", [True, False], ids=["once", "daemon"])
def test_run_ends_quietly_while_it_imports(site: Site, form: str, once: bool) -> None:
    site.write("f/s/a", "1")
    more = ["--once", "--settle", "0"] if once else []
    for at in (*range(1, 12), 15, 20, 30, 50, 80, 120, 160, 200, 240):
        assert press(site, form, "import", at, "run", *more).returncode == 130, at
    if once:
        # Imports within the work: it is brought to an end, or was at its end.
        assert {press(site, form, "import", at, "run", *more).returncode for at in range(280, 560, 40)} <= {0, 130}
    site.catch_up()
    site.verified()


def test_the_rebuild_of_a_damaged_index_is_interrupted_quietly(site: Site) -> None:
    """The first database is the damaged index, which the command opens; the next is made by the rebuild."""
    site.write("f/s/a", "1")
    site.catch_up()
    damage_index_inside(site)
    for at in (2, 3):
        assert press(site, FORMS[0], "sqlite3.connect", at, "log").returncode == 130, at
    site.run("log")
    site.verified()


@pytest.mark.parametrize("form", FORMS, ids=["installed", "module"])
def test_what_has_begun_is_undone(bare_site: Site, form: str) -> None:
    before = entries(bare_site.root)
    for kind in ("os.mkdir", "subprocess.Popen", "os.rename"):
        done = press(bare_site, form, kind, 2, *words(bare_site)[2:])
        assert done.returncode == 130, done.stdout + done.stderr
        assert entries(bare_site.root) == before
    bare_site.run(*words(bare_site)[2:])


def test_the_first_git_may_be_meant_too(site: Site) -> None:
    """A terminal interrupts every process of the command; a git that dies of it is not a git that is missing."""
    path = site.root / "bin"
    path.mkdir()
    git = path / "git"
    git.write_text(f'#!/bin/sh\n[ "$1" != version ] || kill -INT $$\nexec {shutil.which("git")} "$@"\n')
    git.chmod(0o755)
    site.run("log", env={"PATH": f"{path}:{os.environ['PATH']}"})


def test_who_was_started_in_the_background_is_not_interrupted(site: Site) -> None:
    """A shell ignores the signal for what a script starts with &."""
    site.write("f/s/a", "1")
    ignored = lambda: signal.signal(signal.SIGINT, signal.SIG_IGN)  # noqa: E731
    done = press(site, FORMS[0], "import", 50, "log", "--json", before=ignored)
    assert done.returncode == 0, done.stderr


def test_what_a_command_came_to_stays_while_python_ends(site: Site) -> None:
    """Pressed when nothing is left to do, it neither changes the outcome nor prints anything."""
    code = """
import atexit, os, sys
atexit.register(lambda: os.kill(os.getpid(), 2))
from archiver.__main__ import run
run()
"""
    line = [sys.executable, "-c", code, "--config", site.config, "show", "f/s/v9"]
    done = subprocess.run(list(map(str, line)), cwd=site.root, capture_output=True, text=True)
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_python_shuts_down_leaves_the_exit_code(site: Site, tmp_path: Path) -> None:
    """Python deletes its built-in names at the very end, after it has set the signal's default action."""
    script = tmp_path / "pressed_late.py"
    script.write_text(
        "import builtins, os, signal\n"
        "class PressesCtrlC:\n"
        "    def __del__(self, press=os.kill, pid=os.getpid(), number=signal.SIGINT): press(pid, number)\n"
        "builtins.deleted_last = PressesCtrlC()\n"
        "from archiver.__main__ import run\n"
        "run()\n"
    )
    for arguments, exit_code in ((["status"], 0), (["show", "f/s/v1"], 7)):
        command = [sys.executable, script, "--config", site.config, *arguments]
        assert subprocess.run(command, capture_output=True).returncode == exit_code
