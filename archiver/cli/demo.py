"""``archiver demo``: the whole job on sample materials, with the real commands."""

from __future__ import annotations

import filecmp
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

from archiver.cli.session import Session, command
from archiver.errors import ArchiverError, LazyMessage, UsageError
from archiver.existence import is_folder, is_plain_file

_SETTLE = "1"


class DemoFailed(ArchiverError):
    """A step of the demo went wrong."""

    code = "demofailed"


@command("Run the whole job on sample materials in a scratch folder.")
@click.option("--materials", metavar="DIR", help="Else sample_archive/materials of the checkout.")
@click.option("--to", "scratch", metavar="DIR", help="A new folder to work in; else one in the temporary folder.")
def demo_command(session: Session, materials: str | None, scratch: str | None) -> None:
    source = Path(materials) if materials else Path("sample_archive/materials")
    if not is_folder(source):
        raise UsageError(
            "There are no sample materials at {path}. Nothing was done. Run this in a checkout, or name a folder "
            "with FILING/SUBMISSION below it with --materials DIR.",
            path=source,
        )
    folder = Path(scratch) if scratch else Path(tempfile.mkdtemp(prefix="archiver-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    _Demo(session, source.resolve(), folder.resolve()).run()


class _Demo:
    def __init__(self, session: Session, source: Path, folder: Path) -> None:
        self._console = session.console
        self._source = source
        self._folder = folder
        self._watch = folder / "watched"
        self._step = 0

    def run(self) -> None:
        """Show every step in order, with the daemon stopped at the end whatever happens."""
        self._say("Make an archive for an empty watched folder.")
        self._watch.mkdir()
        self._archiver("init", "--archive", "archive", "--watch", "watched")
        self._say("Start the daemon, and copy the materials in while it runs.")
        daemon = subprocess.Popen([*self._command(), "run", "--settle", _SETTLE], cwd=self._folder)
        try:
            self._work_beside_daemon()
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait(timeout=20)
        self._say("Check everything, independently of the code that wrote it.")
        self._archiver("verify")
        self._say("Write the inspection package for a stranger.")
        self._archiver("audit", "--to", "inspection")
        self._console.say("")
        self._console.say("Done. Everything lies in {path}:", path=self._folder)
        for name in ("watched", "archive", "restored", "inspection/report.html", "archiver.toml"):
            self._console.line(f"  {name}")

    def _work_beside_daemon(self) -> None:
        """Copy, submit, edit, try to delete, and restore, while the daemon captures.

        Raises DemoFailed if any step does anything else than shown.
        """
        for filing in sorted(self._source.iterdir()):
            shutil.copytree(filing, self._watch / filing.name)
        submissions = sorted(path for path in self._watch.glob("*/*") if is_folder(path))
        self._wait_for_versions(len(submissions))
        first = submissions[0]
        name = f"{first.parent.name}/{first.name}"
        original = sorted(path for path in first.iterdir() if is_plain_file(path))[0]
        submitted_copy = self._folder / "as-handed-in"
        shutil.copy2(original, submitted_copy)
        self._say("Hand the first submission in: its version is sealed.")
        self._archiver("submit", name, "--on", "2026-03-20")
        self._say("Two edits afterwards: each becomes a version of its own.")
        for number in (1, 2):
            with open(original, "ab") as stream:
                stream.write(b"\n% edited\n" * number)
            self._wait_for_versions(len(submissions) + number)
        self._archiver("log", first.parent.name)
        self._archiver("status")
        self._say("Try to delete what was handed in: refused, with the date.")
        self._archiver("dispose", "plan", f"{name}/submitted", expect=4)
        self._try_to_delete_tag(f"{name}/v1")
        self._say("Bring the version that was handed in back, and compare it.")
        self._archiver("restore", f"{name}/submitted", "--to", "restored")
        if not filecmp.cmp(submitted_copy, self._folder / "restored" / original.name, shallow=False):
            raise DemoFailed("The restored file differs from the one that was handed in.")
        self._console.say("{name} is byte for byte what was handed in.", name=original.name)

    def _try_to_delete_tag(self, tag: str) -> None:
        """Let git try to delete a tag; raises DemoFailed unless it was the archive's guard that refused."""
        repository = self._folder / "archive" / "archive.git"
        git_command = ["git", *self._hooks_option(repository), "--git-dir=archive/archive.git", "tag", "-d", tag]
        self._console.line(f"$ {shlex.join(git_command)}")
        result = subprocess.run(git_command, cwd=self._folder, stderr=subprocess.PIPE, check=False)
        error_text = result.stderr.decode("utf-8", "surrogateescape").strip()
        for line in error_text.splitlines():
            self._console.line(line)
        if result.returncode == 0:
            raise DemoFailed("git deleted a tag of the archive.")
        # Any other trouble of git's ends with a code too, and shows nothing.
        if f"archiver: deletion of refs/tags/{tag} is refused" not in error_text:
            raise DemoFailed(
                "git failed, but it was not the archive's guard that refused: {reason}", reason=error_text
            )

    def _hooks_option(self, repository: Path) -> list[str]:
        """Return what the command needs for git to run the archive's hooks, which is nothing as a rule."""
        from archiver.store.git.repository import Repository

        setting = Repository(repository).outer_hooks_path()
        if setting is None:
            return []
        self._console.say(
            "Your git settings say core.hooksPath = {path}: git then runs the hooks there and not the archive's, "
            "which guard it. The demo names the archive's own.",
            path=setting.value,
        )
        return ["-c", f"core.hooksPath={repository / 'hooks'}"]

    def _wait_for_versions(self, count: int) -> None:
        """Wait until the archive has so many versions; raises DemoFailed after 40 seconds."""
        import json

        for _ in range(200):
            out = subprocess.run(
                [*self._command(), "log", "--json"], cwd=self._folder, capture_output=True, check=True
            )
            if len(json.loads(out.stdout)) >= count:
                return
            time.sleep(0.2)
        raise DemoFailed("The daemon did not archive the materials in time.")

    def _archiver(self, *arguments: str, expect: int = 0) -> None:
        self._console.line(f"$ archiver {shlex.join(arguments)}")
        sys.stdout.flush()
        code = subprocess.run([*self._command(), *arguments], cwd=self._folder, check=False).returncode
        if code != expect:
            raise DemoFailed("archiver {name} ended with {code}.", name=arguments[0], code=code)
        if code:
            self._console.say("(exit code {code}, as it should be)", code=code)

    def _command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "archiver",
            "--lang",
            self._console.lang,
            "--config",
            os.fspath(self._folder / "archiver.toml"),
        ]

    def _say(self, template: str) -> None:
        self._step += 1
        self._console.say("")
        self._console.say("Step {number}. {text}", number=self._step, text=LazyMessage(template))
        sys.stdout.flush()
