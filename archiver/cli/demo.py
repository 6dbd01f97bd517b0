"""``archiver demo``: show the work of archiver on sample materials, with the real commands."""

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
from archiver.errors import ArchiverError, LazyMessage, RetentionRefused, UsageError
from archiver.path_existence import is_folder, is_plain_file

#: The quiet period of the daemon, in seconds.  With a shorter period, the files of one step could become two
#: versions.  With a longer period, the demo is slow.
_SETTLE_SECONDS = "1"
#: The day of submission that the demo records; any day in the past is possible.
_SUBMISSION_DAY = "2026-03-20"
#: Time for the daemon to finish its work after Ctrl-C.
_STOP_TIMEOUT_SECONDS = 20
#: Pause between two polls for new versions.
_POLL_SECONDS = 0.2
#: Number of polls before the demo gives up.  All polls take at least 40 seconds, enough for a slow machine.
_MAX_POLLS = 200


class DemoFailed(ArchiverError):
    """A step of the demo did not have the result that was announced."""

    code = "demofailed"


@command("Demonstrate every step on sample files in a scratch folder.")
@click.option(
    "--materials",
    metavar="DIR",
    help=("Folder of sample files (default: sample_archive/materials of the source checkout)."),
)
@click.option("--to", "scratch", metavar="DIR", help="New work folder (default: a temporary folder).")
def demo_command(session: Session, materials: str | None, scratch: str | None) -> None:
    """Run the demo in a scratch folder, which stays, so that the user can look at the results.

    Raises UsageError if the folder of sample materials does not exist, DemoFailed if a step goes wrong.
    """
    sample_folder = Path(materials) if materials else Path("sample_archive/materials")
    if not is_folder(sample_folder):
        raise UsageError(
            "The sample folder {path} does not exist. Nothing was changed. Run this in a source checkout, or "
            "name a folder that contains FILING/SUBMISSION folders with --materials DIR.",
            path=sample_folder,
        )
    scratch_folder = Path(scratch) if scratch else Path(tempfile.mkdtemp(prefix="archiver-demo-"))
    scratch_folder.mkdir(parents=True, exist_ok=True)
    _Demo(session, sample_folder.resolve(), scratch_folder.resolve()).run()


