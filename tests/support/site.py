"""A site for tests: one watched folder, one archive, and the installed command."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from archiver.store.archive import Archive
from tests.support.forked_commands import command_server
from tests.support.journal_model import Commit, check_journal, read_journal
from tests.support.other_user import CHECKOUT
from tests.support.printed_names import PrintedNames
from tests.support.toml_text import dump_tables

SAMPLES = CHECKOUT / "sample_archive" / "materials"


#: Options for git typed by somebody who bypasses the guard: hooks in files, and hooks by configuration (git 2.54).
UNGUARDED = ("-c", "core.hooksPath=/dev/null", "-c", "hook.guard.command=true")
COMMAND = Path(sys.executable).parent / "archiver"

#: For the slowest command on a busy machine.
_TIMEOUT_SECONDS = 120


class Site:
    """A watched folder and its archive, driven through the installed command."""

    def __init__(self, root: Path, layout: str = "{filing}/{submission}") -> None:
        self._set_paths(root, root / "watched", root / "archive", root / "archiver.toml")
        self.watch.mkdir(parents=True, exist_ok=True)
        self.layout = layout

    @classmethod
    def at(cls, root: Path, *, watch: Path, archive: Path, config: Path) -> Site:
        """Return the site of an archive that exists; nothing is made."""
        site = cls.__new__(cls)
        site._set_paths(root, watch, archive, config)
        return site

    def _set_paths(self, root: Path, watch: Path, archive: Path, config: Path) -> None:
        self.root = root
        self.watch = watch
        self.archive = archive
        self.config = config
        self.repository = archive / "archive.git"
        self._printed_names = PrintedNames(archive)

    def init(self, *more: str) -> Site:
        arguments = ["init", "--archive", self.archive, "--watch", self.watch, "--layout", self.layout, *more]
        self.run(*arguments)
        return self

    def run(
        self, *arguments: object, code: int | None = 0, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        line = [COMMAND, "--config", self.config, *map(_argument, arguments)]
        environment = {**os.environ, **(env or {})}
        done = run_forked(line, self.root, stdin, environment) or subprocess.run(
            line,
            cwd=self.root,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
            input=stdin,
            timeout=_TIMEOUT_SECONDS,
            env=environment,
        )
        if code is not None:
            assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        for output in (done.stdout, done.stderr):
            self._printed_names.check_output(arguments, output)
        return done

    def configure(self, **tables: Mapping[str, Any]) -> None:
        """Set keys of the configuration: ``configure(retention={"years": 5}, filings={"推荐": {"pages": [...]}})``.

        Other keys stay, comments do not.
        """
        document = tomllib.loads(self.config.read_text("utf-8"))
        for name, changes in tables.items():
            table = document.setdefault(name, {})
            for key, value in changes.items():
                table[key] = {**table.get(key, {}), **value} if name == "filings" else value
        self.config.write_text(dump_tables(document), "utf-8")

    def set(self, section: str, key: str, value: object) -> None:
        lines = self.config.read_text(encoding="utf-8").splitlines()
        start = lines.index(f"[{section}]") + 1
        end = next((n for n in range(start, len(lines)) if lines[n].startswith("[")), len(lines))
        kept = [line for line in lines[start:end] if not line.startswith(f"{key} =")]
        lines[start:end] = [f"{key} = {value}", *kept]
        self.config.write_text("\n".join(lines) + "\n", encoding="utf-8")

    def json(self, *arguments: object, code: int | None = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def catch_up(self, settle: float = 0.05) -> subprocess.CompletedProcess[str]:
        return self.run("run", "--once", "--settle", settle)

    def write(self, path: str | bytes, data: bytes | str = b"content") -> Path:
        target = Path(os.fsdecode(os.fsencode(self.watch) + b"/" + os.fsencode(path)))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data.encode() if isinstance(data, str) else data)
        return target

    def tags(self) -> list[str]:
        return [version["tag"] for version in self.json("log")]

    def open(self) -> Archive:
        return Archive(self.archive)

    def git(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["git", "-c", f"safe.directory={self.repository}", f"--git-dir={self.repository}", *arguments],
            capture_output=True,
            text=True,
            check=check,
        )

    def events(self, action: str | None = None) -> list[dict[str, Any]]:
        """The members of both files of each event, or of those of one kind, the oldest first."""
        events = [{**commit.body, **commit.event} for commit in read_journal(self.repository)]
        return [event for event in events if action in (None, event["action"])]

    def check_journal(self, *, is_signed: bool = True) -> list[Commit]:
        """Assert what the model of the tests asserts of chains and heads."""
        return check_journal(self.repository, is_signed=is_signed)

    def verified(self) -> dict[str, Any]:
        report = self.json("verify")
        assert report["ok"]
        return report

    def forget_databases(self) -> None:
        """Remove what would show that the journal was another one before."""
        for name in ("index.db", "state.db"):
            (self.archive / name).unlink(missing_ok=True)

    def verified_notes(self) -> list[dict[str, str]]:
        """What verify notes of a whole archive besides the clocks, which some tests move back and forth."""
        return [note for note in self.verified()["notes"] if note["code"] != "note.system-clock-behind"]

    def findings(self) -> list[dict[str, str]]:
        return self.json("verify", code=5)["findings"]

    def start(self, *arguments: object, output: int | IO[str] = subprocess.PIPE) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [COMMAND, "--config", self.config, "run", *map(_argument, arguments)],
            cwd=self.root,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def run_forked(
    line: list[Any], directory: Path, stdin: str | None, environment: dict[str, str], shift: str = ""
) -> subprocess.CompletedProcess[str] | None:
    """Run a command in a quarter of the time, where that makes no difference; None where it might make one."""
    if os.environ.get("REAL_COMMANDS") or not command_server().accepts(environment):
        return None
    return command_server().run(
        line, cwd=directory, env=environment, stdin=stdin, timeout=_TIMEOUT_SECONDS, shift=shift
    )


def _argument(value: object) -> str | bytes:
    return value if isinstance(value, bytes) else str(value)


def wait_until(condition: Callable[[], object], seconds: float = 20) -> None:
    started_at = time.monotonic()
    while not condition():
        elapsed_seconds = time.monotonic() - started_at
        assert elapsed_seconds < seconds, "it did not happen in time"
        # A command as the condition takes the processor from what is waited for.
        time.sleep(0.05 if elapsed_seconds < 1 else 0.15 if elapsed_seconds < 5 else 0.5)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def open_the_way(folder: Path) -> None:
    """Let other users get as far as ``folder``, through pytest's own folders; never the system's."""
    top = Path(tempfile.gettempdir())
    for each in (folder, *folder.parents):
        if top not in each.parents:
            return
        each.chmod(0o755)


def tree(root: Path) -> dict[bytes, tuple[bytes | None, int]]:
    """Every file (bytes, mtime) and every folder (None) below ``root``."""
    found: dict[bytes, tuple[bytes | None, int]] = {}
    top = os.fsencode(root)
    for folder, folders, files in os.walk(top):
        for name in files:
            path = folder + b"/" + name
            if not stat.S_ISREG(os.lstat(path).st_mode):
                continue
            with open(path, "rb") as stream:
                found[path[len(top) + 1 :]] = (stream.read(), os.stat(path).st_mtime_ns)
        for name in folders:
            found[(folder + b"/" + name)[len(top) + 1 :]] = (None, 0)
    return found
