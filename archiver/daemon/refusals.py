"""Attempts that a git hook or the socket refused: neither can journal, so they leave word in the spool."""

from __future__ import annotations

from collections.abc import Callable

from archiver.existence import is_there
from archiver.store.archive import Archive
from archiver.store.writer import Draft

_AT_ONCE = 100


def journal_refusals(archive: Archive, append: Callable[[Draft], None]) -> None:
    """Journal what was refused since the last call, many at once in one event."""
    note, taken = (archive.spool / name for name in ("refused", "refused.taken"))
    # A crash may have left what was taken before it was journalled.
    if not is_there(taken):
        if not is_there(note):
            return
        note.rename(taken)
    # Whoever may write there could keep every refusal out of the journal with a NUL.
    lines = taken.read_bytes().decode("utf-8", "replace").replace("\0", "%00").splitlines()
    append(Draft("refuse", "git", {"attempts": lines[:_AT_ONCE], "count": len(lines)}))
    taken.unlink()
