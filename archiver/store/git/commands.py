"""Running git on one repository; the only module that imports git.

Inherited settings are off: no configuration but the repository's own is in force.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import IO, Any

from archiver.errors import ConfigError, StorageError
from archiver.store.git.fast_import import end_process

#: A git that says nothing for this long hangs, on a dead disk for example, and is ended.
_PATIENCE_SECONDS = 300.0
_COPY_BYTES = 1 << 20
HANGS = b"it did not answer and was ended"

#: These move refs, which the archive's own hook looks at; no other command runs a hook.
_HOOKED = frozenset({"fast-import", "update-ref", "pack-refs"})
#: Neither the system's settings nor those of whoever calls; the repository's own remain.
_NO_OTHER_SETTINGS = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
#: No command talks to another server: an object that is missing here must not be fetched by whatever program
#: the repository's settings name.
_SILENT = {"GIT_ALLOW_PROTOCOL": "none", "GIT_NO_LAZY_FETCH": "1"}


@dataclass(frozen=True, slots=True)
class OuterSetting:
    """A setting from outside of the repository: its value, and the file that holds it."""

    value: str
    origin: str


class GitCommands:
    """git, driven through GitPython's command interface; ``patience_seconds``: how long it may say nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.patience_seconds = _PATIENCE_SECONDS

    @cached_property
    def _git(self) -> Any:
        """GitPython's interface, made when it is needed: importing it already runs git."""
        # The git that it runs obeys the caller's settings: where those are broken, it could not be imported.
        os.environ.update(_NO_OTHER_SETTINGS)
        # That one is in our session, unlike all others. A Ctrl-C waits until it has ended, here and in it: killed
        # by that, it would pass for a git that is missing.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            import git
        except ImportError:  # GitPython refuses to be imported where no git is installed.
            raise ConfigError(
                "The program git is not installed or not in PATH. Nothing was changed. Install git 2.39 or later."
            ) from None
        finally:
            for name in _NO_OTHER_SETTINGS:
                del os.environ[name]
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        interface = git.cmd.Git()
        # Given to the constructor, a folder named "$HOME" would be expanded.
        interface._working_dir = os.fspath(self.path)
        interface.update_environment(
            **_NO_OTHER_SETTINGS,
            GIT_TERMINAL_PROMPT="0",
            GIT_OPTIONAL_LOCKS="0",
            # What would show another history than the one that is stored.
            GIT_NO_REPLACE_OBJECTS="1",
            GIT_GRAFT_FILE=os.devnull,
            GIT_SHALLOW_FILE="",
            # Hints about these come before the reason of a failure; and no ref is looked for by an object's id.
            GIT_CONFIG_COUNT="2",
            GIT_CONFIG_KEY_0="advice.graftFileDeprecated",
            GIT_CONFIG_VALUE_0="false",
            GIT_CONFIG_KEY_1="core.warnAmbiguousRefs",
            GIT_CONFIG_VALUE_1="false",
            LC_ALL="C",
        )
        return interface

    def run(
        self,
        *arguments: str,
        stdin: bytes | None = None,
        out: IO[bytes] | None = None,
        is_long: bool = False,
    ) -> bytes:
        """What a command writes; raises StorageError where it fails, see :meth:`attempt`."""
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
        """Exit code, output and complaints of a command.

        ``out``: where the output goes instead; ``is_long``: it may take longer than anybody's patience.
        """
        # GitPython ends the process when its handle is forgotten.
        handle = self.start(*arguments)
        process: subprocess.Popen[bytes] = handle.proc
        try:
            if out is not None:
                return self._stream(process, stdin or b"", out)
            written, err = process.communicate(stdin or b"", timeout=None if is_long else self.patience_seconds)
        except subprocess.TimeoutExpired:
            return -1, b"", HANGS
        finally:
            end_process(process)
        return process.returncode, written, err

    def _stream(self, process: subprocess.Popen[bytes], stdin: bytes, out: IO[bytes]) -> tuple[int, bytes, bytes]:
        """Questions of any length in, an answer of gigabytes out, without holding it."""
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        # All questions first: this git answers only when it knows them all.
        process.stdin.write(stdin)
        process.stdin.close()
        shutil.copyfileobj(process.stdout, out, _COPY_BYTES)
        err = process.stderr.read()
        return process.wait(), b"", err

    def start(self, *arguments: str) -> Any:
        """A process that is talked to, as GitPython hands it out."""
        command = _command_of(arguments)
        interface = self._git
        from git.exc import GitCommandNotFound

        try:
            return interface.execute(
                self._command(command, arguments),
                istream=subprocess.PIPE,
                as_process=True,
                env=_SILENT,
                # A Ctrl-C on the daemon's terminal must not cut a version in the making.
                start_new_session=True,
            )
        except GitCommandNotFound as error:
            raise self.failed(command, str(error).encode()) from None

    def _command(self, command: str, arguments: Iterable[str]) -> list[str]:
        """The whole command line.

        The settings were compared before (:mod:`archiver.store.git.hooks`); what would run another program
        is overruled all the same, for root, while the archive's owner may swap the file meanwhile.
        """
        directory = os.fspath(self.path)
        overruled = {
            "safe.directory": directory,
            "core.hooksPath": f"{directory}/hooks" if command in _HOOKED else os.devnull,
            "core.sshCommand": "ssh",
            "core.fsmonitor": "false",
            "core.commitGraph": "false",
        }
        settings = [word for name, value in overruled.items() for word in ("-c", f"{name}={value}")]
        return ["git", *settings, f"--git-dir={directory}", *arguments]

    def outer_setting(self, name: str) -> OuterSetting | None:
        """Look up what git obeys here when the caller types it, of a path such as ``core.hooksPath``.

        Our own commands never do: they have the repository's settings only.  None where no file sets it, or
        where git cannot read one of them, as it then runs nothing at all.
        """
        place = ["git", f"--git-dir={os.fspath(self.path)}"]
        asked = ["config", "--null", "--show-origin", "--type=path", "--get", name]
        done = subprocess.run([*place, *asked], stdin=subprocess.DEVNULL, capture_output=True, check=False)
        if done.returncode != 0:
            return None
        origin, value = os.fsdecode(done.stdout).split("\0")[:2]
        return OuterSetting(value, origin.removeprefix("file:"))

    def failed(self, command: str, stderr: bytes) -> StorageError:
        """What is raised for a git that failed."""
        return StorageError(
            "git {command} failed in {path}: {reason}. Nothing archived was lost; the change is tried again "
            "at the next scan. Check the disk, and run archiver verify.",
            command=command,
            path=self.path,
            reason=stderr.decode("utf-8", "replace").strip().replace("\n", "; ") or "no message",
        )


def _command_of(arguments: tuple[str, ...]) -> str:
    settings = 2 * arguments.count("-c")
    return arguments[settings]