class _Demo:
    """A demonstration that runs the real commands in child processes, and prints each command."""

    def __init__(self, session: Session, sample_folder: Path, scratch_folder: Path) -> None:
        """Prepare a demo that copies materials from ``sample_folder``, and writes only to ``scratch_folder``.

        Both folders must exist, and both paths must be absolute.
        """
        self._console = session.console
        self._sample_folder = sample_folder
        self._scratch_folder = scratch_folder
        self._watched_folder = scratch_folder / "watched"
        self._step_number = 0

    def run(self) -> None:
        """Perform every step in order, and print the paths of the results.

        Raises DemoFailed if a step does not have the announced result.  The daemon is stopped even then, and the
        scratch folder stays.
        """
        self._announce_step("Create an archive for an empty watched folder.")
        self._watched_folder.mkdir()
        self._run_archiver("init", "--archive", "archive", "--watch", "watched")
        self._announce_step("Start the service, and copy files to the watched folder while the service runs.")
        daemon = subprocess.Popen(
            [*self._make_archiver_command(), "run", "--settle", _SETTLE_SECONDS], cwd=self._scratch_folder
        )
        try:
            self._demonstrate_with_daemon()
        finally:
            daemon.send_signal(signal.SIGINT)
            daemon.wait(timeout=_STOP_TIMEOUT_SECONDS)
        self._announce_step("Verify the archive with separate code.")
        self._run_archiver("verify")
        self._announce_step("Export an inspection package.")
        self._run_archiver("audit", "--to", "inspection")
        self._console.info("")
        self._console.info("Done. All results are in {path}:", path=self._scratch_folder)
        for result_path in ("watched", "archive", "restored", "inspection/report.html", "archiver.toml"):
            self._console.print_line(f"  {result_path}")

    def _demonstrate_with_daemon(self) -> None:
        """Copy, submit, edit, try to delete, and restore the samples while the daemon captures changes.

        Raises DemoFailed if a step does not have the announced result.
        """
        submission_folders = self._copy_samples()
        self._wait_for_versions(len(submission_folders))
        first_folder = submission_folders[0]
        submission_name = f"{first_folder.parent.name}/{first_folder.name}"
        edited_file = sorted(path for path in first_folder.iterdir() if is_plain_file(path))[0]
        submitted_copy = self._scratch_folder / "as-handed-in"
        shutil.copy2(edited_file, submitted_copy)
        self._announce_step("Submit the first version, which signs it.")
        self._run_archiver("submit", submission_name, "--on", _SUBMISSION_DAY)
        self._announce_step("Edit the file twice: each edit becomes a version.")
        for edit_number in (1, 2):
            with open(edited_file, "ab") as opened_file:
                opened_file.write(b"\n% edited\n" * edit_number)
            self._wait_for_versions(len(submission_folders) + edit_number)
        self._run_archiver("log", first_folder.parent.name)
        self._run_archiver("status")
        self._announce_step("Try to delete the submitted version; archiver refuses and shows the date.")
        self._run_archiver(
            "dispose", "plan", f"{submission_name}/submitted", expected_code=RetentionRefused.exit_code
        )
        self._try_to_delete_tag(f"{submission_name}/v1")
        self._restore_and_compare(submission_name, edited_file.name, submitted_copy)

    def _copy_samples(self) -> list[Path]:
        """Copy the samples to the watched folder, and return the paths of the submission folders, sorted."""
        for filing_folder in sorted(self._sample_folder.iterdir()):
            shutil.copytree(filing_folder, self._watched_folder / filing_folder.name)
        return sorted(path for path in self._watched_folder.glob("*/*") if is_folder(path))

    def _restore_and_compare(self, submission_name: str, restored_name: str, submitted_copy: Path) -> None:
        """Restore the submitted version, and compare the file ``restored_name`` with ``submitted_copy``.

        Raises DemoFailed if the files differ.
        """
        self._announce_step("Restore the submitted version and compare it.")
        self._run_archiver("restore", f"{submission_name}/submitted", "--to", "restored")
        if not filecmp.cmp(submitted_copy, self._scratch_folder / "restored" / restored_name, shallow=False):
            raise DemoFailed("The restored file differs from the submitted file.")
        self._console.info("{name} is identical to the submitted file, byte for byte.", name=restored_name)

    def _try_to_delete_tag(self, tag: str) -> None:
        """Run ``git tag -d`` in the archive's repository, and print git's error message.

        Raises DemoFailed unless the archive's hook refuses the deletion.
        """
        repository = self._scratch_folder / "archive" / "archive.git"
        git_command = [
            "git",
            *self._make_hooks_options(repository),
            "--git-dir=archive/archive.git",
            "tag",
            "-d",
            tag,
        ]
        self._console.print_line(f"$ {shlex.join(git_command)}")
        git_result = subprocess.run(git_command, cwd=self._scratch_folder, stderr=subprocess.PIPE, check=False)
        error_text = git_result.stderr.decode("utf-8", "surrogateescape").strip()
        for error_line in error_text.splitlines():
            self._console.print_line(error_line)
        if git_result.returncode == 0:
            raise DemoFailed("git deleted a tag of the archive, although the archive's hook must refuse this.")
        # A failure for another reason does not show that the hook works.
        if f"archiver: deletion of refs/tags/{tag} is refused" not in error_text:
            raise DemoFailed(
                "git failed, but not because the archive's hook refused the deletion: {reason}", reason=error_text
            )

    def _make_hooks_options(self, repository: Path) -> list[str]:
        """Return the command-line options that make git run the hooks of the archive's repository.

        The list is empty unless the user's git settings contain ``core.hooksPath``.  In that case, the options
        override the setting, and an explanation is printed.
        """
        from archiver.store.git.repository import Repository

        hooks_path_setting = Repository(repository).outer_hooks_path()
        if hooks_path_setting is None:
            return []
        self._console.info(
            "Your Git settings set core.hooksPath to {path}, so git runs those hooks instead of the archive's. "
            "The demo overrides this setting.",
            path=hooks_path_setting.value,
        )
        return ["-c", f"core.hooksPath={repository / 'hooks'}"]

    def _wait_for_versions(self, version_count: int) -> None:
        """Poll until the archive has ``version_count`` versions; raise DemoFailed after ``_MAX_POLLS`` polls."""
        import json

        for _ in range(_MAX_POLLS):
            log_result = subprocess.run(
                [*self._make_archiver_command(), "log", "--json"],
                cwd=self._scratch_folder,
                capture_output=True,
                check=True,
            )
            if len(json.loads(log_result.stdout)) >= version_count:
                return
            time.sleep(_POLL_SECONDS)
        raise DemoFailed("The service did not capture the files in time.")

    def _run_archiver(self, *arguments: str, expected_code: int = 0) -> None:
        """Print and run an archiver command; raise DemoFailed if the exit code is not ``expected_code``."""
        self._console.print_line(f"$ archiver {shlex.join(arguments)}")
        # The child writes to the same stdout.  Without the flush, its output could come before the line above.
        sys.stdout.flush()
        exit_code = subprocess.run(
            [*self._make_archiver_command(), *arguments], cwd=self._scratch_folder, check=False
        ).returncode
        if exit_code != expected_code:
            raise DemoFailed(
                "archiver {name} returned the unexpected exit code {code}.", name=arguments[0], code=exit_code
            )
        if exit_code:
            self._console.info("(exit code {code}, as expected)", code=exit_code)

    def _make_archiver_command(self) -> list[str]:
        """Return the start of a command that runs archiver with the demo's language and configuration file."""
        return [
            sys.executable,
            "-m",
            "archiver",
            "--lang",
            self._console.language,
            "--config",
            os.fspath(self._scratch_folder / "archiver.toml"),
        ]

    def _announce_step(self, template: str) -> None:
        """Print the heading of the next step, numbered from 1."""
        self._step_number += 1
        self._console.info("")
        self._console.info("Step {number}: {text}", number=self._step_number, text=LazyMessage(template))
        sys.stdout.flush()
