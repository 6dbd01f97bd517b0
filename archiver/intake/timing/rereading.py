"""Read files again whose change could go unnoticed, because their filesystem stores only a modification time.

A program may set the modification time of a file back after a change, as copying tools do.  Where the filesystem
has no ctime, such a file looks unchanged if its size is the same as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice

from archiver import clock
from archiver.intake.snapshot import Snapshot
from archiver.store.content.source import StatData
from archiver.workers import name_to_text, text_to_name

#: The key in ``state.db``, for JSON: when the last reading of all files ended (RFC 3339, empty before the first),
#: and the folder and the name of the file at which the present reading has arrived (null between two readings).
_META_KEY = "rereading"
#: The files that are read again after one scan.  With more, captures would wait for them for minutes.
_MAX_FILES = 500
_MAX_BYTES = 64 << 20


def forget_states(snapshot: Snapshot, paths: Iterable[bytes]) -> None:
    """Let the next scan find the files at ``paths`` changed, so that they are read; raises sqlite3.Error.

    If their content is the archived one, no version is made.
    """
    snapshot.record(dict.fromkeys(paths, StatData.unknown()))


class RereadSchedule:
    """Lets all files be read again once in a period, some of them after each scan.

    How far that is gone is kept in ``state.db``, so that it goes on after a restart.
    """

    def __init__(self, snapshot: Snapshot, period_days: float) -> None:
        """Have the files of ``snapshot`` read every ``period_days`` days, or never (0); the caller closes it."""
        self._snapshot = snapshot
        self._period = timedelta(days=period_days)

    def forget_next_files(self) -> None:
        """Forget the states of the next files that are due to be read again; raises sqlite3.Error."""
        if not self._period:
            return
        now = clock.read_clocks().wall
        stored_text = self._snapshot.meta(_META_KEY)
        if not stored_text:
            # The files of a new archive, or of a new database, are read anyway.
            self._store(now, None)
            return
        finished_at_text, place = json.loads(stored_text)
        finished_at = clock.parse_time(finished_at_text)
        if place is None:
            # A clock that was set back must not put the reading off.
            if finished_at <= now < finished_at + self._period:
                return
            place = ["", ""]
        folder, name = map(text_to_name, place)
        paths = list(self._select_files_after(folder, name))
        forget_states(self._snapshot, paths)
        if paths:
            folder, _, name = paths[-1].rpartition(b"/")
            self._store(finished_at, [name_to_text(folder), name_to_text(name)])
        else:
            self._store(now, None)

    def _store(self, finished_at: datetime, place: list[str] | None) -> None:
        """Store the value of ``_META_KEY``."""
        self._snapshot.set_meta(_META_KEY, json.dumps([clock.format_time(finished_at), place]))

    def _select_files_after(self, folder: bytes, name: bytes) -> Iterator[bytes]:
        """Yield the files after ``name`` in ``folder``, up to the limits of one scan, and at least one."""
        byte_count = 0
        for path, size in islice(self._list_files_after(folder, name), _MAX_FILES):
            byte_count += size
            yield path
            if byte_count > _MAX_BYTES:
                return

    def _list_files_after(self, start_folder: bytes, start_name: bytes) -> Iterator[tuple[bytes, int]]:
        """Yield the path and the size of each archived file after ``start_name`` in ``start_folder``, in order."""
        for folder in sorted(folder for folder in self._snapshot.folders_below(b"") if folder >= start_folder):
            for name, state in sorted(self._snapshot.folder_entries(folder).items()):
                if isinstance(state, StatData) and (folder, name) > (start_folder, start_name):
                    yield (folder + b"/" + name if folder else name), state.size
