"""Move refs in one git transaction that takes effect with a single file: the ref of the journal.

By default, git syncs the file of each ref, which would take most of the time needed to write a version.  So the
private settings of our git switch that off, and this module syncs only the journal's ref, while it is still a lock
file.  After a power cut, any other ref may be missing or empty, and recovery restores it from the journal
(:mod:`archiver.store.repair.ref_completion`).
"""

from __future__ import annotations

import os
import select
from collections.abc import Sequence
from typing import NamedTuple

from archiver.store.fsync import sync_path
from archiver.store.git.commands import HANGS, GitCommands
from archiver.store.git.git_process import GitProcess

#: The object id of a ref that does not exist.
ZERO = "0" * 40
#: Stands for any old value: git moves the ref without a check, even if the present value cannot be read.
ANY = ""
_READ_BYTES = 1 << 12


class RefUpdate(NamedTuple):
    """A move of ``ref`` from ``old`` (ZERO: must not exist; ANY: not checked) to ``new`` (ZERO: delete)."""

    ref: str
    old: str
    new: str


def commit_moves(commands: GitCommands, moves: Sequence[RefUpdate], durable_refs: Sequence[str]) -> None:
    """Move refs in the given order, in one transaction; the caller syncs the filesystem afterwards.

    ``durable_refs`` are some of the moved refs.  Their new values are on the disk before any ref moves.

    Raises StorageError if git refuses a move or does not answer, OSError if a lock file cannot be synced.  No ref
    has moved then, unless git died in the middle.
    """
    process = commands.start("update-ref", "-z", "--stdin")
    try:
        prepare = ["start", *(f"update {move.ref}\0{move.new}\0{move.old}" for move in moves), "prepare", ""]
        _send(commands, process, "\0".join(prepare).encode("utf-8"), b"prepare: ok\n")
        for ref in durable_refs:
            # Git has written the new value to the lock file, and only renames it from here on.
            sync_path(f"{os.fspath(commands.path)}/{ref}.lock")
        _send(commands, process, b"commit\0", b"commit: ok\n")
    finally:
        process.end()


def try_creations(commands: GitCommands, refs: Sequence[str], oid: str) -> None:
    """Ask git whether it could create ``refs``, which would point to the existing object ``oid``; create nothing.

    Raises StorageError if git refuses or does not answer.
    """
    process = commands.start("update-ref", "-z", "--stdin")
    try:
        prepare = ["start", *(f"create {ref}\0{oid}" for ref in refs), "prepare", ""]
        _send(commands, process, "\0".join(prepare).encode("utf-8"), b"prepare: ok\n")
        _send(commands, process, b"abort\0", b"abort: ok\n")
    finally:
        process.end()


def _send(commands: GitCommands, process: GitProcess, request: bytes, last_answer: bytes) -> None:
    """Send ``request`` to git, and read the answer until it ends with ``last_answer``.

    Raises StorageError if git ends before that, or is silent for too long.
    """
    try:
        process.stdin.write(request)
        process.stdin.flush()
    except BrokenPipeError:
        # Git has ended because of an error: the loop below reads the reason from the error output.
        pass
    answer = b""
    while not answer.endswith(last_answer):
        if not select.select([process.stdout], [], [], commands.patience_seconds)[0]:
            raise commands.failed("update-ref", HANGS)
        data = os.read(process.stdout.fileno(), _READ_BYTES)
        if not data:
            raise commands.failed("update-ref", process.stderr.read())
        answer += data
