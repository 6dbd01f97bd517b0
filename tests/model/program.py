"""Perform acts on the real archive, within this process or in one that is killed on the way."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from archiver.errors import ArchiverError
from archiver.model import Actor
from archiver.store import users
from archiver.store.archive import Archive
from archiver.store.failpoints import Step

#: What the program does with the file system and with other programs, as audit events name it.
_AUDITED = frozenset(
    [
        *("open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate"),
        *("shutil.rmtree", "subprocess.Popen", "sqlite3.connect", "archiver.step"),
    ]
)
_UNCONDITIONAL = frozenset({"subprocess.Popen", "archiver.step"})
Act = Callable[[Archive], object]


class CrashKind(Enum):
    """How a process ends in the middle of an act."""

    #: An exception at a named step, in this process: cleaning up goes on.
    RAISE = "raise"
    #: The process is killed at a named step.
    KILL_AT_STEP = "kill at step"
    #: The process is killed before it opens, renames, removes or starts something.
    KILL_ANYWHERE = "kill anywhere"
    #: The machine loses its power when the refs have moved, and only the journal's is on the disk.
    POWER_CUT = "power cut"


@dataclass(frozen=True)
class Crash:
    """A crash to come; nothing happens if the act ends before."""

    kind: CrashKind
    #: Which occurrence, from 1 on.
    count: int = 1
    step: Step = Step.REFS_MOVED
    #: What a power cut makes of each moved ref, as the digits of a number: see :func:`_damage_ref`.
    damage: int = 0
    #: A crash of the process that recovers the archive.
    again: Crash | None = None


class SimulatedCrash(BaseException):
    """Raised by the program at a step, as no handler of errors expects."""


@dataclass
class Outcome:
    """How an act ended."""

    #: The name of the error's class; empty without one.
    error: str = ""
    message: str = ""
    is_crashed: bool = False


class _CrashTrigger:
    """The audit hook of this process, which cannot be removed, and does nothing most of the time."""

    def __init__(self) -> None:
        self.crash: Crash | None = None
        self._folder = ""
        self._left = 0
        sys.addaudithook(self._notice)

    @contextmanager
    def armed(self, crash: Crash | None, folder: Path) -> Iterator[None]:
        """Let a crash happen during the block; ``folder`` is that of the archive."""
        self.crash, self._folder, self._left = crash, os.fspath(folder), crash.count if crash else 0
        try:
            yield
        finally:
            self.crash = None

    def _notice(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.crash is None or event not in _AUDITED:
            return
        if self.crash.kind is CrashKind.KILL_ANYWHERE:
            # Python also opens files to import modules, once.
            is_counted = event in _UNCONDITIONAL or self._folder in str(arguments[0])
        else:
            is_counted = event == "archiver.step" and arguments[0] == self.crash.step.value
        if not is_counted:
            return
        self._left -= 1
        if self._left != 0:
            return
        if self.crash.kind is CrashKind.RAISE:
            raise SimulatedCrash
        os.kill(os.getpid(), signal.SIGKILL)


_trigger = _CrashTrigger()


class Program:
    """The program, with one archive, which stays open from act to act; the owner closes it."""

    def __init__(self, archive_folder: Path) -> None:
        self._folder = archive_folder
        self._archive: Archive | None = None
        self.notices: list[str] = []

    def open(self) -> Archive:
        if self._archive is None:
            self._archive = Archive(self._folder, lambda message: self.notices.append(str(message)))
        return self._archive

    def close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def perform(self, act: Act, user: Actor, crash: Crash | None = None) -> Outcome:
        """Perform an act for a user.  After a crash, the next one opens the archive again."""
        if crash is not None and crash.kind is not CrashKind.RAISE:
            self.close()
            refs = _read_loose_refs(self._folder) if crash.kind is CrashKind.POWER_CUT else {}
            outcome = self._perform_in_child(act, user, crash)
            if outcome.is_crashed and crash.kind is CrashKind.POWER_CUT:
                _damage_moved_refs(self._folder, refs, crash.damage)
            return outcome
        try:
            with _trigger.armed(crash, self._folder):
                return self._call(act, user)
        except SimulatedCrash:
            self.close()
            return Outcome(is_crashed=True)

    def recover(self) -> None:
        """Do what the next writer does first after a crash."""
        _write_nothing(self.open())

    def recover_and_crash(self, crash: Crash) -> None:
        """Begin to do what the next writer does first, and crash again."""
        self.perform(_write_nothing, users.current_user(), crash)

    def _call(self, act: Act, user: Actor) -> Outcome:
        archive = self.open()
        archive.actor = user
        try:
            act(archive)
        except ArchiverError as error:
            return Outcome(type(error).__name__, str(error))
        return Outcome()

    def _perform_in_child(self, act: Act, user: Actor, crash: Crash) -> Outcome:
        """Perform an act in a fork of this process, which is killed on the way."""
        receiving, sending = os.pipe()
        sys.stdout.flush()
        with warnings.catch_warnings():
            # Python warns of forks beside threads. The child only uses what it has opened itself.
            warnings.simplefilter("ignore")
            process_id = os.fork()
        if process_id == 0:
            answer: list[object] = ["", "", "it did not answer"]
            try:
                with _trigger.armed(crash, self._folder):
                    outcome = self._call(act, user)
                answer = [outcome.error, outcome.message, ""]
            except BaseException:
                answer = ["", "", traceback.format_exc()]
            finally:
                os.write(sending, json.dumps(answer).encode())
                os._exit(0)
        os.close(sending)
        with open(receiving, "rb") as stream:
            received = stream.read()
        status = os.waitpid(process_id, 0)[1]
        if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
            return Outcome(is_crashed=True)
        error, message, failure = json.loads(received)
        assert not failure, failure
        return Outcome(error, message)


def _write_nothing(archive: Archive) -> None:
    with archive.writing(20):
        pass


def _read_loose_refs(archive_folder: Path) -> dict[Path, bytes]:
    """Return the bytes of each ref that has a file, but of the journal's."""
    top = archive_folder / "archive.git" / "refs"
    return {path: path.read_bytes() for path in top.rglob("*") if path.is_file() and path.name != "journal"}


def _damage_moved_refs(archive_folder: Path, refs_before: dict[Path, bytes], damage: int) -> None:
    """Leave of each ref that has moved since ``refs_before`` what a power cut may leave of it."""
    for path, data in sorted(_read_loose_refs(archive_folder).items()):
        if data != refs_before.get(path):
            damage, digit = divmod(damage, 4)
            _damage_ref(path, refs_before.get(path), digit)


def _damage_ref(path: Path, data_before: bytes | None, digit: int) -> None:
    """Leave the new value (0), an empty file (1), the former value or none (2), or a part of the new one (3)."""
    if digit == 1:
        path.write_bytes(b"")
    elif digit == 2 and data_before is not None:
        path.write_bytes(data_before)
    elif digit == 2:
        path.unlink()
    elif digit == 3:
        path.write_bytes(path.read_bytes()[:10])
