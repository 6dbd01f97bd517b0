"""Complete a repository write interrupted by a crash, and remove leftovers; only under the writer's lock.

A write counts from the moment the journal's ref moves.  If the newest event names a ref that has not moved yet,
the ref is moved now.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from archiver import clock
from archiver.errors import Busy
from archiver.model import Event
from archiver.store.git.repository import ZERO, RefUpdate, Repository

_WAIT_SECONDS = 10.0


def recover(repository: Repository, newest: Event | None) -> list[str]:
    """Remove leftovers of a crash, and move the refs of ``newest``, the newest event; return the moved refs.

    With ``newest`` None, no ref is moved.  Raises Busy if a git process still works in the repository after ten
    seconds, StorageError if git fails.
    """
    _await_git(repository.path)
    for leftover in _leftovers(repository.path):
        leftover.unlink(missing_ok=True)
    if newest is None:
        return []
    updates = []
    for ref, wanted in newest.refs.items():
        now = repository.resolve(ref)
        if now != wanted:
            updates.append(RefUpdate(ref, now or ZERO, wanted))
    if updates:
        repository.move_refs(updates)
    return [update.ref for update in updates]


def _leftovers(path: Path) -> Iterator[Path]:
    """Yield the temporary files that killed git processes leave in a repository; some keep git from writing."""
    yield from path.glob("*.lock")
    yield from path.glob("fast_import_crash_*")
    yield from (path / "objects" / "pack").glob("tmp_*")
    # fast-import guards its pack with a .keep between two of its renames.
    yield from (path / "objects" / "pack").glob("*.keep")
    yield from (path / "objects").glob("[0-9a-f][0-9a-f]/tmp_obj_*")
    # No ref of ours ends in .lock, because such names are encoded in refs: these files are git's own.
    for folder, _, files in os.walk(path / "refs"):
        yield from (Path(folder, name) for name in files if name.endswith(".lock"))


def _await_git(path: Path) -> None:
    """Wait until no git process works in the repository; raises Busy after ten seconds.

    A git process may outlive its killed parent, and still needs the lock files that would be removed.
    """
    deadline = clock.monotonic_seconds() + _WAIT_SECONDS
    while owner := _git_process(path):
        if clock.monotonic_seconds() > deadline:
            raise Busy(
                "The archive is busy: git process {owner} is still running in {path}. Nothing was changed. Wait "
                "until it ends, or end it, then try again.",
                owner=owner,
                path=path,
            )
        time.sleep(0.05)


def _git_process(path: Path) -> int | None:
    """Return the pid of a git process whose working directory is the repository, None if there is none.

    ``git cat-file`` only reads, and does not count.
    """
    wanted = os.path.realpath(path)
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            if (
                os.readlink(f"/proc/{entry.name}/cwd") == wanted
                and os.path.basename(os.readlink(f"/proc/{entry.name}/exe")).startswith("git")
                and b"cat-file" not in Path(f"/proc/{entry.name}/cmdline").read_bytes()
            ):
                return int(entry.name)
        except OSError:
            # The process has ended, or belongs to another user.
            continue
    return None
