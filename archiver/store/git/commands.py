"""Run git on a repository; the only module importing GitPython.

GitPython starts whatever writes.  Commands that only read are started without it, because to import it takes a
tenth of a second and runs git twice: more than all that ``archiver log`` needs of git.

The settings of the system, of the user and of the repository are switched off: git obeys only our own, in a
private directory (:mod:`archiver.store.git.private_directory`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from archiver.errors import ConfigError, StorageError
from archiver.store.git.git_process import GitProcess
from archiver.store.git.private_directory import OBJECT_DIRECTORY, PrivateDirectory

#: A git process that is silent for this long hangs, on a dead disk for example, and is killed.  A shorter time
#: would kill one that is only slow; a longer one would block the daemon for longer.
_PATIENCE_SECONDS = 300.0
_COPY_BYTES = 1 << 20
#: Reading a few small files takes milliseconds; status must not wait for settings that cannot be read.
_OUTER_TIMEOUT_SECONDS = 10.0
HANGS = b"it did not answer and was ended"

#: The git commands that only read.
_READING_COMMANDS = frozenset({"cat-file", "diff-tree", "for-each-ref", "merge-base", "rev-list"})

#: Switches off the settings of the system and of the user.
_NO_OTHER_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
#: Keeps git from contacting another server: it must not fetch a missing object, with a program that the settings
#: of the repository name.
_SILENT = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
#: The environment of every git that runs in the private directory.
_OWN_ENVIRONMENT = {
    **_NO_OTHER_SETTINGS,
    **_SILENT,
    "GIT_OBJECT_DIRECTORY": OBJECT_DIRECTORY,
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_OPTIONAL_LOCKS": "0",
    # Replacements, grafts and shallow clones would show another history than the stored one.
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_GRAFT_FILE": os.devnull,
    "GIT_SHALLOW_FILE": "",
    "LANGUAGE": "C",
    "LC_ALL": "C",
}


class OuterSetting(NamedTuple):
    """A setting from outside of the repository: the value and the file of origin."""

    value: str
    origin: str


class GitCommands:
    """The git commands for one repository.

    ``patience_seconds`` is the time for which a command may be silent before it is killed.  The owner calls
    :meth:`close`.
    """

    def __init__(
        self, path: Path, *, has_repository: bool = True, copied_refs: Mapping[str, str] | None = None
    ) -> None:
        """Run commands on the repository at ``path``.

        Without ``has_repository`` there is none yet, and git runs in the folder ``path``: only for commands that
        need none.  ``copied_refs`` are those of :class:`PrivateDirectory`.
        """
        self.path = path
        self.patience_seconds = _PATIENCE_SECONDS
        self._has_repository = has_repository
        self._directory = PrivateDirectory(copied_refs=copied_refs)

    @property
    def is_directory_intact(self) -> bool:
        """Return True unless somebody has removed the private directory, so that git no longer finds the refs."""
        return self._directory.is_intact()

    def close(self) -> None:
        """Remove the private directory; the next command makes another one."""
        self._directory.close()

    @cached_property
    def _git(self) -> Any:
        """Return GitPython's interface, made at its first use because importing GitPython runs git.

        Raises ConfigError if git is not installed.
        """
        # Without these variables, that git obeys the user's settings, and the import fails if they are broken.
        os.environ.update(_NO_OTHER_SETTINGS)
        # That git runs in our session, unlike all others, and a Ctrl-C would kill it: the import would report that
        # git is missing.  So SIGINT is blocked, in this process and in that git, until the import is done.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            import git
        except ImportError:  # GitPython cannot be imported if git is not installed.
            raise _missing_git_error() from None
        finally:
            for name in _NO_OTHER_SETTINGS:
                del os.environ[name]
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        interface = git.cmd.Git()
        # The constructor would expand variables in the path of a folder named "$HOME".
        interface._working_dir = os.fspath(self.path)
        return interface

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        out: IO[bytes] | None = None,
        is_long: bool = False,
    ) -> bytes:
        """Run a command as :meth:`attempt` does, and return the output; raises StorageError on failure."""
        status, written, err = self.attempt(*arguments, stdin=stdin, out=out, is_long=is_long)
        if status != 0:
            raise self.failed(_command_of(arguments), err)
        return written

    def attempt(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        out: IO[bytes] | None = None,
        is_long: bool = False,
    ) -> tuple[int, bytes, bytes]:
        """Run a command with ``stdin`` as its input; return exit code, output and error output.

        With ``out``, the output is written to that file instead, and the returned output is empty.  A command that
        takes longer than ``patience_seconds`` is killed, with the exit code -1, unless ``is_long`` or ``out`` is
        given.  Raises StorageError if git cannot be started.
        """
        process = self.start(*arguments)
        try:
            if out is not None:
                return self._stream(process, stdin or b"", out)
            timeout = None if is_long else self.patience_seconds
            written, err = process.popen.communicate(stdin or b"", timeout=timeout)
        except subprocess.TimeoutExpired:
            return -1, b"", HANGS
        finally:
            process.end()
        return process.popen.returncode, written, err

    def _stream(self, process: GitProcess, stdin: bytes, out: IO[bytes]) -> tuple[int, bytes, bytes]:
        """Feed ``stdin`` to a process and copy its output to ``out`` in chunks; return as :meth:`attempt` does.

        For output of gigabytes, which would not fit into memory.
        """
        # The input can be written as a whole first: the commands used here answer only when they have read all of
        # it.
        process.stdin.write(stdin)
        process.stdin.close()
        shutil.copyfileobj(process.stdout, out, _COPY_BYTES)
        err = process.stderr.read()
        return process.popen.wait(), b"", err

    def start(self, *arguments: str) -> GitProcess:
        """Start a command, and return the process, which the caller ends.

        Raises StorageError if git cannot be started, ConfigError if it is not installed.
        """
        command_line = self._command(arguments)
        if _command_of(arguments) in _READING_COMMANDS:
            return self._start_reading(command_line)
        interface = self._git
        from git.exc import GitCommandNotFound

        try:
            handle = interface.execute(
                command_line,
                istream=subprocess.PIPE,
                as_process=True,
                env=_OWN_ENVIRONMENT,
                # In our session, a Ctrl-C on the daemon's terminal would kill git in the middle of a version.
                start_new_session=True,
            )
        except GitCommandNotFound as error:
            raise self.failed(_command_of(arguments), str(error).encode()) from None
        return GitProcess(handle.proc, handle)

    def _start_reading(self, command_line: list[str]) -> GitProcess:
        """Start a command that only reads, without GitPython; otherwise as :meth:`start`."""
        try:
            popen = subprocess.Popen(
                command_line,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.path,
                env=os.environ | _OWN_ENVIRONMENT,
                start_new_session=True,
            )
        except OSError as error:
            # The folder of the repository may be missing as well as the program.
            if isinstance(error, FileNotFoundError) and error.filename == command_line[0]:
                raise _missing_git_error() from None
            raise self.failed(_command_of(command_line[2:]), str(error).encode()) from None
        return GitProcess(popen)

    def _command(self, arguments: Iterable[str]) -> list[str]:
        """Return the complete command line; raises StorageError if the private directory cannot be made."""
        directory = self._directory.path() if self._has_repository else os.fspath(self.path)
        return ["git", f"--git-dir={directory}", *arguments]

    def outer_setting(self, name: str) -> OuterSetting | None:
        """Return the value of a setting for a person running git in this repository, and the file of origin.

        ``name`` is a setting that holds a path, such as ``core.hooksPath``.  Unlike our own commands, a person's
        git obeys the settings of the system and of the user.  None if no file sets it, or if git cannot read one
        of the files, because git then runs no command at all.
        """
        answer = self._ask_outer_git("config", "--null", "--show-origin", "--type=path", "--get", name)
        if answer is None:
            return None
        origin, value = os.fsdecode(answer).split("\0")[:2]
        return OuterSetting(value, origin.removeprefix("file:"))

    def outer_hooks(self, event: str) -> list[str]:
        """Return the names of the hooks by configuration that a person's git runs here for ``event``.

        Empty for a git that has no such hooks, which came with git 2.55.
        """
        answer = self._ask_outer_git("hook", "list", event)
        return [] if answer is None else os.fsdecode(answer).split("\n")

    def _ask_outer_git(self, *arguments: str) -> bytes | None:
        """Return git's output under the settings of the system and of the user; None if git fails or hangs."""
        try:
            done = subprocess.run(
                ["git", f"--git-dir={os.fspath(self.path)}", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_OUTER_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            # A setting may include a file that cannot be read, a pipe for example.
            return None
        return done.stdout if done.returncode == 0 else None

    def failed(self, command: str, stderr: bytes) -> StorageError:
        """Return the error for a git command that failed; ``stderr`` gives the reason in the message."""
        return StorageError(
            "git {command} failed in {path}: {reason}. No archived data was lost. The change is retried at the "
            "next scan. Check the disk. To verify the archive, run: archiver verify",
            command=command,
            path=self.path,
            reason=stderr.decode("utf-8", "replace").strip().replace("\n", "; ") or "no message",
        )


def _missing_git_error() -> ConfigError:
    return ConfigError("git is not installed or not in PATH. Nothing was changed. Install git 2.39 or later.")


def _command_of(arguments: Sequence[str]) -> str:
    """Return the command's name: it follows the settings, each of which is a pair of ``-c`` and ``key=value``."""
    settings = 2 * arguments.count("-c")
    return arguments[settings]
