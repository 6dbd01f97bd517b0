"""What the daemon does beside its work: time-stamp tokens and restore drills, on a thread of their own.

An authority that is slow, or a drill of a gigabyte, delays no version.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable

from archiver import clock
from archiver.config import Config
from archiver.errors import ArchiverError, Report
from archiver.evidence import timestamp
from archiver.rehearsal import drill, is_due
from archiver.store.archive import Archive

_AGAIN_SECONDS = 900.0


class Errands:
    """One errand at a time; what fails is tried again later."""

    def __init__(self, config: Config, report: Report, wait_seconds: float) -> None:
        self._config = config
        self._report = report
        self._wait = wait_seconds
        self._thread: threading.Thread | None = None
        self._not_before = {"timestamp": 0.0, "drill": 0.0}

    def work(self, archive: Archive) -> None:
        """Begin one, if there is something to do; returns at once."""
        if self._thread is not None and self._thread.is_alive():
            return
        if self._config.timestamp_url and self._may("timestamp") and timestamp.is_wanted(archive):
            self._begin("timestamp", lambda own: timestamp.stamp(own, self._config.timestamp_url, self._wait))
        elif self._config.drill_days and self._may("drill") and is_due(archive, self._config.drill_days):
            self._begin("drill", lambda own: drill(own, self._config.drill_files, self._wait))

    def _may(self, name: str) -> bool:
        return clock.monotonic() >= self._not_before[name]

    def _begin(self, name: str, errand: Callable[[Archive], object]) -> None:
        self._not_before[name] = clock.monotonic() + _AGAIN_SECONDS
        # Not waited for at the end: what it has not journalled by then is done again.
        self._thread = threading.Thread(target=self._run, args=(name, errand), name=name, daemon=True)
        self._thread.start()

    def _run(self, name: str, errand: Callable[[Archive], object]) -> None:
        try:
            archive = Archive(self._config.archive)
            try:
                errand(archive)
                self._not_before[name] = 0.0
            finally:
                archive.close()
        except ArchiverError as error:
            self._report(error.template, problem=name, **error.fields)
        except (OSError, sqlite3.Error) as error:
            self._report(
                "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
                problem=name,
                path=self._config.archive,
                reason=error,
            )
