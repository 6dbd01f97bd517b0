"""Keeping the bucket up with the archive, on a thread of its own: a bucket that is slow or gone delays nothing."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import ArchiverError, Busy, Reporter
from archiver.replica.bucket import Bucket
from archiver.replica.connect import opened
from archiver.replica.replicate import replicate
from archiver.replica.sync import Ended
from archiver.replica.throttle import TransferStopped
from archiver.retention.policy import in_force
from archiver.store.archive import Archive

_REST_SECONDS = 10.0
#: Dates move and locks end without anything being journalled.
_LOOK_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 30.0, 1800.0


class Replication:
    """Replicates after something was journalled, and once an hour; after a failure ever more rarely."""

    def __init__(self, config: Config, report: Reporter) -> None:
        self._config = config
        self._report = report
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._bucket: Bucket | None = None
        self._seen: str | None = None
        self._not_before = 0.0
        self._look_at = 0.0
        self._failures = 0

    def work(self, archive: Archive) -> None:
        """Begin, if there is something to do; returns at once."""
        now = clock.monotonic()
        if now < self._not_before or (self._thread is not None and self._thread.is_alive()):
            return
        head = archive.index.head
        if archive.index.replica() is None or (head == self._seen and now < self._look_at):
            return
        self._thread = threading.Thread(target=self._run, args=(head,), name="replica", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End what is on its way at its next piece."""
        self._stopping.set()
        if self._bucket is not None:
            self._bucket.stop()

    def _run(self, head: str | None) -> None:
        try:
            self._replicate()
            self._seen, self._failures = head, 0
            self._not_before = clock.monotonic() + _REST_SECONDS
            self._look_at = clock.monotonic() + _LOOK_SECONDS
            return
        except (Ended, TransferStopped):
            return
        except Busy:
            # Somebody runs it by hand just now.
            self._not_before = clock.monotonic() + _REST_SECONDS
            return
        except ArchiverError as error:
            if not self._stopping.is_set():
                self._report(error.template, problem="replica", **error.fields)
        except (OSError, sqlite3.Error) as error:
            self._report(
                "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
                problem="replica",
                path=getattr(error, "filename", None) or self._config.archive,
                reason=getattr(error, "strerror", None) or error,
            )
        self._failures += 1
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS)
        self._not_before = clock.monotonic() + pause

    def _replicate(self) -> None:
        archive = Archive(self._config.archive)
        try:
            with opened(archive, self._config) as replica:
                self._bucket = replica.bucket
                policy = in_force(self._config, archive.index.promises())
                replicate(archive, replica, policy, 0, stopping=self._stopping)
        finally:
            self._bucket = None
            with suppress(sqlite3.Error):
                archive.close()
