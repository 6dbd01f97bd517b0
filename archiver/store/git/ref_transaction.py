"""Move refs in one transaction of git whose outcome hangs on a single file: the journal's ref.

Git syncs each ref that it writes, which takes most of the time of a version.  So the private settings of our git
leave refs out, and this module syncs the one ref that counts while it is still a lock file.  After a power cut
every other ref may be missing or empty, and recovery makes them again from the journal
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
#: The old value of a ref that is moved without being checked, even if its old value cannot be read.
ANY = ""
_READ_BYTES = 1 << 12


class RefUpdate(NamedTuple):
    """Move ``ref`` from ``old`` (ZERO: must not exist; ANY: unchecked) to ``new`` (ZERO: delete)."""

    ref: str
    old: str
    new: str


def commit_moves(commands: GitCommands, moves: Sequence[RefUpdate], durable_refs: Sequence[str]) -> None:
    """Move refs in the given order, in one transaction; the caller syncs the filesystem afterwards.

    ``durable_refs`` are those of the moved refs whose new values are on the disk before any ref moves.

    Raises StorageError if git refuses or does not answer, OSError if a lock file cannot be synced; no ref has
    moved then, unless git died in the middle.
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


def _send(commands: GitCommands, process: GitProcess, request: bytes, last_answer: bytes) -> None:
    """Send ``request`` to git, and wait until it ends its answer with ``last_answer``; raises StorageError."""
    try:
        process.stdin.write(request)
        process.stdin.flush()
    except BrokenPipeError:
        # Git has ended because of an error, which is on its error output.
        pass
    answer = b""
    while not answer.endswith(last_answer):
        if not select.select([process.stdout], [], [], commands.patience_seconds)[0]:
            raise commands.failed("update-ref", HANGS)
        data = os.read(process.stdout.fileno(), _READ_BYTES)
        if not data:
            raise commands.failed("update-ref", process.stderr.read())
        answer += data
