"""Read and publish many small files in child processes.

Reading a small file takes a dozen system calls and hardly any waiting.  The threads of a single Python process
would spend their time passing the interpreter's lock to each other: for 20,000 files, futexes took 10 s of system
time.  Two processes do not have this cost.
"""

from __future__ import annotations

import os
import sys
from operator import index
from pathlib import Path
from typing import Any

from archiver.errors import LazyMessage, StorageError
from archiver.intake.folder.access import DirectAccess
from archiver.intake.snapshot import SkippedPath
from archiver.intake.staging import FileReader, ReadingOrder, StagingResult
from archiver.store.content.objects import ContentStore
from archiver.store.content.source import StatData
from archiver.store.content.spool import StagedCopy, process_folder
from archiver.workers import WorkerPool, WorkerProgram, expect_text, name_to_text, serve, text_to_name

#: The time limit for a batch of small files on a local disk.  A healthy disk takes a second; one that retries a
#: bad block takes minutes.  If the limit is too short, a slow batch is read a second time, in this process.
_PATIENCE_SECONDS = 300.0


class StagingProcesses:
    """The child processes that read the watched folder for an archive.

    The owner ends the processes with :meth:`close`.
    """

    def __init__(self, root: bytes, content: ContentStore, archive: bytes = b"") -> None:
        """Read the watched folder ``root`` into the spool of ``content``; no process is started yet.

        ``archive`` is the archive's folder, whose files are never read; empty if there is no folder to leave out.
        """
        places = (root, os.fsencode(content.objects_folder), os.fsencode(content.spool.folder), archive)
        self._workers = WorkerPool(WorkerProgram("archiver.intake.staging_worker", places))

    def read(self, order: ReadingOrder) -> StagingResult:
        """Read and publish the files of ``order`` in a child process, with :meth:`FileReader.read_and_publish`.

        Raises StorageError if the archive's disk cannot be written, WorkerProblem if the child fails or does not
        answer in time.  After a WorkerProblem, the child's copies stay in the spool until the next daemon clears
        the spool.
        """
        outcome = self._workers.call(_encode_order(order), _decode_outcome, _PATIENCE_SECONDS)
        if isinstance(outcome, StorageError):
            raise outcome
        return outcome

    def close(self) -> None:
        """End the child processes; the caller makes sure that no thread is in :meth:`read`."""
        self._workers.close()


def _encode_order(order: ReadingOrder) -> dict[str, Any]:
    """Return ``order`` as the JSON value of a request, for :func:`_decode_order`."""
    return {
        "paths": list(map(name_to_text, order.paths)),
        "overdue": list(map(name_to_text, order.overdue)),
        "private": list(map(name_to_text, order.private)),
        "restricted": {name_to_text(path): list(digests) for path, digests in order.restricted.items()},
    }


def _decode_order(request: Any) -> ReadingOrder:
    """Return the reading order that :func:`_encode_order` encoded."""
    return ReadingOrder(
        list(map(text_to_name, request["paths"])),
        set(map(text_to_name, request["overdue"])),
        set(map(text_to_name, request["private"])),
        {text_to_name(path): frozenset(digests) for path, digests in request["restricted"].items()},
    )


def _encode_result(result: StagingResult) -> dict[str, Any]:
    """Return ``result`` as the JSON value of a child's answer, for :func:`_decode_outcome`."""
    return {
        "staged": [
            (name_to_text(path), item.sha256, item.stat_data, item.is_racy, item.health, item.is_private)
            for path, item in result.staged.items()
        ],
        "unstable": list(map(name_to_text, result.unstable)),
        "held": list(map(name_to_text, result.held)),
        "unreadable": [(name_to_text(item.path), item.code, item.value) for item in result.unreadable],
    }


def _encode_problem(problem: StorageError) -> dict[str, Any]:
    """Return ``problem`` as the JSON value of a child's answer, for :func:`_decode_outcome`.

    The message is sent as its template and fields, so that the parent can translate it.
    """
    message = problem.message
    return {"template": message.template, "fields": {key: _encode_field(v) for key, v in message.fields.items()}}


def _encode_field(value: object) -> object:
    """Return a field of a message as a JSON value, for :func:`_decode_field`.

    A path, or a name as bytes, becomes an object, because ``str()`` would turn bytes into Python source.
    """
    if isinstance(value, bytes | os.PathLike):
        return {"name": name_to_text(os.fsencode(value))}
    return value if isinstance(value, int | float) else str(value)


def _decode_outcome(answer: Any) -> StagingResult | StorageError:
    """Return the result or the error in a child's answer.

    Raises TypeError, ValueError or LookupError if the answer is malformed.
    """
    if "template" in answer:
        fields = {key: _decode_field(value) for key, value in answer["fields"].items()}
        return StorageError(LazyMessage.from_parts(expect_text(answer["template"]), fields))
    return StagingResult(
        dict(map(_decode_staged, answer["staged"])),
        list(map(text_to_name, answer["unstable"])),
        list(map(text_to_name, answer["held"])),
        list(map(_decode_skipped, answer["unreadable"])),
    )


def _decode_staged(fields: Any) -> tuple[bytes, StagedCopy]:
    """Return a file's path and copy from the form of :func:`_encode_result`.

    Raises ValueError or TypeError if ``fields`` is malformed.
    """
    path, sha256, stat_data, is_racy, health, is_private = fields
    return text_to_name(path), StagedCopy(
        expect_text(sha256),
        StatData(*map(index, stat_data)),
        spool_path=None,
        is_racy=bool(is_racy),
        health=expect_text(health),
        is_private=bool(is_private),
    )


def _decode_skipped(fields: Any) -> SkippedPath:
    """Return an unreadable path from the form of :func:`_encode_result`.

    Raises ValueError or TypeError if ``fields`` is malformed.
    """
    path, code, value = fields
    return SkippedPath(text_to_name(path), expect_text(code), expect_text(value))


def _decode_field(value: Any) -> object:
    """Return the field of a message that :func:`_encode_field` encoded."""
    return text_to_name(value["name"]) if isinstance(value, dict) else value


def main() -> None:
    """Read the batches requested by the parent, until the parent closes the socket; the child's main function.

    The arguments of the process are the watched folder, the folders of objects and of the spool, and the archive's
    folder, which may be empty.
    """
    root, objects, spool, archive = map(os.fsencode, sys.argv[1:])
    with process_folder(Path(os.fsdecode(spool))) as folder:
        reader = FileReader(DirectAccess(root, archive or None), ContentStore(Path(os.fsdecode(objects)), folder))

        def answer(request: Any) -> dict[str, Any]:
            try:
                return _encode_result(reader.read_and_publish(_decode_order(request)))
            except StorageError as problem:
                return _encode_problem(problem)

        serve(answer)


if __name__ == "__main__":
    main()
