"""Journal the attempts that a git hook or the daemon's socket refused.

The hook and the socket cannot write to the journal. They add a line for each attempt to a file in ``spool/``, the
archive's folder for temporary files.
"""

from __future__ import annotations

from collections.abc import Callable

from archiver.path_existence import is_there
from archiver.store.archive import Archive
from archiver.store.events.retention_events import ActRefused
from archiver.store.writing.drafts import Draft

#: The most attempts that one event lists. Further attempts are only counted: a script can make thousands of them.
_MAX_LISTED_ATTEMPTS = 100
#: The most characters of a listed attempt. A refused change of a ref is shorter, and 100 attempts of this length
#: fit into an event.
_MAX_ATTEMPT_LENGTH = 1000


def journal_refusals(archive: Archive, journal_event: Callable[[Draft], None]) -> None:
    """Journal the attempts since the last call as a single event; do nothing if there were none.

    The event counts all attempts, but lists at most ``_MAX_LISTED_ATTEMPTS`` of them, and cuts long texts.  The
    file with the attempts is renamed first, and removed after the event is written.  So a crash in between can
    lead to a second event about the same attempts, but never loses an attempt.

    Raises OSError, and the errors of ``journal_event``, which writes the event.  After an error, a later call
    journals the attempts.
    """
    refusals_path = archive.spool_folder / "refused"
    taken_path = archive.spool_folder / "refused.taken"
    # A renamed file is left over from a call that failed before the event was written.
    if not is_there(taken_path):
        if not is_there(refusals_path):
            return
        refusals_path.rename(taken_path)
    # An event cannot contain a NUL. A NUL in the file would make this call, and every later call, fail.
    lines = taken_path.read_bytes().decode("utf-8", "replace").replace("\0", "%00").splitlines()
    attempts = [line[:_MAX_ATTEMPT_LENGTH] for line in lines[:_MAX_LISTED_ATTEMPTS]]
    journal_event(Draft("git", ActRefused(attempts=attempts, count=len(lines))))
    taken_path.unlink()
