"""Replicate the archive to the bucket on a thread of its own: a slow or absent bucket delays no version."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.trouble import report_system_error
from archiver.errors import ArchiverError, Busy, Reporter
from archiver.replica.bucket import Bucket, TransferStopped
from archiver.replica.connect import open_replica, sync_replica
from archiver.retention.policy import policy_in_force
from archiver.store.archive import Archive

#: Between two runs: captures that follow each other closely are sent together.
_REST_SECONDS = 10.0
#: Retention dates move and locks run out without anything being journalled.
_CHECK_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 30.0, 1800.0


class Replication:
    """Replicate after something was journalled, and once an hour; after failures ever more rarely.

    The thread opens an archive of its own.  :meth:`stop` ends a transfer at its next piece; nobody waits for that,
    as the next run adopts what was uploaded and not recorded.
    """

    def __init__(self, config: Config, report: Reporter) -> None:
        self._config = config
        self._report = report
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._bucket: Bucket | None = None
        self._replicated_head: str | None = None
        self._not_before = 0.0
        self._check_at = 0.0
        self._failures = 0

    def start_if_due(self, archive: Archive) -> None:
        """Start a run if something is to be sent or checked, and no run is active; return at once."""
        now = clock.monotonic()
        if now < self._not_before or (self._thread is not None and self._thread.is_alive()):
            return
        head = archive.index.head
        if archive.index.replica() is None or (head == self._replicated_head and now < self._check_at):
            return
        self._thread = threading.Thread(target=self._run, args=(head,), name="replica", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End a running transfer at the next piece; return at once."""
        self._stopping.set()
        if self._bucket is not None:
            self._bucket.stop_transfers()

    def _run(self, head: str | None) -> None:
        try:
            self._replicate()
            self._replicated_head, self._failures = head, 0
            self._not_before = clock.monotonic() + _REST_SECONDS
            self._check_at = clock.monotonic() + _CHECK_SECONDS
            return
        except TransferStopped:
            # The daemon stops: the next start goes on from here.
            return
        except Busy:
            # Somebody replicates by hand just now.
            self._not_before = clock.monotonic() + _REST_SECONDS
            return
        except ArchiverError as error:
            if not self._stopping.is_set():
                self._report(error.message, problem="replica")
        except (OSError, sqlite3.Error) as error:
            report_system_error(self._report, error, self._config.archive, problem="replica")
        self._failures += 1
        pause = min(_FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1), _LONGEST_PAUSE_SECONDS)
        self._not_before = clock.monotonic() + pause

    def _replicate(self) -> None:
        archive = Archive(self._config.archive)
        try:
            with open_replica(archive, self._config) as replica:
                self._bucket = replica.bucket
                policy = policy_in_force(self._config, archive.index.promises())
                sync_replica(archive, replica, policy, 0, stopping=self._stopping)
        finally:
            self._bucket = None
            # A database that cannot be closed cleanly must not hide why the run failed.
            with suppress(sqlite3.Error):
                archive.close()
