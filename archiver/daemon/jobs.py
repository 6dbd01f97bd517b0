"""What the daemon does beside its work, on a thread of its own: time-stamp tokens, restore drills, the desk.

An authority that is slow, a page that hangs or a drill of a gigabyte delays no version.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.filings import check_displays, remind
from archiver.config.settings import Config
from archiver.errors import ArchiverError, Reporter
from archiver.evidence import request_timestamp
from archiver.filings.change_detection import open_questions
from archiver.filings.due.delivery import targets
from archiver.restore.drill import drill, is_due
from archiver.store import maintenance
from archiver.store.archive import Archive

_AGAIN_SECONDS = 900.0
_SOON_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Errand:
    """``is_wanted`` is asked often and has to be quick; ``rest_seconds``: at the least until the next time."""

    name: str
    is_wanted: Callable[[Archive], bool]
    run: Callable[[Archive], object]
    rest_seconds: float = 0.0


class Errands:
    """One errand at a time; what fails is tried again later."""

    def __init__(self, config: Config, report: Reporter, wait_seconds: float) -> None:
        self._config = config
        self._report = report
        self._wait = wait_seconds
        self._thread: threading.Thread | None = None
        self._examined: tuple[str | None, float] = (None, 0.0)
        self._errands = (
            Errand(
                "timestamp",
                self._lacks_token,
                lambda archive: request_timestamp.stamp(archive, config.timestamp_url, wait_seconds),
            ),
            Errand("changes", self._may_have_changed, self._look_for_changes, _SOON_SECONDS),
            Errand("display", self._has_pages, lambda a: check_displays(self._context(a)), _AGAIN_SECONDS),
            Errand("remind", self._is_hour, lambda a: remind(self._context(a)), _AGAIN_SECONDS),
            Errand(
                "maintain",
                lambda a: maintenance.is_wanted(a.repository_path),
                lambda a: maintenance.maintain(a, wait_seconds),
            ),
            Errand("drill", self._lacks_drill, lambda a: drill(a, config.drill_files, wait_seconds)),
        )
        self._not_before = dict.fromkeys((errand.name for errand in self._errands), 0.0)

    def work(self, archive: Archive) -> None:
        """Begin one, if there is something to do; returns at once, and raises where one cannot be begun."""
        if self._thread is not None and self._thread.is_alive():
            return
        now = clock.monotonic()
        for errand in self._errands:
            if now >= self._not_before[errand.name] and errand.is_wanted(archive):
                self._not_before[errand.name] = now + _AGAIN_SECONDS
                # Not waited for at the end: what it has not journalled by then is done again.
                self._thread = threading.Thread(target=self._run, args=(errand,), name=errand.name, daemon=True)
                self._thread.start()
                return

    def _run(self, errand: Errand) -> None:
        try:
            archive = Archive(self._config.archive)
            try:
                errand.run(archive)
                self._not_before[errand.name] = clock.monotonic() + errand.rest_seconds
            finally:
                archive.close()
        except ArchiverError as error:
            self._report(error.template, problem=errand.name, **error.fields)
        except (OSError, sqlite3.Error) as error:
            self._report(
                "{path}: {reason}. Nothing archived was lost. Check the disk and the permissions.",
                problem=errand.name,
                path=getattr(error, "filename", None) or self._config.archive,
                reason=getattr(error, "strerror", None) or error,
            )

    def _context(self, archive: Archive) -> ActionContext:
        return ActionContext(archive, self._config, self._wait)

    # --- what is wanted

    def _lacks_token(self, archive: Archive) -> bool:
        return bool(self._config.timestamp_url) and request_timestamp.is_wanted(archive)

    def _lacks_drill(self, archive: Archive) -> bool:
        return bool(self._config.drill_days) and is_due(archive, self._config.drill_days)

    def _may_have_changed(self, archive: Archive) -> bool:
        """After something was journalled; releases elsewhere tell nobody, so they are looked at now and then."""
        head, at = self._examined
        watches = any(filing.signals for filing in self._config.filings.values())
        return archive.index.head != head or (watches and clock.monotonic() >= at + _AGAIN_SECONDS)

    def _look_for_changes(self, archive: Archive) -> None:
        self._examined = (archive.index.head, clock.monotonic())
        open_questions(archive, self._config, self._wait)

    def _has_pages(self, _: Archive) -> bool:
        pages = any(filing.pages for filing in self._config.filings.values())
        return pages and self._config.desk.display_days > 0

    def _is_hour(self, _: Archive) -> bool:
        desk = self._config.desk
        local = clock.read().wall.astimezone(self._config.zone)
        past = local - local.replace(hour=desk.reminder_hour, minute=0, second=0, microsecond=0)
        return past >= timedelta(0) and bool(desk.targets or targets(None, os.environ))
