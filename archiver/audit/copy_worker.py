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
from archiver.workers import serve

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
    done: list[CopiedFile | CopyFailure] = []
    made: set[str] = set()
    with ExitStack() as opened:
        for source, target in pairs:
            try:
                folder = os.path.dirname(target)
                if folder not in made:
                    os.makedirs(folder, exist_ok=True)
                    made.add(folder)
                done.append(
                    _begin(source, opened.enter_context(open(target, "xb", buffering=0)), algorithms, copier)
                )
            except OSError as error:
                done.append(_failed(error, source))
        try:
            copier.wait()
        except OSError as error:
            done[-1] = _failed(error, target)
    return done


def _begin(source: str, target: FileIO, algorithms: Sequence[str], copier: Copier) -> CopiedFile:
    digests = {each: hashlib.new(each) for each in algorithms}
    with open(source, "rb", buffering=0) as taken:
        expected = os.fstat(taken.fileno()).st_size
        size = copier.copy(taken.readinto, target.fileno(), expected, list(digests.values()))
    if expected < LARGE:
        begin_write_out(target.fileno())
    return CopiedFile(size, {each: digest.hexdigest() for each, digest in digests.items()})


def _failed(error: OSError, file: str) -> CopyFailure:
    return CopyFailure(error.errno or EIO, error.strerror or str(error), str(error.filename or file))


def encode_outcome(outcome: CopiedFile | CopyFailure) -> list[object]:
    """Write what became of a file for a frame."""
    return [isinstance(outcome, CopiedFile), *outcome]


def decode_outcome(value: Any) -> CopiedFile | CopyFailure:
    """Read what became of a file; raises TypeError, ValueError or AttributeError for anything else."""
    is_copied, *fields = value
    if is_copied:
        size, digests = fields
        return CopiedFile(index(size), {name: str.lower(digest) for name, digest in digests.items()})
    number, reason, file = fields
    return CopyFailure(index(number), str(reason), str(file))


def main() -> None:
    """Serve until the parent closes its end."""
    copier = Copier(_AHEAD)

    def answer(request: tuple[list[tuple[str, str]], list[str]]) -> list[list[object]]:
        pairs, algorithms = request
        return list(map(encode_outcome, copy_all(pairs, algorithms, copier)))

    serve(answer)


if __name__ == "__main__":
    main()
