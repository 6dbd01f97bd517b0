"""Copy content into a package while hashing it: the child process of ``archiver.audit.copy_pool``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from errno import EIO
from io import FileIO
from operator import index
from typing import Any, NamedTuple

from archiver.store.content.copier import LARGE, Copier
from archiver.store.fsync import begin_write_out
from archiver.workers import expect_text, serve

#: Meanwhile the report is made, and takes its share of the processors.
_AHEAD = 8


class CopiedFile(NamedTuple):
    """A copy that was made."""

    size: int
    digests: dict[str, str]  # in hex, by algorithm, of the bytes written


class CopyFailure(NamedTuple):
    """What stood in the way of a copy."""

    errno: int
    reason: str
    file: str


def copy_all(
    pairs: Iterable[tuple[str, str]], algorithms: Sequence[str], copier: Copier
) -> list[CopiedFile | CopyFailure]:
    """Copy each source to its target, which must not be there; return what became of each, in this order.

    Raises nothing for a file that cannot be read or written: the others are copied all the same.
    """
    outcomes: list[CopiedFile | CopyFailure] = []
    made_folders: set[str] = set()
    with ExitStack() as open_targets:
        for source, target in pairs:
            try:
                folder = os.path.dirname(target)
                if folder not in made_folders:
                    os.makedirs(folder, exist_ok=True)
                    made_folders.add(folder)
                file = open_targets.enter_context(open(target, "xb", buffering=0))
                outcomes.append(_copy_file(source, file, algorithms, copier))
            except OSError as error:
                outcomes.append(_failure_of(error, source))
        try:
            copier.wait()
        except OSError as error:
            # Which of the files it was is not known: the batch has failed, and is not given out as whole.
            outcomes[-1] = _failure_of(error, target)
    return outcomes


def _copy_file(source: str, target: FileIO, algorithms: Sequence[str], copier: Copier) -> CopiedFile:
    """Copy one file; pieces of a large one may be on their way until ``copier.wait``.  Raises OSError."""
    digests = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with open(source, "rb", buffering=0) as stream:
        expected_size = os.fstat(stream.fileno()).st_size
        size = copier.copy(stream.readinto, target.fileno(), expected_size, list(digests.values()))
    if expected_size < LARGE:
        begin_write_out(target.fileno())
    return CopiedFile(size, {algorithm: digest.hexdigest() for algorithm, digest in digests.items()})


def _failure_of(error: OSError, file: str) -> CopyFailure:
    return CopyFailure(error.errno or EIO, error.strerror or str(error), str(error.filename or file))


def encode_outcome(outcome: CopiedFile | CopyFailure) -> list[object]:
    """Write what became of a file for a frame."""
    return [isinstance(outcome, CopiedFile), *outcome]


def decode_outcome(value: Any) -> CopiedFile | CopyFailure:
    """Read what became of a file; raises TypeError, ValueError or AttributeError for anything else."""
    is_copied, *fields = value
    if is_copied:
        size, digests = fields
        return CopiedFile(index(size), {name: expect_text(digest) for name, digest in digests.items()})
    number, reason, file = fields
    return CopyFailure(index(number), expect_text(reason), expect_text(file))


def main() -> None:
    """Serve until the parent closes its end."""
    copier = Copier(_AHEAD)

    def answer(request: tuple[list[tuple[str, str]], list[str]]) -> list[list[object]]:
        pairs, algorithms = request
        return list(map(encode_outcome, copy_all(pairs, algorithms, copier)))

    serve(answer)


if __name__ == "__main__":
    main()
