"""Asks the time-stamp authority beside the work: an authority that is down or slow delays no version."""

from __future__ import annotations

import sqlite3
import threading

from archiver import clock
from archiver.config import Config
from archiver.errors import ArchiverError, Report
from archiver.evidence.timestamp import is_wanted, stamp
from archiver.store.archive import Archive

_AGAIN_SECONDS = 900.0


class Stamper:
    """One token at a time, for checkpoints that have none yet."""

    def __init__(self, config: Config, report: Report, wait_seconds: float) -> None:
        self._config = config
        self._report = report
        self._wait = wait_seconds
        self._thread: threading.Thread | None = None
        self._not_before = 0.0

    def work(self, archive: Archive) -> None:
        """Begin to ask, if there is something to ask for; returns at once."""
        if not self._config.timestamp_url or clock.monotonic() < self._not_before:
            return
        if (self._thread is not None and self._thread.is_alive()) or not is_wanted(archive):
            return
        self._not_before = clock.monotonic() + _AGAIN_SECONDS
        # Not waited for at the end: what it has not journalled by then is asked for again.
        self._thread = threading.Thread(target=self._ask, name="stamper", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            archive = Archive(self._config.archive)
            try:
                stamp(archive, self._config.timestamp_url, self._wait)
                self._not_before = 0.0
            finally:
                archive.close()
        except ArchiverError as error:
            self._report(error.template, problem="timestamp", **error.fields)
        except (OSError, sqlite3.Error) as error:
            self._report(
                "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
                problem="timestamp",
                path=self._config.archive,
                reason=error,
            )
