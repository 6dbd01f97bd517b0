"""Journal attempts that a git hook or the socket refused: neither can journal, so both write to the spool."""

from __future__ import annotations

from collections.abc import Callable

from archiver.path_existence import is_there
from archiver.store.archive import Archive
from archiver.store.events.retention_events import ActRefused
from archiver.store.writer import Draft

#: Attempts that one event lists; further ones are only counted. A script that tries for hours makes thousands.
_MAX_LISTED = 100


def journal_refusals(archive: Archive, append: Callable[[Draft], None]) -> None:
    """Journal the attempts since the last call as one event, through ``append``; do nothing without an attempt.

    The file with the attempts is renamed first, and removed once the event is written.  So a crash in between can
    make an attempt appear twice in the journal, but never loses one.

    Raises OSError, and whatever ``append`` raises.  The attempts are journalled by a later call then.
    """
    refusals_path = archive.spool_folder / "refused"
    taken_path = archive.spool_folder / "refused.taken"
    # A taken file is left over from a call that failed before its event was written.
    if not is_there(taken_path):
        if not is_there(refusals_path):
            return
        refusals_path.rename(taken_path)
    # An event cannot hold a NUL. A NUL in the file would make this call, and every later one, fail.
    attempts = taken_path.read_bytes().decode("utf-8", "replace").replace("\0", "%00").splitlines()
    append(Draft("git", ActRefused(attempts=attempts[:_MAX_LISTED], count=len(attempts))))
    taken_path.unlink()
