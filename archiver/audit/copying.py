"""Copying content into a package while hashing it: the child process of :class:`archiver.audit.bag.BagWriter`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from typing import Any

from archiver.beside import serve
from archiver.store.durable import begin_write_out

#: Hashed and written while the processor still holds it.
_CHUNK = 128 << 10

#: Size and digests by algorithm, or what stood in the way: number, words, file.
Copied = tuple[int, dict[str, str]]
Failed = tuple[int, str, str]


def copy_all(request: tuple[Iterable[tuple[str, str]], Sequence[str]]) -> list[Copied | Failed]:
    """Copy each source to its target, which must not be there; the digests are those of the bytes written."""
    pairs, algorithms = request
    buffer = memoryview(bytearray(_CHUNK))
    done: list[Copied | Failed] = []
    made = ""
    for source, target in pairs:
        folder = os.path.dirname(target)
        done.append(_copy(source, target, algorithms, buffer, "" if folder == made else folder))
        made = folder
    return done


def _copy(source: str, target: str, algorithms: Sequence[str], buffer: memoryview, folder: str) -> Copied | Failed:
    """Copy one; ``folder``: to be made first, empty: it is there."""
    digests = {each: hashlib.new(each) for each in algorithms}
    size = 0
    try:
        if folder:
            os.makedirs(folder, exist_ok=True)
        with open(source, "rb", buffering=0) as taken, open(target, "xb", buffering=0) as given:
            while count := taken.readinto(buffer):
                view = buffer[:count]
                for digest in digests.values():
                    digest.update(view)
                size += count
                while view:
                    view = view[given.write(view) :]
            begin_write_out(given.fileno())
    except OSError as error:
        return error.errno or 5, error.strerror or str(error), str(error.filename or source)
    return size, {each: digest.hexdigest() for each, digest in digests.items()}


def _answer(request: Any) -> Any:
    return copy_all(request)


if __name__ == "__main__":
    serve(_answer)
