"""Read and write git's file ``packed-refs``, which lists the refs that have no file of their own.

Git itself finds no ref at all if one line of the file is damaged.
"""

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
#: The file of a single ref is shorter than this.
MAX_REF_BYTES = 1 << 12
#: A line with the object id and the full name of a ref.
_REF_LINE = rb"([0-9a-f]{40}) (refs/[^\x00-\x20\x7f]+)\n"
_REF_LINES = re.compile(rb"^" + _REF_LINE, re.MULTILINE)
#: The whole file: git's comment, then the refs.  A line that begins with "^" has the target of the tag before it.
_WHOLE_FILE = re.compile(rb"(?:#[^\n]*\n)?(?:" + _REF_LINE + rb"(?:\^[0-9a-f]{40}\n)?)*+")


def is_whole(repository: Path) -> bool:
    """Return True if git can read every line of ``packed-refs``.

    Also returns True if the file is missing, or if this user may not read it, because neither is a sign of damage.
    """
    path = repository / NAME
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            # Reading a pipe would wait for a writer.
            return False
        return _is_whole_in_state(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except (FileNotFoundError, PermissionError):  # Neither is a sign of damage.
        return True
    except OSError:  # The disk cannot read the file, and neither can git.
        return False


def read_state(repository: Path) -> tuple[int, ...]:
    """Return numbers that change whenever ``packed-refs`` is written or replaced.

    Returns an empty tuple if the file cannot be examined.
    """
    try:
        status = os.stat(repository / NAME)
    except OSError:
        # The file is missing until git packs refs for the first time.  Git reports any other error.
        return ()
    return (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


# Cached, because each write to the archive calls this, and only maintenance changes the file.
@lru_cache(maxsize=4)
def _is_whole_in_state(path: Path, *_state: int) -> bool:
    """Return True if every line of the file is complete; ``_state`` makes the cache notice a changed file.

    An empty file counts as damaged: git writes at least a comment, and would lose all packed refs without a word.
    """
    data = read_regular_file(path)
    return bool(data) and _WHOLE_FILE.fullmatch(data) is not None


def read_regular_file(path: str | os.PathLike[str], max_bytes: int = -1) -> bytes:
    """Return the first ``max_bytes`` bytes of a regular file (-1: all); raises OSError, also for a link or a pipe.

    The owner of the archive can put a pipe or a link in place of the file: root would wait for the pipe for ever,
    or read without end from the target of the link.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), os.fspath(path))
        return stream.read(max_bytes)


def was_written_here(repository: Path) -> bool:
    """Return True if :func:`write` wrote the present ``packed-refs``, which lacks the comment that git writes."""
    try:
        with open(repository / NAME, "rb") as stream:
            return stream.read(1) != b"#"
    except OSError:
        # The file is missing, or cannot be read, which git reports.
        return False


def read(repository: Path) -> dict[str, str]:
    """Return the object id of each ref with an intact line in ``packed-refs``, by the full name of the ref.

    Returns an empty dict if the file is missing or unreadable.
    """
    try:
        data = read_regular_file(repository / NAME)
    except OSError:
        # Without the file, no ref is packed.
        return {}
    return {name.decode("utf-8", "surrogateescape"): oid.decode("ascii") for oid, name in _REF_LINES.findall(data)}


def read_with_loose(repository: Path) -> dict[str, str]:
    """Return the object id of each readable ref; a ref's own file has precedence over ``packed-refs``.

    Git's lock files are left out, because those of a running transaction contain object ids, too.
    """
    refs = read(repository)
    prefix_length = len(os.fspath(repository)) + 1
    for folder, _, files in os.walk(repository / "refs"):
        for path in (f"{folder}/{name}" for name in files if not name.endswith(".lock")):
            try:
                text = read_regular_file(path, MAX_REF_BYTES).decode("ascii").strip()
            except (OSError, ValueError):
                # A file that cannot be read as text contains no object id.
                continue
            if re.fullmatch("[0-9a-f]{40}", text):
                refs[path[prefix_length:]] = text
    return refs


def encode_lines(refs: Mapping[str, str]) -> bytes:
    """Return the lines of a ``packed-refs`` file for ``refs``, which has the object ids by the refs' full names.

    Git's first line, a comment, is left out.
    """
    lines = (f"{oid} {name}\n" for name, oid in sorted(refs.items()))
    return "".join(lines).encode("utf-8", "surrogateescape")


def write(repository: Path, refs: dict[str, str]) -> None:
    """Replace ``packed-refs`` durably by a file with ``refs``, which has the object ids by the refs' full names.

    Without refs, the file is removed, because an empty file counts as damaged.  Raises OSError.
    """
    if not refs:
        (repository / NAME).unlink(missing_ok=True)
        sync_filesystem(repository)
        return
    # If a crash leaves this file behind, ``interrupted_write`` removes it.
    new_path = repository / f"{NAME}.new"
    new_path.write_bytes(encode_lines(refs))
    sync_path(os.fspath(new_path))
    os.rename(new_path, repository / NAME)
    sync_filesystem(repository)
