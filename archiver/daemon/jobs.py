"""Run the daemon's side jobs on a thread of their own: time-stamp tokens, restore drills, reminders, page checks.

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
from archiver.actions.display_actions import check_displays
from archiver.actions.reminder_actions import SendReminders, send_reminders
from archiver.config.settings import Config
from archiver.daemon.trouble import FailureReporter
from archiver.errors import Reporter
from archiver.evidence import request_timestamp
from archiver.filings.change_detection import journal_new_questions
from archiver.filings.due.delivery import load_targets
from archiver.restore.drill import is_drill_due, run_drill
from archiver.store import maintenance
from archiver.store.archive import Archive

#: Between two attempts of a job that failed, and between two checks of things that change without notice, such as
#: web pages. Shorter, and a server that is down is asked too often; longer, and reminders come late.
_RETRY_SECONDS = 900.0
#: Between two checks for changes to report to the regulator. Shorter, and many small captures cost a check each.
_CHANGE_REST_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class SideJob:
    """A kind of work that the daemon does in addition to capturing."""

    name: str  # the name of the thread, and the code of a reported problem
    is_due: Callable[[Archive], bool]  # has to be quick, because the daemon calls it at every turn
    run: Callable[[Archive], object]  # gets the thread's own archive; may raise ArchiverError or OSError
    rest_seconds: float = 0.0  # the shortest time between two successful runs


class JobRunner:
    """Run one side job at a time, each when due; try a failed job again later.

    The thread that runs a job opens an archive of its own.  The daemon does not wait for the thread when it ends:
    work that is not journalled by then is done again after the next start.
    """

    def __init__(self, config: Config, report: Reporter, lock_timeout: float) -> None:
        """Prepare the jobs; ``lock_timeout`` is in seconds, and applies to each write of a job."""
        self._config = config
        self._failures = FailureReporter(report, config.archive)
        self._lock_timeout = lock_timeout
        self._thread: threading.Thread | None = None
        #: The journal commit and the monotonic time of the last check for changes to report.
        self._examined_head: str | None = None
        self._examined_at = 0.0
        #: In order of precedence: of several jobs that are due, the first one runs.
        self._jobs = (
            SideJob("timestamp", self._lacks_token, self._request_timestamp),
            SideJob("changes", self._may_have_changed, self._detect_changes, _CHANGE_REST_SECONDS),
            SideJob("display", self._has_pages, self._check_displays, _RETRY_SECONDS),
            SideJob("remind", self._is_reminder_time, self._send_reminders, _RETRY_SECONDS),
            SideJob("maintain", self._needs_maintenance, self._maintain),
            SideJob("drill", self._lacks_drill, self._run_drill),
        )
        #: Job name -> the monotonic time before which the job does not run again.
        self._not_before = dict.fromkeys((job.name for job in self._jobs), 0.0)

    def start_due_job(self, archive: Archive) -> None:
        """Start the first job that is due, unless a job is running; return at once.

        Raises ArchiverError, OSError or sqlite3.Error if the archive cannot be read, and RuntimeError if no thread
        can be started.
        """
        if self._thread is not None and self._thread.is_alive():
            return
        now = clock.monotonic()
        for job in self._jobs:
            if now >= self._not_before[job.name] and job.is_due(archive):
                self._not_before[job.name] = now + _RETRY_SECONDS
                self._thread = threading.Thread(target=self._run, args=(job,), name=job.name, daemon=True)
                self._thread.start()
                return

    def _run(self, job: SideJob) -> None:
        """Run a job on this thread.  A failure is reported, and the job tried again after ``_RETRY_SECONDS``."""
        try:
            archive = Archive(self._config.archive)
            try:
                job.run(archive)
                self._not_before[job.name] = clock.monotonic() + job.rest_seconds
            finally:
                archive.close()
        except Exception as error:
            # A fault of the program, too, or nobody would know that the job is not done.
            self._failures.report_failure(error, problem=job.name)

    def _action_context(self, archive: Archive) -> ActionContext:
        return ActionContext(archive, self._config, self._lock_timeout)

    # --- time-stamp tokens

    def _lacks_token(self, archive: Archive) -> bool:
        return bool(self._config.timestamp_url) and request_timestamp.is_token_due(archive)

    def _request_timestamp(self, archive: Archive) -> None:
        request_timestamp.journal_token(archive, self._config.timestamp_url, self._lock_timeout)

    # --- changes that the law may ask about

    def _may_have_changed(self, archive: Archive) -> bool:
        """Return True if something was journalled since the last check, or releases have to be checked again.

        No event announces a new release of the company's program, so its version file is read every
        ``_RETRY_SECONDS`` if a filing has ``signals``.
        """
        watches_releases = any(filing.signals for filing in self._config.filings.values())
        is_release_check_due = watches_releases and clock.monotonic() >= self._examined_at + _RETRY_SECONDS
        return archive.index.head != self._examined_head or is_release_check_due

    def _detect_changes(self, archive: Archive) -> None:
        """Journal the questions that recent changes raise."""
        # Noted first: an event that is journalled during the check leads to another check.
        self._examined_head, self._examined_at = archive.index.head, clock.monotonic()
        journal_new_questions(archive, self._config, self._lock_timeout)

    # --- the public display of the filing number

    def _has_pages(self, _archive: Archive) -> bool:
        """Return True if page checks are switched on, and a filing names pages to check."""
        has_pages = any(filing.pages for filing in self._config.filings.values())
        return has_pages and self._config.desk.display_days > 0

    def _check_displays(self, archive: Archive) -> None:
        check_displays(self._action_context(archive))

    # --- reminders

    def _is_reminder_time(self, _archive: Archive) -> bool:
        """Return True if there are recipients, from the configured hour until midnight in the archive's time zone.

        The recipients are in the configuration or in the environment.
        """
        desk = self._config.desk
        local_time = clock.read().wall.astimezone(self._config.zone)
        since_hour = local_time - local_time.replace(hour=desk.reminder_hour, minute=0, second=0, microsecond=0)
        return since_hour >= timedelta(0) and bool(desk.targets or load_targets(None, os.environ))

    def _send_reminders(self, archive: Archive) -> None:
        send_reminders(self._action_context(archive), SendReminders())

    # --- upkeep

    def _needs_maintenance(self, archive: Archive) -> bool:
        return maintenance.is_wanted(archive.repository_path)

    def _maintain(self, archive: Archive) -> None:
        maintenance.maintain(archive, self._lock_timeout)

    def _lacks_drill(self, archive: Archive) -> bool:
        return bool(self._config.drill_days) and is_drill_due(archive, self._config.drill_days)

    def _run_drill(self, archive: Archive) -> None:
        run_drill(archive, self._config.drill_files, self._lock_timeout)
