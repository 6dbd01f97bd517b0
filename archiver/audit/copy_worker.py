"""Copy content into a package while hashing it: the child process of ``archiver.audit.copy_pool``."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from errno import EIO
from io import FileIO

from archiver.store.content.copier import LARGE, Copier
from archiver.store.fsync import begin_write_out
from archiver.workers import serve

#: Meanwhile the report is made, and takes its share of the processors.
_AHEAD = 8

#: Size and digests by algorithm, or what stood in the way: number, words, file.
Copied = tuple[int, dict[str, str]]
Failed = tuple[int, str, str]


def copy_all(pairs: Iterable[tuple[str, str]], algorithms: Sequence[str], copier: Copier) -> list[Copied | Failed]:
    """Copy each source to its target, which must not be there; the digests are those of the bytes written."""
    done: list[Copied | Failed] = []
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


def _begin(source: str, target: FileIO, algorithms: Sequence[str], copier: Copier) -> Copied:
    digests = {each: hashlib.new(each) for each in algorithms}
    with open(source, "rb", buffering=0) as taken:
        expected = os.fstat(taken.fileno()).st_size
        size = copier.copy(taken.readinto, target.fileno(), expected, list(digests.values()))
    if expected < LARGE:
        begin_write_out(target.fileno())
    return size, {each: digest.hexdigest() for each, digest in digests.items()}


def _failed(error: OSError, file: str) -> Failed:
    return error.errno or EIO, error.strerror or str(error), str(error.filename or file)


def main() -> None:
    """Serve until the parent closes its end."""
    copier = Copier(_AHEAD)

    def answer(request: tuple[list[tuple[str, str]], list[str]]) -> list[Copied | Failed]:
        pairs, algorithms = request
        return copy_all(pairs, algorithms, copier)

    serve(answer)


if __name__ == "__main__":
    main()
