"""Tasks of the daemon other than capturing: warnings and [sensitive] patterns at the start, side work, memory."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from archiver.config.settings import Config
from archiver.daemon.failures import FailureReporter, report_system_error
from archiver.errors import Reporter
from archiver.intake.pipeline import Pipeline
from archiver.intake.snapshot import Snapshot
from archiver.retention import file_restriction, promises, unread
from archiver.store import sensitive
from archiver.store.archive import Archive
from archiver.store.fsync import release_memory

if TYPE_CHECKING:
    from archiver.daemon.jobs import JobRunner
    from archiver.daemon.replication import Replication
    from archiver.daemon.rereading import Rereading

#: After the capture of more files than this, the allocator keeps enough memory to make returning it worthwhile.
_MEMORY_RELEASE_PATHS = 5000


def report_unread_events(archive: Archive, report: Reporter) -> None:
    """Report the problems caused by journal events that this release cannot read; raises sqlite3.Error."""
    for reason in unread.describe_unread_events(archive.index.unread_events()):
        report("Warning: {reason}", problem="journal", reason=reason)


def report_waiting_promise(archive: Archive, config: Config, report: Reporter) -> None:
    """Report if retention in the configuration waits until a person accepts it; raises sqlite3.Error.

    The daemon never accepts retention: a typing error in a setting is quickly made, and an accepted retention can
    never be shortened.
    """
    if promises.find_waiting_promise(config, archive.index.retention_promises()) is not None:
        report("Warning: {reason}", reason=promises.WAITING)


def apply_sensitive_patterns(archive: Archive, config: Config, snapshot: Snapshot) -> None:
    """Let only the owner read the archived materials that match the [sensitive] patterns, if these have changed.

    ``state.db`` holds the patterns that were applied last.
    """
    # Without a stored value, no patterns were applied yet.
    encoded_patterns = json.dumps(config.sensitive)
    if encoded_patterns != (snapshot.meta("sensitive") or "[]"):
        sensitive.withdraw_group_access(archive.index, archive.content, config.sensitive)
        snapshot.set_meta("sensitive", encoded_patterns)


def enforce_restrictions(archive: Archive, report: Reporter) -> None:
    """Let only the owner read restricted files: a crash, a restored backup, or a clone may have left them open.

    Reports each content whose permissions cannot be changed, and cached text that cannot be removed.  Raises
    sqlite3.Error.
    """
    try:
        open_digests = file_restriction.enforce_restrictions(archive)
    except OSError as error:
        # Do not delay capturing: only the owner can read the cache anyway, and the next start tries again.
        report_system_error(report, error, archive.root, problem="restriction")
        return
    for sha256 in open_digests:
        report(
            "Others can still read the restricted content {sha256}, because its permissions cannot be changed. If "
            "it has the immutable flag, run as root: archiver protect --off",
            problem="restriction",
            sha256=sha256,
        )


class SideWork:
    """The side jobs, the replication and the rereading of the service, each on a separate thread.

    A scheduled run has none of them, and importing their modules would take a third of its start.  So the first
    call of :meth:`start_due_work` imports the modules.
    """

    def __init__(self, config: Config, report: Reporter, lock_timeout: float) -> None:
        """Prepare the work without starting a thread; the arguments are those of :class:`JobRunner`.

        The path of the watched folder is resolved here, once: the folder may hang later.
        """
        self._real_path = os.path.realpath(os.fsencode(config.watch))
        self._config = config
        self._report = report
        self._lock_timeout = lock_timeout
        self._failure_reporter = FailureReporter(report, config.archive)

        self._jobs: JobRunner | None = None
        self._replication: Replication | None = None
        self._rereading: Rereading | None = None

    def start_due_work(self, archive: Archive) -> None:
        """Start a side job, a replication and a rereading, each if due; report failures, and return at once.

        Raises only the sqlite3.DatabaseError of a damaged index.
        """
        self._failure_reporter.try_optional_task("errands", lambda: self._start_due_job(archive))
        self._failure_reporter.try_optional_task("replica", lambda: self._start_due_replication(archive))
        self._failure_reporter.try_optional_task("reread", self._start_due_rereading)

    def stop(self) -> None:
        """End a replication after the current part of a transfer, and a rereading; return at once."""
        if self._replication is not None:
            self._replication.stop()
        if self._rereading is not None:
            self._rereading.stop()

    def _start_due_job(self, archive: Archive) -> None:
        """Start the first side job that is due; raises as :meth:`JobRunner.start_due_job` does."""
        if self._jobs is None:
            from archiver.daemon.jobs import JobRunner

            self._jobs = JobRunner(self._config, self._report, self._lock_timeout)
        self._jobs.start_due_job(archive)

    def _start_due_replication(self, archive: Archive) -> None:
        """Start a replication if one is due; raises as :meth:`Replication.start_if_due` does."""
        if self._replication is None:
            from archiver.daemon.replication import Replication

            self._replication = Replication(self._config, self._report)
        self._replication.start_if_due(archive)

    def _start_due_rereading(self) -> None:
        """Start to read files again, if due; raises as :meth:`Rereading.start_if_due` does."""
        if self._rereading is None:
            from archiver.daemon.rereading import Rereading

            self._rereading = Rereading(self._config, self._real_path, self._report, self._lock_timeout)
        self._rereading.start_if_due()


class MemoryReleaser:
    """Return memory to the system after the capture of many files: the allocator would keep it for months."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Watch the number of pending paths of ``pipeline``."""
        self._pipeline = pipeline
        #: True if many paths have been pending since the last time that memory was returned.
        self._had_many_paths = False

    def release_memory_if_idle(self) -> None:
        """Return memory once nothing is pending any more.  The daemon calls this at every turn."""
        if self._pipeline.pending_count > _MEMORY_RELEASE_PATHS:
            self._had_many_paths = True
        elif self._had_many_paths and self._pipeline.is_idle:
            self._had_many_paths = False
            release_memory()
