"""Compare the folder of a submission with the archive, and refuse what a person must not sign unseen.

A submission's *group* is the set of paths in the watched folder that are captured together as its versions.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage, SubmissionRefused
from archiver.intake.absence.deletion_check import ALL_FILES_GONE, DeletionCheck
from archiver.intake.affected_groups import groups_of
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.layout import Group, group_of_submission, locate_path
from archiver.intake.path_reasons import LOCKED_FOLDER, UNREADABLE_FILE, UNREADABLE_FILE_CODES, UNREADABLE_FOLDER
from archiver.intake.scan import Scanner, ScanResult, is_unreadable
from archiver.intake.snapshot import SkippedPath, Snapshot, State
from archiver.model import Material, Submission
from archiver.store import names
from archiver.store.content.source import SourceChanged, StatData

# --- reasons to refuse a submission


def check_watched_folder(presence: FolderPresence, config: Config, submission: Submission) -> None:
    """Raise SubmissionRefused if the watched folder is missing, or another folder is in its place."""
    folder_check = presence.check()
    if folder_check.absence is not None:
        raise SubmissionRefused(
            "The watched folder {path} is missing, or another folder is in its place: {reason}. Nothing was "
            "recorded. Mount the right folder and submit {submission} again, or name the submitted version with "
            "--version N.",
            path=config.watch,
            submission=submission.ref_name,
            reason=folder_check.explanation,
        )


def check_deletions(
    deletion_check: DeletionCheck, changed_states: Mapping[bytes, State], submission: Submission
) -> None:
    """Raise SubmissionRefused if missing files may only be absent: locked, or gone with everything known."""
    deletions = deletion_check.examine(changed_states)
    refuse_unreadable([SkippedPath(path, LOCKED_FOLDER.code) for path in sorted(deletions.unseen)], submission)
    if deletions.missing_count:
        raise SubmissionRefused(ALL_FILES_GONE, value=deletions.missing_count)


def check_submission_folder(access: FolderAccess, group: Group, submission: Submission) -> None:
    """Raise SubmissionRefused if the submission's folder is missing.

    That does not mean that its files were deleted: the folder may have been moved or unmounted.
    """
    if not has_submission_folder(access, group, submission):
        raise SubmissionRefused(
            "The folder {path} of {submission} is missing from the watched folder. Nothing was recorded. Restore "
            "the folder and submit again, or name the submitted version with --version N.",
            path=names.name_as_text(group.prefix),
            submission=submission.ref_name,
        )


def has_submission_folder(access: FolderAccess, group: Group, submission: Submission) -> bool:
    """Return True if the submission's folder exists, and neither this folder nor any folder above is a link.

    Raises SubmissionRefused if one of these folders cannot be examined.
    """
    folder_names = group.prefix.split(b"/") if group.prefix else []
    for depth in range(1, len(folder_names) + 1):
        path = b"/".join(folder_names[:depth])
        try:
            if not stat.S_ISDIR(access.look_up(path).mode):
                return False
        except (FileNotFoundError, NotADirectoryError):
            # There is no folder, or a file in place of a folder.  Other errors leave the question open.
            parent_path = b"/".join(folder_names[: depth - 1])
            if access.is_locked(parent_path):
                refuse_unreadable([SkippedPath(parent_path, LOCKED_FOLDER.code)], submission)
            return False
        except OSError as error:
            refuse_unreadable([SkippedPath(path, UNREADABLE_FOLDER.code, error.strerror or "")], submission)
    return True


def refuse_unreadable(unreadable_paths: list[SkippedPath], submission: Submission) -> None:
    """Raise SubmissionRefused, with the first path and its reason, unless ``unreadable_paths`` is empty."""
    if unreadable_paths:
        raise SubmissionRefused(
            LazyMessage.define(
                "Cannot read {count} paths of the submission folder {submission}; the first is {path} "
                "({reason}). Nothing was recorded. Fix this and submit again. To sign a version anyway, add "
                "--version N --reason TEXT.",
                singular=(
                    "Cannot read {count} path of the submission folder {submission}: {path} ({reason}). Nothing "
                    "was recorded. Fix this and submit again. To sign a version anyway, add --version N --reason "
                    "TEXT."
                ),
            ),
            count=len(unreadable_paths),
            submission=submission.ref_name,
            path=names.name_as_text(unreadable_paths[0].path) or ".",
            reason=unreadable_paths[0].reason,
        )


def check_not_emptied(
    materials: Iterable[Material],
    changed_states: Mapping[bytes, State],
    ignore_rules: IgnoreRules,
    submission: Submission,
) -> None:
    """Raise SubmissionRefused if all archived files have changed or vanished, and no changed path is a file now.

    An unmounted share in the submission's folder looks as if everything had been deleted.  ``materials`` are those
    of the newest version, and ``changed_states`` are the present states of the changed paths.  Files that
    ``ignore_rules`` exclude now do not count: nobody looked for them.
    """
    prefix = submission.prefix + b"/" if submission.prefix else b""
    # ``sha256`` is None for a folder.
    archived_paths = [prefix + material.path for material in materials if material.sha256]
    archived_paths = [path for path in archived_paths if path in changed_states or not ignore_rules.covers(path)]
    if (
        archived_paths
        and all(path in changed_states for path in archived_paths)
        and not any(map(_is_file, changed_states.values()))
    ):
        raise SubmissionRefused(
            "All files of the submission folder {submission} ({count}) are missing from the watched folder. "
            "Nothing was recorded. Restore the files and submit again, or name the submitted version with "
            "--version N.",
            count=len(archived_paths),
            submission=submission.ref_name,
        )


def _is_file(state: State) -> bool:
    """Return True if ``state`` is that of a file, not of a folder or of a path where nothing is."""
    return isinstance(state, StatData)


def list_unreadable_paths(scan_result: ScanResult, config: Config, group: Group) -> list[SkippedPath]:
    """Return the paths of a group, possibly with the group's folder itself, that a scan could not read."""
    unreadable_paths = []
    for skipped_path in filter(is_unreadable, scan_result.skipped):
        # All other reasons of unreadable paths are about folders.
        is_folder = skipped_path.code not in UNREADABLE_FILE_CODES
        path_group = locate_path(skipped_path.path, config.layout, is_folder).group
        if skipped_path.path == group.prefix or path_group == group:
            unreadable_paths.append(skipped_path)
    return unreadable_paths


