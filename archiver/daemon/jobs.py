"""Run the daemon's side jobs on a thread of their own: timestamp tokens, restore drills, reminders, page checks.

On their own thread, a slow authority, a hanging page or a drill of a gigabyte does not delay a version.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.display_actions import check_due_displays
from archiver.actions.reminder_actions import SendReminders, send_reminders
from archiver.config.settings import Config
from archiver.daemon.failures import FailureReporter
from archiver.errors import Reporter
from archiver.evidence import request_timestamp
from archiver.filings.change_detection import journal_new_questions
from archiver.filings.due.delivery import load_addresses
from archiver.restore.drill import is_drill_due, run_drill
from archiver.store import maintenance
from archiver.store.archive import Archive

#: The time between two attempts of a failed job, and between two checks of things that change without an event,
#: such as web pages. With a shorter time, a server that is down is asked too often. With a longer time, reminders
#: come late.
_RETRY_SECONDS = 900.0
#: The time between two checks for changes to report to the regulator. With a shorter time, each of many small
#: captures leads to a check.
_CHANGE_CHECK_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SideJob:
    """A kind of work that the daemon does in addition to capturing."""

    name: str  # the name of the thread, and the code of a reported problem
    is_due: Callable[[Archive], bool]  # must be quick, because the daemon calls it in every turn of its loop
    run: Callable[[Archive], object]  # gets an archive opened for this thread; may raise ArchiverError or OSError
    min_interval_seconds: float = 0.0  # between a successful run and the next run


class JobRunner:
    """Run side jobs when they are due, one at a time; try a failed job again later.

    The thread that runs a job opens the archive separately.  A daemon that ends does not wait for the thread: work
    that is not journalled by then is repeated after the next start.
    """

    def __init__(self, config: Config, report: Reporter, lock_timeout: float) -> None:
        """Prepare the jobs; no thread is started yet.

        ``report`` is called on the thread of a job.  ``lock_timeout`` is the number of seconds that each write of
        a job waits for the writer's lock.
        """
        self._config = config
        self._failures = FailureReporter(report, config.archive)
        self._lock_timeout = lock_timeout
        self._thread: threading.Thread | None = None
        #: The journal's newest commit, and the monotonic time, at the last check for changes to report.
        self._checked_commit: str | None = None
        self._checked_at = 0.0
        #: In order of precedence: if several jobs are due, the first of them runs.
        self._jobs = (
            SideJob("timestamp", self._is_token_due, self._request_timestamp),
            SideJob("changes", self._is_change_check_due, self._journal_change_questions, _CHANGE_CHECK_SECONDS),
            SideJob("display", self._has_pages_to_check, self._check_pages, _RETRY_SECONDS),
            SideJob("remind", self._are_reminders_due, self._send_reminders, _RETRY_SECONDS),
            SideJob("maintain", self._is_maintenance_due, self._maintain),
            SideJob("drill", self._is_restore_drill_due, self._run_restore_drill),
        )
        #: Job name -> the monotonic time before which the job does not run again.
        self._earliest_start_by_job = dict.fromkeys((job.name for job in self._jobs), 0.0)

    def start_due_job(self, archive: Archive) -> None:
        """Start the first job that is due, unless a job is running; return at once.

        Raises ArchiverError, OSError or sqlite3.Error if the archive cannot be read, and RuntimeError if no thread
        can be started.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        now = clock.monotonic_seconds()
        for job in self._jobs:
            if now >= self._earliest_start_by_job[job.name] and job.is_due(archive):
                # A failed job runs again after this time. After a success, the job sets another time.
                self._earliest_start_by_job[job.name] = now + _RETRY_SECONDS
                self._thread = threading.Thread(target=self._run_job, args=(job,), name=job.name, daemon=True)
                self._thread.start()
                return

    def _run_job(self, job: SideJob) -> None:
        """Run a job on this thread; report a failure, after which it runs again in ``_RETRY_SECONDS``."""
        try:
            archive = Archive(self._config.archive)
            try:
                job.run(archive)
                self._earliest_start_by_job[job.name] = clock.monotonic_seconds() + job.min_interval_seconds
            finally:
                archive.close()
        except Exception as error:
            # Unexpected errors are reported too, because otherwise nobody would know that the job failed.
            self._failures.report_failure(error, problem=job.name)

    def _action_context(self, archive: Archive) -> ActionContext:
        """Return the context for an action on ``archive`` in the name of the service's user."""
        return ActionContext(archive, self._config, self._lock_timeout)

    # --- timestamp tokens

    def _is_token_due(self, archive: Archive) -> bool:
        """Return True if a timestamp authority is configured, and no token covers the newest checkpoint."""
        return bool(self._config.timestamp_url) and request_timestamp.is_token_due(archive)

    def _request_timestamp(self, archive: Archive) -> None:
        """Request a token from the timestamp authority, and journal it."""
        request_timestamp.request_and_journal_token(archive, self._config.timestamp_url, self._lock_timeout)

    # --- changes that may have to be filed

    def _is_change_check_due(self, archive: Archive) -> bool:
        """Return True if something was journalled since the last check, or releases have to be checked again.

        No event announces a new release of the company's program, so the ``release_sources`` of the filings, if
        there are any, are read every ``_RETRY_SECONDS``.
        """
        has_release_sources = any(filing.release_sources for filing in self._config.filings.values())
        is_release_check_due = (
            has_release_sources and clock.monotonic_seconds() >= self._checked_at + _RETRY_SECONDS
        )
        return archive.index.head_commit != self._checked_commit or is_release_check_due

    def _journal_change_questions(self, archive: Archive) -> None:
        """Journal a question for each recent change that may have to be filed."""
        # Noted before the check: an event that is journalled during the check leads to another check.
        self._checked_commit, self._checked_at = archive.index.head_commit, clock.monotonic_seconds()
        journal_new_questions(archive, self._config, self._lock_timeout)

    # --- the public display of the filing number

    def _has_pages_to_check(self, _archive: Archive) -> bool:
        """Return True if page checks are switched on and a filing has pages; the job selects the due pages."""
        has_pages = any(filing.display_pages for filing in self._config.filings.values())
        return has_pages and self._config.desk.display_check_days > 0

    def _check_pages(self, archive: Archive) -> None:
        """Check the pages that are due for a check, and journal the results."""
        check_due_displays(self._action_context(archive))

    # --- reminders

    def _are_reminders_due(self, _archive: Archive) -> bool:
        """Return True from the configured hour until midnight, if reminders have addresses.

        The hour is in the archive's time zone.  The configuration names a file with addresses, or the environment
        contains them.
        """
        desk = self._config.desk
        local_time = clock.read_clocks().wall.astimezone(self._config.zone)
        reminder_time = local_time.replace(hour=desk.reminder_hour, minute=0, second=0, microsecond=0)
        return local_time - reminder_time >= timedelta(0) and bool(
            desk.reminder_addresses_file or load_addresses(None, os.environ)
        )

    def _send_reminders(self, archive: Archive) -> None:
        """Send the reminders that are due and not sent yet, and journal them."""
        send_reminders(self._action_context(archive), SendReminders())

    # --- upkeep

    def _is_maintenance_due(self, archive: Archive) -> bool:
        """Return True if the git repository has enough loose objects, loose refs or small packs to be packed."""
        return maintenance.is_wanted(archive.repository_path)

    def _maintain(self, archive: Archive) -> None:
        """Pack the loose objects, loose refs and small packs of the git repository."""
        maintenance.maintain(archive, self._lock_timeout)

    def _is_restore_drill_due(self, archive: Archive) -> bool:
        """Return True if drills are switched on, and the last drill was ``drill_days`` or more days ago."""
        return bool(self._config.drill_days) and is_drill_due(archive, self._config.drill_days)

    def _run_restore_drill(self, archive: Archive) -> None:
        """Restore a sample of files, compare them with the archive, and journal the outcome."""
        run_drill(archive, self._config.drill_files, self._lock_timeout)
