"""Read and write ``packed-refs`` without git, which looks up no ref at all if one line of the file is damaged."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from archiver.store.fsync import sync_filesystem, sync_path

NAME = "packed-refs"
#: Longer than any file of a ref.
MAX_REF_BYTES = 1 << 12
_REF = rb"([0-9a-f]{40}) (refs/[^\x00-\x20\x7f]+)\n"
_LINE = re.compile(rb"^" + _REF, re.MULTILINE)
_WHOLE = re.compile(rb"(?:#[^\n]*\n)?(?:" + _REF + rb"(?:\^[0-9a-f]{40}\n)?)*+")


def is_whole(repository: Path) -> bool:
    """Return True if git can read every line of the file.

    Also returns True if there is no such file, or if this user may not read it: nothing shows damage then.
    """
    path = repository / NAME
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            # Reading a pipe would wait for a writer.
            return False
        return _is_whole(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except (FileNotFoundError, PermissionError):  # Not seen is not damaged.
        return True
    except OSError:  # The disk cannot read the file, and neither can git.
        return False


def read_state(repository: Path) -> tuple[int, ...]:
    """Return what changes whenever the file is written or replaced; empty without a readable file."""
    try:
        status = os.stat(repository / NAME)
    except OSError:
        # Git creates the file when it first packs refs; one that cannot be read is for git to report.
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


# Cached, because each writing asks, and only maintenance changes the file.
@lru_cache(maxsize=4)
def _is_whole(path: Path, *_state: int) -> bool:
    """Return True if every line of the file is complete; ``_state`` makes the cache notice a changed file.

    An empty file is not whole: git writes a comment at least, and would lose all packed refs without a word.
    """
    data = read_regular_file(path)
    return bool(data) and _WHOLE.fullmatch(data) is not None


def read_regular_file(path: str | os.PathLike[str], max_bytes: int = -1) -> bytes:
    """Return the bytes of a regular file, at most ``max_bytes``; raises OSError, also for a link or a pipe.

    Whoever owns the archive can put anything there: a pipe would let root wait for ever, and a link read for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fspath(path))
        return stream.read(max_bytes)


def was_written_here(repository: Path) -> bool:
    """Return True if :func:`write` made the present file, which lacks the first line that git writes."""
    try:
        with open(repository / NAME, "rb") as stream:
            return stream.read(1) != b"#"
    except OSError:
        # There is no such file, or it cannot be read: git has to tell.
        return False


def read(repository: Path) -> dict[str, str]:
    """Return the object id of each ref with an intact line; none if the file is missing or unreadable."""
    try:
        data = read_regular_file(repository / NAME)
    except OSError:
        # Without the file, no ref is packed; an unreadable one gives no ref.
        return {}
    return {name.decode("utf-8", "surrogateescape"): oid.decode("ascii") for oid, name in _LINE.findall(data)}


def read_with_loose(repository: Path) -> dict[str, str]:
    """Return the object id of each readable ref; a ref's own file has precedence over ``packed-refs``.

    Git's lock files are left out: those of a transaction at work hold object ids as well.
    """
    refs = read(repository)
    prefix_length = len(os.fspath(repository)) + 1
    for folder, _, files in os.walk(repository / "refs"):
        for path in (f"{folder}/{name}" for name in files if not name.endswith(".lock")):
            try:
                text = read_regular_file(path, MAX_REF_BYTES).decode("ascii").strip()
            except (OSError, ValueError):
                # A file that cannot be read as text holds no object id.
                continue
            if re.fullmatch("[0-9a-f]{40}", text):
                refs[path[prefix_length:]] = text
    return refs


def encode_lines(refs: Mapping[str, str]) -> bytes:
    """Return the lines of a ``packed-refs`` with these refs, given as name and object id.

    Git's first line, a comment, is left out.
    """
    lines = (f"{oid} {name}\n" for name, oid in sorted(refs.items()))
    return "".join(lines).encode("utf-8", "surrogateescape")


def write(repository: Path, refs: dict[str, str]) -> None:
    """Replace ``packed-refs`` by a file with these refs, given as name and object id, durably; raises OSError.

    Without refs the file is removed: an empty one counts as damaged.
    """
    if not refs:
        (repository / NAME).unlink(missing_ok=True)
        sync_filesystem(repository)
        return
    making = repository / f"{NAME}.new"
    making.write_bytes(encode_lines(refs))
    sync_path(os.fspath(making))
    os.rename(making, repository / NAME)
    sync_filesystem(repository)