def list_unopenable_files(access: FolderAccess, changed_states: dict[bytes, State]) -> list[SkippedPath]:
    """Return the files among the changed paths that cannot be opened."""
    unopenable_files = []
    for path, state in changed_states.items():
        if _is_file(state):
            try:
                # A file that was deleted or replaced after the scan has changed again, and need not be readable.
                # A file on which a process has a write lease counts as open.
                with suppress(FileNotFoundError, NotADirectoryError, SourceChanged, BlockingIOError):
                    access.open(path).close()
            except OSError as error:
                unopenable_files.append(SkippedPath(path, UNREADABLE_FILE.code, error.strerror or ""))
    return unopenable_files


# --- the comparison


def read_changes(
    snapshot: Snapshot, access: FolderAccess, config: Config, submission: Submission
) -> dict[bytes, State]:
    """Compare a submission's folder with the snapshot; return the present state of each changed path, by path.

    Raises SubmissionRefused if a path of the submission cannot be read.
    """
    group = group_of_submission(submission)
    scan_result = scan_group(snapshot, access, config, group)
    changed_states = list_changed_states(snapshot, scan_result, config, group)
    unreadable_paths = list_unreadable_paths(scan_result, config, group)
    refuse_unreadable([*unreadable_paths, *list_unopenable_files(access, changed_states)], submission)
    return changed_states


def scan_group(snapshot: Snapshot, access: FolderAccess, config: Config, group: Group) -> ScanResult:
    """Compare the folder of a group with the snapshot; a missing folder counts as deleted.

    If the group's folder is the watched folder itself, and missing, the result is empty instead.
    """
    try:
        return Scanner(access, IgnoreRules.with_litter(config.ignore)).scan(snapshot, group.prefix)
    except FileNotFoundError:
        # Without the watched folder, nothing can be compared.  Callers that need the folder check it themselves.
        return ScanResult()


def list_changed_states(
    snapshot: Snapshot, scan_result: ScanResult, config: Config, group: Group
) -> dict[bytes, State]:
    """Return the present state of each changed path of a group, by path; None for a deleted path.

    A scan of the group's folder may also find changes of other groups.
    """
    return {
        path: state
        for path, state in scan_result.changed.items()
        if group in groups_of(path, snapshot.archived_state(path), state, config.layout)
    }


def are_finished(changed_states: Mapping[bytes, State], config: Config) -> bool:
    """Return True if no file among the changed paths has changed, by its ctime, during the last quiet period."""
    quiet_since_ns = clock.wall_time_ns() - int(config.settle_seconds * 1e9)
    return all(
        not isinstance(state, StatData) or state.ctime_ns <= quiet_since_ns for state in changed_states.values()
    )
