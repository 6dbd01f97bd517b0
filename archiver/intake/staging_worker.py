"""Reading many small files in processes beside this one.

A small file costs a dozen system calls and next to no waiting, so threads of one Python spend their
time handing its lock to each other: 20,000 files took 10 s of system time in futexes that two
processes do not need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from archiver.errors import StorageProblem
from archiver.intake.folder.access import Direct
from archiver.intake.snapshot import SkippedPath
from archiver.intake.staging import FileReader, StagingResult
from archiver.store.content.objects import ContentStore, Staged
from archiver.store.content.source import StatData
from archiver.workers import WorkerPool, serve


class StagingProcesses:
    """The processes that read for one archive and one folder."""

    def __init__(self, root: bytes, content: ContentStore, archive: bytes = b"") -> None:
        """``archive``: the folder whose files must not be archived."""
        places = (root, os.fsencode(content.objects), os.fsencode(content.spool), archive)
        self._workers = WorkerPool("archiver.intake.staging_worker", *places)

    def read(self, paths: Sequence[bytes], overdue: Container[bytes]) -> StagingResult:
        """As :meth:`FileReader.read`; raises StorageProblem, and OSError where the child died."""
        answer = self._workers.call((list(paths), [path for path in paths if path in overdue]))
        if isinstance(answer, dict):
            raise StorageProblem(answer.pop(""), **answer)
        return _unpacked(answer)

    def close(self) -> None:
        """End the processes; only while no thread reads."""
        self._workers.close()


def _packed(read: StagingResult) -> tuple[Any, ...]:
    staged = [(path, s.sha256, tuple(s.signature), s.spool, s.fresh, s.health) for path, s in read.staged.items()]
    unreadable = [(noted.path, noted.template, noted.value) for noted in read.unreadable]
    return staged, read.unstable, read.held, unreadable


def _unpacked(answer: tuple[Any, ...]) -> StagingResult:
    staged, unstable, held, unreadable = answer
    return StagingResult(
        {path: Staged(sha, StatData(*signature), *rest) for path, sha, signature, *rest in staged},
        unstable,
        held,
        [SkippedPath(*each) for each in unreadable],
    )


def _carried(value: object) -> object:
    """What a pipe between our processes carries: names stay bytes, which ``str()`` would turn into source."""
    if isinstance(value, os.PathLike):
        return os.fsencode(value)
    return value if isinstance(value, bytes | int | float) else str(value)


def main() -> None:
    """Serve until the parent closes its end."""
    root, objects, spool, archive = map(os.fsencode, sys.argv[1:])
    reader = FileReader(
        Direct(root, archive or None), ContentStore(Path(os.fsdecode(objects)), Path(os.fsdecode(spool)))
    )

    def answer(request: tuple[list[bytes], list[bytes]]) -> Any:
        paths, overdue = request
        try:
            return _packed(reader.read(paths, frozenset(overdue)))
        except StorageProblem as problem:
            return {"": problem.template, **{name: _carried(value) for name, value in problem.fields.items()}}

    serve(answer)


if __name__ == "__main__":
    main()
