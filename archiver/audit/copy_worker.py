"""Copy and hash content for a package: the child process of ``archiver.audit.copy_pool``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from errno import EIO
from io import FileIO
from operator import index
from typing import Any, NamedTuple

from archiver.store.content.copier import LARGE_FILE_BYTES, Copier
from archiver.store.fsync import begin_write_out
from archiver.workers import expect_text, serve

#: Chunks read ahead of the disk. More, and the copies take processors from the report, which is made meanwhile.
_QUEUED_CHUNKS = 8


class CopiedFile(NamedTuple):
    """The size and the digests of a finished copy."""

    size: int
    digests: dict[str, str]  # in hex, by algorithm, of the bytes written


class CopyFailure(NamedTuple):
    """The error that kept a copy from being made, and the file with the error."""

    errno: int
    reason: str
    file: str


def copy_files(
    path_pairs: Iterable[tuple[str, str]], algorithms: Sequence[str], copier: Copier
) -> list[CopiedFile | CopyFailure]:
    """Copy each source to a new target; return the outcome of every copy, in the same order.

    Never raises OSError: a file that cannot be read or written is a failure in the result, and the others are
    copied all the same.  An existing target is such a failure.
    """
    outcomes: list[CopiedFile | CopyFailure] = []
    known_folders: set[str] = set()
    with ExitStack() as open_targets:
        for source, target in path_pairs:
            try:
                target_folder = os.path.dirname(target)
                if target_folder not in known_folders:
                    os.makedirs(target_folder, exist_ok=True)
                    known_folders.add(target_folder)
                target_file = open_targets.enter_context(open(target, "xb", buffering=0))
                outcomes.append(_copy_file(source, target_file, algorithms, copier))
            except OSError as error:
                outcomes.append(_failure_of(error, source))
        try:
            copier.wait()
        except OSError as error:
            # The file with the error is not known: one failure makes the whole batch fail.
            outcomes[-1] = _failure_of(error, target)
    return outcomes


def _copy_file(source: str, target: FileIO, algorithms: Sequence[str], copier: Copier) -> CopiedFile:
    """Copy a file; chunks of a large file may be unwritten until ``copier.wait``.  Raises OSError."""
    running_digests = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with open(source, "rb", buffering=0) as source_file:
        expected_size = os.fstat(source_file.fileno()).st_size
        copied_size = copier.copy(
            source_file.readinto, target.fileno(), expected_size, list(running_digests.values())
        )
    if expected_size < LARGE_FILE_BYTES:
        begin_write_out(target.fileno())
    return CopiedFile(
        copied_size, {algorithm: digest.hexdigest() for algorithm, digest in running_digests.items()}
    )


def _failure_of(error: OSError, file: str) -> CopyFailure:
    return CopyFailure(error.errno or EIO, error.strerror or str(error), str(error.filename or file))


def encode_outcome(outcome: CopiedFile | CopyFailure) -> list[object]:
    """Encode an outcome for a frame."""
    return [isinstance(outcome, CopiedFile), *outcome]


def decode_outcome(value: Any) -> CopiedFile | CopyFailure:
    """Decode an outcome; raises TypeError, ValueError or AttributeError for anything else."""
    is_copied, *outcome_fields = value
    if is_copied:
        byte_count, digests = outcome_fields
        return CopiedFile(index(byte_count), {name: expect_text(digest) for name, digest in digests.items()})
    error_number, reason, file = outcome_fields
    return CopyFailure(index(error_number), expect_text(reason), expect_text(file))


def main() -> None:
    """Serve until the parent closes the socket."""
    copier = Copier(_QUEUED_CHUNKS)

    def copy_batch(request: tuple[list[tuple[str, str]], list[str]]) -> list[list[object]]:
        path_pairs, algorithms = request
        return list(map(encode_outcome, copy_files(path_pairs, algorithms, copier)))

    serve(copy_batch)


if __name__ == "__main__":
    main()
