"""Remove the files that git leaves behind when its parent process is killed.

The caller holds the writer's lock.  :mod:`archiver.store.repair.ref_completion` completes the refs afterwards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from archiver import clock
from archiver.errors import Busy

_WAIT_SECONDS = 10.0


def remove_leftovers(path: Path) -> None:
    """Remove the files that git processes of a crashed writer left in the repository at ``path``.

    Waits until such processes have ended.  Raises Busy if a git process still works in the repository after ten
    seconds, OSError if a file cannot be removed.
    """
    _wait_for_git(path)
    for leftover in _find_leftovers(path):
        leftover.unlink(missing_ok=True)


def _find_leftovers(path: Path) -> Iterator[Path]:
    """Yield the files that killed git processes leave in a repository; some of them keep git from writing."""
    yield from path.glob("*.lock")
    # git writes the packed refs here first, and fails as long as the file exists.
    yield from path.glob("packed-refs.new")
    yield from (path / "objects" / "pack").glob("tmp_*")
    yield from (path / "objects").glob("[0-9a-f][0-9a-f]/tmp_obj_*")
    # No ref of ours ends in .lock, because such names are encoded in refs: these files are git's own.
    for folder, _, files in os.walk(path / "refs"):
        yield from (Path(folder, name) for name in files if name.endswith(".lock"))


def _wait_for_git(path: Path) -> None:
    """Wait until no git process works in the repository; raises Busy after ten seconds.

    A git process may outlive its killed parent, and then still needs the lock files that the caller removes.
    """
    deadline = clock.monotonic_seconds() + _WAIT_SECONDS
    while pid := _find_git_process(path):
        if clock.monotonic_seconds() > deadline:
            raise Busy(
                "The archive is busy: git process {owner} is still running in {path}. Nothing was changed. Wait "
                "until it ends, or end it, then try again.",
                owner=pid,
                path=path,
            )
        time.sleep(0.05)


def _find_git_process(path: Path) -> int | None:
    """Return the pid of a git process whose working directory is the repository; None if there is none.

    ``git cat-file`` is ignored, because it only reads.
    """
    repository_path = os.path.realpath(path)
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            if (
                os.readlink(f"/proc/{name}/cwd") == repository_path
                and os.path.basename(os.readlink(f"/proc/{name}/exe")).startswith("git")
                and b"cat-file" not in Path(f"/proc/{name}/cmdline").read_bytes()
            ):
                return int(name)
        except OSError:
            # The process has ended, or belongs to another user, and this user may not examine it.
            continue
    return None
