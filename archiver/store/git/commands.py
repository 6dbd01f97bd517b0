"""Run git on a repository; the only module importing GitPython.

GitPython starts the commands that write.  Commands that only read are started without it: importing GitPython
takes a tenth of a second and runs git twice, which is more work than all git commands of ``archiver log``.

The settings of the system, of the user and of the repository are switched off: git obeys only the settings of this
program, in a private directory (:mod:`archiver.store.git.private_directory`).
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import IO, Any, NamedTuple

from archiver.errors import ConfigError, StorageError
from archiver.store.git.git_process import GitProcess
from archiver.store.git.private_directory import OBJECT_DIRECTORY, PrivateDirectory
from archiver.store.system_limits import find_limit

#: A git process that is silent for this long hangs, for example on a dead disk, and is killed.  With a shorter
#: time, a process that is only slow would be killed; with a longer time, the daemon would be blocked for longer.
_PATIENCE_SECONDS = 300.0
_COPY_BYTES = 1 << 20
#: The time for git to read a person's settings, which takes milliseconds: ``archiver status`` must not wait for
#: settings that cannot be read.
_OUTER_TIMEOUT_SECONDS = 10.0
#: The reason in the error for a git process that was silent for too long.
HANGS = b"it did not answer and was ended"

#: The git commands that only read.
_READING_COMMANDS = frozenset({"cat-file", "diff-tree", "for-each-ref", "merge-base", "rev-list"})

#: Switches off the settings of the system and of the user.
_NO_OUTER_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
#: Keeps git from contacting another server: to fetch a missing object, git would run a program that the settings
#: of the repository name.
_NO_NETWORK = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}
#: The environment of every git that runs in the private directory.
_OWN_ENVIRONMENT = {
    **_NO_OUTER_SETTINGS,
    **_NO_NETWORK,
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
    """A git setting that applies to a person in the repository: the value, and the file that contains it."""

    value: str
    origin: str


class GitCommands:
    """Runs git commands on one repository; the owner calls :meth:`close`.

    ``patience_seconds`` is the time for which a command may be silent before it is killed.
    """

    def __init__(
        self, path: Path, *, has_repository: bool = True, copied_refs: Mapping[str, str] | None = None
    ) -> None:
        """Run commands on the repository at ``path``.

        With ``has_repository`` False, git uses the folder ``path`` itself instead of a private directory.  This is
        for commands that need no repository, and for the command that creates the repository in this folder.
        ``copied_refs`` is passed to :class:`PrivateDirectory`.
        """
        self.path = path
        self.patience_seconds = _PATIENCE_SECONDS
        self._has_repository = has_repository
        self._directory = PrivateDirectory(copied_refs=copied_refs)

    @property
    def is_directory_intact(self) -> bool:
        """Return True if the private directory is complete; if somebody removed it, git no longer finds refs."""
        return self._directory.is_intact()

    def close(self) -> None:
        """Remove the private directory; the next command creates another one."""
        self._directory.close()

    @cached_property
    def _gitpython(self) -> Any:
        """Return GitPython's interface, created at the first use because importing GitPython runs git.

        Raises ConfigError if git is not installed.
        """
        # The git that runs during the import would obey the user's settings, and the import would fail if those
        # are broken.
        os.environ.update(_NO_OUTER_SETTINGS)
        # The same git belongs to our session, unlike every other git process, so Ctrl-C would kill it and the
        # import would report that git is missing.  Block SIGINT in this process, and so in its children, until the
        # import is done.
        previous_mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            import git
        except ImportError:
            # GitPython runs git during the import, and hides why that has failed.
            self._start_reading(["git", "version"]).end()
            raise _missing_git_error() from None
        finally:
            for name in _NO_OUTER_SETTINGS:
                del os.environ[name]
            signal.pthread_sigmask(signal.SIG_SETMASK, previous_mask)
        interface = git.cmd.Git()
        # Not passed to the constructor, which would expand variables in the path of a folder named "$HOME".
        interface._working_dir = os.fspath(self.path)
        return interface

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        out: IO[bytes] | None = None,
        is_long: bool = False,
    ) -> bytes:
        """Run a git command with the arguments of :meth:`attempt`; return the output.

        Raises StorageError if the command fails, takes too long, or cannot be started.
        """
        status, output, error_output = self.attempt(*arguments, stdin=stdin, out=out, is_long=is_long)
        if status != 0:
            raise self.failed(_command_name(arguments), error_output)
        return output

    def attempt(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        out: IO[bytes] | None = None,
        is_long: bool = False,
    ) -> tuple[int, bytes, bytes]:
        """Run a git command with ``stdin`` as its input; return the exit code, the output and the error output.

        With ``out``, the output is written to that file instead, and the returned output is empty.  A command that
        takes longer than ``patience_seconds`` is killed, and the exit code is -1.  With ``is_long`` or ``out``, a
        command may take any time.  Raises StorageError if git cannot be started, ConfigError if git is not
        installed.
        """
        process = self.start(*arguments)
        try:
            if out is not None:
                return self._stream(process, stdin or b"", out)
            timeout = None if is_long else self.patience_seconds
            output, error_output = process.popen.communicate(stdin or b"", timeout=timeout)
        except subprocess.TimeoutExpired:
            return -1, b"", HANGS
        finally:
            process.end()
        return process.popen.returncode, output, error_output

    def _stream(self, process: GitProcess, stdin: bytes, out: IO[bytes]) -> tuple[int, bytes, bytes]:
        """Write ``stdin`` to a process and copy its output to ``out``; return the same values as :meth:`attempt`.

        The output is copied in chunks, because gigabytes of it would not fit into memory.
        """
        # Writing all of the input first cannot block: the commands used here write output only after they have
        # read all of it.
        process.stdin.write(stdin)
        process.stdin.close()
        while chunk := process.stdout.read(_COPY_BYTES):
            out.write(chunk)
        error_output = process.stderr.read()
        return process.popen.wait(), b"", error_output

    def start(self, *arguments: str) -> GitProcess:
        """Start a git command with pipes to and from it; return the process, which the caller ends.

        Raises StorageError if git cannot be started, ConfigError if git is not installed.
        """
        command_line = self._build_command_line(arguments)
        if _command_name(arguments) in _READING_COMMANDS:
            return self._start_reading(command_line)
        interface = self._gitpython
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
            raise self.failed(_command_name(arguments), str(error).encode()) from None
        except OSError as error:
            raise self._start_error(_command_name(arguments), error) from None
        return GitProcess(handle.proc, handle)

    def _start_reading(self, command_line: list[str]) -> GitProcess:
        """Start a command that only reads, without GitPython; raises the errors of :meth:`start`."""
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
            # FileNotFoundError can also mean that the repository is missing: compare the name in the error.
            if isinstance(error, FileNotFoundError) and error.filename == command_line[0]:
                raise _missing_git_error() from None
            # The command follows "git" and, for all but one, the option --git-dir.
            raise self._start_error(_command_name(command_line[2:] or command_line[1:]), error) from None
        return GitProcess(popen)

    def _start_error(self, command: str, error: OSError) -> StorageError:
        """Return the error for a git command that could not be started because of ``error``."""
        return find_limit(error, is_process_start=True) or self.failed(command, str(error).encode())

    def _build_command_line(self, arguments: Iterable[str]) -> list[str]:
        """Return the complete command line; raises StorageError if the private directory cannot be created."""
        directory = self._directory.path() if self._has_repository else os.fspath(self.path)
        return ["git", f"--git-dir={directory}", *arguments]

    def outer_setting(self, name: str) -> OuterSetting | None:
        """Return a git setting as it applies to a person who runs git in this repository, and the file of origin.

        ``name`` is a setting whose value is a path, such as ``core.hooksPath``.  Unlike our own commands, a
        person's git obeys the settings of the system and of the user.  Returns None if no file contains the
        setting.  Also returns None if git cannot read one of the files, because git then runs no command at all.
        """
        output = self._run_outer_git("config", "--null", "--show-origin", "--type=path", "--get", name)
        if output is None:
            return None
        origin, value = os.fsdecode(output).split("\0")[:2]
        return OuterSetting(value, origin.removeprefix("file:"))

    def outer_hooks(self, event: str) -> list[str]:
        """Return the names of the hooks that a person's git runs here for ``event`` because settings name them.

        Returns an empty list for a git before 2.55, which has no such hooks, and if git fails.
        """
        output = self._run_outer_git("hook", "list", event)
        return [] if output is None else os.fsdecode(output).split("\n")

    def _run_outer_git(self, *arguments: str) -> bytes | None:
        """Run git with the settings of the system and the user; return the output, None if git fails or hangs."""
        try:
            result = subprocess.run(
                ["git", f"--git-dir={os.fspath(self.path)}", *arguments],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=_OUTER_TIMEOUT_SECONDS,
            )
        except subprocess.TimeoutExpired:
            # The settings may include a file that git waits for, such as a pipe.
            return None
        return result.stdout if result.returncode == 0 else None

    def failed(self, command: str, stderr: bytes) -> StorageError:
        """Return the error for a failed git command; ``stderr`` is the reason that the message states."""
        return StorageError(
            "git {command} failed in {path}: {reason}. No archived data was lost. The change is retried at the "
            "next scan. Check the disk. To verify the archive, run: archiver verify",
            command=command,
            path=self.path,
            reason=stderr.decode("utf-8", "replace").strip().replace("\n", "; ") or "no message",
        )


def _missing_git_error() -> ConfigError:
    """Return the error for a missing ``git`` program."""
    return ConfigError("git is not installed or not in PATH. Nothing was changed. Install git 2.39 or later.")


def _command_name(arguments: Sequence[str]) -> str:
    """Return the name of the git command, which follows any pairs of ``-c`` and ``key=value``."""
    setting_arguments = 2 * arguments.count("-c")
    return arguments[setting_arguments]
