"""A forked command and the installed one cannot be told apart from outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.forked_commands import command_server
from tests.support.site import CHECKOUT, COMMAND, Site


def run_both(
    arguments: list[object], directory: Path, stdin: str | None = None
) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    line = [COMMAND, *arguments]
    forked = command_server().run(line, cwd=directory, env=os.environ, stdin=stdin, timeout=60)
    real = subprocess.run(
        [word if isinstance(word, bytes) else os.fspath(word) for word in line],  # type: ignore[call-overload]
        cwd=directory,
        input=stdin,
        capture_output=True,
        text=True,
        errors="surrogateescape",
    )
    return forked, real


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        ["no-such-command"],
        ["--lang", "zh", "log"],
        ["--config", "missing.toml", "status"],
        ["show", b"\xff/\xe6\x8e\xa8\xe8\x8d\x90"],
        ["dispose", "plan"],
        ["config", "show", "--json"],
    ],
)
def test_output_and_exit_code_are_the_same(site: Site, arguments: list[object]) -> None:
    forked, real = run_both(arguments, site.root)
    assert (forked.returncode, forked.stdout, forked.stderr) == (real.returncode, real.stdout, real.stderr)


def test_a_command_reads_its_input_and_its_directory(site: Site) -> None:
    elsewhere = site.root / "别处"
    elsewhere.mkdir()
    (elsewhere / "archiver.toml").write_text("no = toml =")
    forked, real = run_both(["config", "check"], elsewhere, stdin="y\n")
    assert forked.returncode == real.returncode != 0
    assert forked.stderr == real.stderr


def test_commands_run_at_the_same_time(site: Site) -> None:
    # Whoever waits for the lock does not keep the server from serving others.
    with closing(site.open()) as archive, archive.writing(wait_seconds=5):
        with pytest.raises(subprocess.TimeoutExpired):
            command_server().run(
                [COMMAND, "--config", site.config, "run", "--once"],
                cwd=site.root,
                env=os.environ,
                stdin=None,
                timeout=1,
            )
        site.run("log")


@pytest.mark.needs("processes")
def test_where_the_environment_matters_to_the_start_the_real_command_runs() -> None:
    server = command_server()
    assert server.accepts({**os.environ, "HOME": "/nowhere"})
    for name in ("LC_ALL", "LANGUAGE", "PATH", "LD_PRELOAD", "TZ", "PYTHONUTF8"):
        assert not server.accepts({**os.environ, name: "C"})


@pytest.mark.needs("processes")
def test_a_command_at_a_later_time_is_that_of_the_module_for_it(site: Site) -> None:
    later = [sys.executable, "-m", "tests.support.later", "400"]
    line = ["--config", site.config, "status", "--json"]
    real = json.loads(subprocess.run([*later, *line], cwd=CHECKOUT, capture_output=True, check=True).stdout)
    done = command_server().run(
        [COMMAND, *line], cwd=site.root, env=os.environ, stdin=None, timeout=20, shift="400"
    )
    forked = json.loads(done.stdout)
    now = site.json("status")
    assert forked["clock"]["time"][:10] == real["clock"]["time"][:10] != now["clock"]["time"][:10]
