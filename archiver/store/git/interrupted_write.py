"""What a crash can leave in the repository, and how it is put right.

Only under the writer's lock.  The journal's move is the commit point: a ref that
the newest event names and that has not moved yet is moved now.
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
    """Put the repository right; returns the refs that had to be moved."""
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
    yield from path.glob("*.lock")
    yield from path.glob("fast_import_crash_*")
    yield from (path / "objects" / "pack").glob("tmp_*")
    # fast-import guards its pack with a .keep between two of its renames.
    yield from (path / "objects" / "pack").glob("*.keep")
    yield from (path / "objects").glob("[0-9a-f][0-9a-f]/tmp_obj_*")
    # A name ending in .lock is encoded in refs, so these are git's own.
    for folder, _, files in os.walk(path / "refs"):
        yield from (Path(folder, name) for name in files if name.endswith(".lock"))


def _await_git(path: Path) -> None:
    """Let a git that outlived its killed parent finish: its lock files are alive."""
    deadline = clock.monotonic() + _WAIT_SECONDS
    while owner := _git_process(path):
        if clock.monotonic() > deadline:
            raise Busy(
                "The archive is busy: git process {owner} still works in {path}. Nothing was written and "
                "nothing was lost. Wait until it ends, or end it, and try again.",
                owner=owner,
                path=path,
            )
        time.sleep(0.05)


def _git_process(path: Path) -> int | None:
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
            continue
    return None
