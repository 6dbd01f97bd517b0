"""Compare and capture a submission at once for a command, whether or not a daemon is running."""

from __future__ import annotations

import os
import threading

from archiver.config.settings import Config
from archiver.intake.absence.deletion_check import DeletionCheck
from archiver.intake.absence.deletion_gate import has_unused_decision
from archiver.intake.capture import Capturer
from archiver.intake.content_comparison import compare_doubtful_files
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import open_access
from archiver.intake.folder.change_times import ChangeTimes
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.folder.watch_path import check_watch_path_change
from archiver.intake.group_reader import GroupToRead
from archiver.intake.layout import group_of_submission
from archiver.intake.scan import Scanner, ScanResult
from archiver.intake.seed_snapshot import seed_snapshot
from archiver.intake.signing.submission_folder import (
    are_finished,
    check_deletions,
    check_not_emptied,
    check_submission_folder,
    check_watched_folder,
    has_submission_folder,
    read_changes,
    refuse_unreadable,
)
from archiver.intake.snapshot_opening import open_snapshot, open_snapshot_read_only
from archiver.model import Submission
from archiver.store.archive import Archive


def scan_read_only(archive: Archive, config: Config) -> ScanResult:
    """Compare the whole watched folder with ``state.db``; nothing is written, so a daemon may be running.

    Raises FileNotFoundError if the watched folder is missing.  Raises ConfigError if the watched folder and the
    archive are the same folder, or one lies inside the other, OSError or sqlite3.Error if ``state.db`` cannot be
    read.
    """
    access = open_access(config.watch, archive.root)
    snapshot = open_snapshot_read_only(archive)
    try:
        return Scanner(access, IgnoreRules.with_litter(config.ignore)).scan(snapshot)
    finally:
        snapshot.close()
        access.close()


def check_submission_readable(archive: Archive, config: Config, submission: Submission) -> None:
    """Check that every path of a submission can be read, because a version lacks unreadable files.

    A missing folder is accepted, because the versions were created while the folder existed.

    Raises SubmissionRefused if a path cannot be read, and the errors of :func:`scan_read_only`.
    """
    access = open_access(config.watch, archive.root)
    snapshot = open_snapshot_read_only(archive)
    try:
        read_changes(snapshot, access, config, submission)
    finally:
        snapshot.close()
        access.close()


def capture_now(archive: Archive, config: Config, submission: Submission, lock_timeout: float) -> None:
    """Archive a submission's changes at once, even if the daemon would still wait for further changes.

    Changes are captured only if all changed files are finished: by their ctime, they have not changed for the
    quiet period (``watch.settle_seconds``).  Nothing is captured if the newest version has no files and the
    submission's folder is missing, because the deletion is archived already.  On a filesystem that does not store
    when a file was changed, every file is compared with the archive.  If ``watch.path`` has changed, this is
    journalled.  ``lock_timeout`` is in seconds.

    Raises SubmissionRefused if the watched folder or the submission's folder is missing, all files have vanished,
    or a path cannot be read.  Raises ConfigError if ``watch.path`` now leads to another folder, or the archive and
    the watched folder lie inside one another.  Raises Busy or StorageError if the archive cannot be locked or
    written, JournalDamaged or sqlite3.Error if the journal or ``state.db`` cannot be read.  Nothing is captured
    then.
    """
    group, ignore_rules = group_of_submission(submission), IgnoreRules.with_litter(config.ignore)
    access = open_access(config.watch, archive.root)
    snapshot = open_snapshot(archive, lock_timeout)
    capturer = Capturer(archive, snapshot, access, config, threading.Event())
    try:
        path_change_event = check_watch_path_change(archive, config, access)
        presence = FolderPresence(os.fsencode(config.watch), access, snapshot, archive)
        if path_change_event is not None:
            presence.allow_other_mount()
        check_watched_folder(presence, config, submission)
        newest_version = capturer.newest(group)
        if (
            newest_version is not None
            and not newest_version.files
            and not has_submission_folder(access, group, submission)
        ):
            return
        check_submission_folder(access, group, submission)
        seed_snapshot(snapshot, archive.index)
        change_times = ChangeTimes(presence.real_path)
        if change_times.filesystem_without_ctime:
            # Before the scan: the reading may take hours, and the scan finds what changes meanwhile.
            comparison = compare_doubtful_files(access, archive.index, group, snapshot, change_times, ignore_rules)
            refuse_unreadable(comparison.unreadable, submission)
            different_states = comparison.different
        else:
            different_states = {}
        changed_states = different_states | read_changes(snapshot, access, config, submission)
        if newest_version is not None:
            materials = archive.index.materials(newest_version.submission)
            check_not_emptied(materials, changed_states, ignore_rules, submission)
        # The folder may have been replaced or unmounted since it was checked.
        check_watched_folder(presence, config, submission)
        if not has_unused_decision(archive, snapshot):
            check_deletions(DeletionCheck(access, snapshot, ignore_rules), changed_states, submission)
        for event in filter(None, (path_change_event, presence.identification())):
            with archive.writing(lock_timeout) as writer:
                writer.append(event)
        if changed_states and are_finished(changed_states, config):
            [reading_job] = capturer.stage([GroupToRead(group, changed_states)])
            # A file that can be opened may still fail to be read, for example on a damaged disk.
            refuse_unreadable(reading_job.result().unreadable, submission)
            # The same holds for a copy that a virus scanner removes from the archive.
            refuse_unreadable(capturer.finish(reading_job, lock_timeout).unreadable, submission)
    finally:
        capturer.close()
        snapshot.close()
        access.close()
