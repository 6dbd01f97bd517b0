"""Reading many small files in processes beside this one.

A small file costs a dozen system calls and next to no waiting, so threads of one Python spend their
time handing its lock to each other: 20,000 files took 10 s of system time in futexes that two
processes do not need.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from archiver.errors import StorageProblem
from archiver.intake.access import Direct, read_frame, write_frame
from archiver.intake.reading import FileReader, Read
from archiver.intake.snapshot import Noted
from archiver.store.content import ContentStore, Staged
from archiver.store.source import Signature


class StagingProcesses:
    """One child a thread, started when it is needed first."""

    def __init__(self, root: bytes, content: ContentStore) -> None:
        self._arguments = [root, os.fsencode(content.objects), os.fsencode(content.spool)]
        self._mine = threading.local()
        self._all: list[subprocess.Popen[bytes]] = []

    def read(self, paths: Sequence[bytes], overdue: Container[bytes]) -> Read:
        """As :meth:`FileReader.read`; raises StorageProblem, and OSError where the child died."""
        child = self._child()
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            write_frame(child.stdin.fileno(), (list(paths), [path for path in paths if path in overdue]))
            answer = read_frame(child.stdout.fileno())
        except (OSError, EOFError):
            # Whatever it had answered late would pass for the answer to the next question.
            child.kill()
            self._mine.child = None
            raise BrokenPipeError from None
        if isinstance(answer, dict):
            raise StorageProblem(answer.pop(""), **answer)
        return _unpacked(answer)

    def _child(self) -> subprocess.Popen[bytes]:
        child: subprocess.Popen[bytes] | None = getattr(self._mine, "child", None)
        if child is None:
            # -P: a file in the current folder must not pass for one of our modules.
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "archiver.intake.staging", *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            self._mine.child = child
            self._all.append(child)
        return child

    def end(self) -> None:
        """End the children; only while no thread reads."""
        self._mine = threading.local()
        while self._all:
            child = self._all.pop()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()
            child.wait()


def _packed(read: Read) -> tuple[Any, ...]:
    staged = [(path, s.sha256, tuple(s.signature), s.spool, s.fresh, s.health) for path, s in read.staged.items()]
    unreadable = [(noted.path, noted.template, noted.value) for noted in read.unreadable]
    return staged, read.unstable, read.held, unreadable


def _unpacked(answer: tuple[Any, ...]) -> Read:
    staged, unstable, held, unreadable = answer
    return Read(
        {path: Staged(sha, Signature(*signature), *rest) for path, sha, signature, *rest in staged},
        unstable,
        held,
        [Noted(*each) for each in unreadable],
    )


def main() -> None:
    """Serve until the parent closes its end."""
    root, objects, spool = map(os.fsencode, sys.argv[1:])
    reader = FileReader(Direct(root), ContentStore(Path(os.fsdecode(objects)), Path(os.fsdecode(spool))))
    try:
        while True:
            paths, overdue = read_frame(0)
            try:
                write_frame(1, _packed(reader.read(paths, frozenset(overdue))))
            except StorageProblem as problem:
                fields = {name: str(value) for name, value in problem.fields.items()}
                write_frame(1, {"": problem.template, **fields})
    except (EOFError, BrokenPipeError):
        return


if __name__ == "__main__":
    main()
