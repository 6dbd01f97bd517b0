"""``packed-refs``, read without git: git answers nothing at all where one line of it is damaged."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from pathlib import Path

from archiver.store.fsync import sync_filesystem

NAME = "packed-refs"
_REF = rb"([0-9a-f]{40}) (refs/[^\x00-\x20\x7f]+)\n"
_LINE = re.compile(rb"^" + _REF, re.MULTILINE)
_WHOLE = re.compile(rb"(?:#[^\n]*\n)?(?:" + _REF + rb"(?:\^[0-9a-f]{40}\n)?)*+")


def is_whole(repository: Path) -> bool:
    """Return True unless git would stumble over a line; also where there is no such file."""
    path = repository / NAME
    try:
        status = os.stat(path)
        return _is_whole(path, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    except (FileNotFoundError, PermissionError):
        return True
    except OSError:
        return False


# Each writing asks, and nothing but housekeeping changes it.
@lru_cache(maxsize=4)
def _is_whole(path: Path, *_state: int) -> bool:
    return _WHOLE.fullmatch(path.read_bytes()) is not None


def read(repository: Path) -> dict[str, str]:
    """Every ref whose line is whole, with its object id."""
    try:
        data = (repository / NAME).read_bytes()
    except OSError:
        return {}
    return {name.decode("utf-8", "surrogateescape"): oid.decode("ascii") for oid, name in _LINE.findall(data)}


def read_with_loose(repository: Path) -> dict[str, str]:
    """The same, with the refs that lie in files of their own and hold an object id."""
    refs = read(repository)
    for folder, _, files in os.walk(repository / "refs"):
        for path in (Path(folder, name) for name in files):
            try:
                text = path.read_text("ascii").strip()
            except (OSError, ValueError):
                continue
            if re.fullmatch("[0-9a-f]{40}", text):
                refs[os.fspath(path.relative_to(repository))] = text
    return refs


def write(repository: Path, refs: dict[str, str]) -> None:
    """Put a file with these refs into its place, durably; raises OSError."""
    making = repository / f"{NAME}.new"
    lines = [f"{oid} {name}\n" for name, oid in sorted(refs.items())]
    making.write_text("".join(lines), "utf-8", "surrogateescape")
    os.rename(making, repository / NAME)
    sync_filesystem(repository)
