"""Journal attempts refused by a git hook or the socket: neither can journal, so both write to the spool."""

from __future__ import annotations

from collections.abc import Callable

from archiver.path_existence import is_there
from archiver.store.archive import Archive
from archiver.store.events.retention_events import ActRefused
from archiver.store.writer import Draft

#: Of a script that tries for hours, one event lists so many attempts and counts the rest.
_MAX_LISTED = 100


def journal_refusals(archive: Archive, append: Callable[[Draft], None]) -> None:
    """Journal the attempts since the last call as one event.

    Crash window: the note is renamed first and removed after the event was written, so that an attempt can be
    journalled twice, and never lost.
    """
    note, taken_note = (archive.spool / name for name in ("refused", "refused.taken"))
    if not is_there(taken_note):
        if not is_there(note):
            return
        note.rename(taken_note)
    # An event cannot hold a NUL: one in the note would keep every later refusal out of the journal.
    attempts = taken_note.read_bytes().decode("utf-8", "replace").replace("\0", "%00").splitlines()
    append(Draft("git", ActRefused(attempts=attempts[:_MAX_LISTED], count=len(attempts))))
    taken_note.unlink()
