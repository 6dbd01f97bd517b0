"""Journal the attempts that a git hook or the socket refused.

Neither can write to the journal, so both add a line to a file in ``spool/``, the archive's folder for temporary
files.
"""

from __future__ import annotations

from collections.abc import Callable

from archiver.path_existence import is_there
from archiver.store.archive import Archive
from archiver.store.events.retention_events import ActRefused
from archiver.store.writing.drafts import Draft

#: Attempts that one event lists; further ones are only counted. A script that tries for hours makes thousands.
_MAX_LISTED = 100
#: Characters of each. Longer than the attempt to move a ref, and short enough that 100 of them fit into an event.
_MAX_ATTEMPT_LENGTH = 1000


def journal_refusals(archive: Archive, journal_event: Callable[[Draft], None]) -> None:
    """Journal the attempts since the last call as a single event; do nothing if there were none.

    At most ``_MAX_LISTED`` attempts are listed, long ones cut, and all are counted.  The file with the attempts is
    renamed first, and removed once the event is written.  So a crash in between can journal an attempt twice, but
    never loses one.

    Raises OSError, and the errors of ``journal_event``, which writes the event.  A later call journals the
    attempts then.
    """
    refusals_path = archive.spool_folder / "refused"
    taken_path = archive.spool_folder / "refused.taken"
    # A taken file is left over from a call that failed before its event was written.
    if not is_there(taken_path):
        if not is_there(refusals_path):
            return
        refusals_path.rename(taken_path)
    # An event cannot hold a NUL. A NUL in the file would make this call, and every later one, fail.
    lines = taken_path.read_bytes().decode("utf-8", "replace").replace("\0", "%00").splitlines()
    attempts = [line[:_MAX_ATTEMPT_LENGTH] for line in lines[:_MAX_LISTED]]
    journal_event(Draft("git", ActRefused(attempts=attempts, count=len(lines))))
    taken_path.unlink()
