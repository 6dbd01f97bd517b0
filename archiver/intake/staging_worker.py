"""Read many small files in processes beside this one.

A small file costs a dozen system calls and next to no waiting, so threads of one Python spend their
time handing its lock to each other: 20,000 files took 10 s of system time in futexes that two
processes do not need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Container, Sequence
from operator import index
from pathlib import Path
from typing import Any

from archiver.errors import LazyMessage, StorageError
from archiver.intake.folder.access import DirectAccess
from archiver.intake.snapshot import SkippedPath
from archiver.intake.staging import FileReader, StagingResult
from archiver.store.content.objects import ContentStore, StagedCopy
from archiver.store.content.source import StatData
from archiver.workers import WorkerPool, WorkerProgram, expect_text, name_to_text, serve, text_to_name

#: For a batch of small files on a local disk: a healthy one takes a second, one that retries a bad block minutes.
#: A process that is given up too early costs its batch read once more, here.
_PATIENCE_SECONDS = 300.0


class StagingProcesses:
    """The processes that read for one archive and one folder.  The owner ends them with :meth:`close`."""

    def __init__(self, root: bytes, content: ContentStore, archive: bytes = b"") -> None:
        """``archive``: the folder whose files must not be archived."""
        places = (root, os.fsencode(content.objects), os.fsencode(content.spool), archive)
        self._workers = WorkerPool(WorkerProgram("archiver.intake.staging_worker", places))

    def read(self, paths: Sequence[bytes], overdue: Container[bytes]) -> StagingResult:
        """Do as :meth:`FileReader.read` does; raises StorageError, and WorkerProblem if the process cannot tell.

        What the process had staged by then is left in the spool, which the next daemon clears.
        """
        request = [name_to_text(path) for path in paths], [name_to_text(path) for path in paths if path in overdue]
        outcome = self._workers.call(request, _decode_outcome, _PATIENCE_SECONDS)
        if isinstance(outcome, StorageError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the processes; only while no thread reads."""
        self._workers.close()


def _encode_result(result: StagingResult) -> dict[str, Any]:
    return {
        "staged": [
            (name_to_text(path), item.sha256, item.stat_data, item.spool_path, item.is_racy, item.health)
            for path, item in result.staged.items()
        ],
        "unstable": list(map(name_to_text, result.unstable)),
        "held": list(map(name_to_text, result.held)),
        "unreadable": [(name_to_text(item.path), item.code, item.value) for item in result.unreadable],
    }


def _encode_problem(problem: StorageError) -> dict[str, Any]:
    message = problem.message
    return {"template": message.template, "fields": {key: _encode_field(v) for key, v in message.fields.items()}}


def _encode_field(value: object) -> object:
    """Write a field of a message: a name stays one, which ``str()`` would turn into Python source."""
    if isinstance(value, bytes | os.PathLike):
        return {"name": name_to_text(os.fsencode(value))}
    return value if isinstance(value, int | float) else str(value)


def _decode_outcome(answer: Any) -> StagingResult | StorageError:
    """Read what a process answers; raises TypeError, ValueError or LookupError if it is no answer."""
    if "template" in answer:
        fields = {key: _decode_field(value) for key, value in answer["fields"].items()}
        return StorageError(LazyMessage.revive(expect_text(answer["template"]), fields))
    return StagingResult(
        dict(map(_decode_staged, answer["staged"])),
        list(map(text_to_name, answer["unstable"])),
        list(map(text_to_name, answer["held"])),
        list(map(_decode_skipped, answer["unreadable"])),
    )


def _decode_staged(fields: Any) -> tuple[bytes, StagedCopy]:
    path, sha256, stat_data, spool_path, is_racy, health = fields
    return text_to_name(path), StagedCopy(
        expect_text(sha256),
        StatData(*map(index, stat_data)),
        None if spool_path is None else expect_text(spool_path),
        bool(is_racy),
        expect_text(health),
    )


def _decode_skipped(fields: Any) -> SkippedPath:
    path, code, value = fields
    return SkippedPath(text_to_name(path), expect_text(code), expect_text(value))


def _decode_field(value: Any) -> object:
    return text_to_name(value["name"]) if isinstance(value, dict) else value


def main() -> None:
    """Serve until the parent closes its end."""
    root, objects, spool, archive = map(os.fsencode, sys.argv[1:])
    reader = FileReader(
        DirectAccess(root, archive or None), ContentStore(Path(os.fsdecode(objects)), Path(os.fsdecode(spool)))
    )

    def answer(request: list[list[str]]) -> dict[str, Any]:
        paths, overdue = (list(map(text_to_name, texts)) for texts in request)
        try:
            return _encode_result(reader.read(paths, frozenset(overdue)))
        except StorageError as problem:
            return _encode_problem(problem)

    serve(answer)


if __name__ == "__main__":
    main()
