"""Examine the folder of a submission, and list everything that a person should know before a version is signed."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import closing
from types import MappingProxyType
from typing import NamedTuple

from archiver.config.settings import Config
from archiver.errors import LazyMessage, SubmissionRefused
from archiver.filings.check.open_points import (
    FILES_MISSING,
    FOLDER_MISSING,
    UNREADABLE_PATH,
    WATCHED_FOLDER,
    OpenPoint,
    make_refusal,
)
from archiver.intake.absence.deletion_check import DeletionCheck
from archiver.intake.absence.deletion_gate import has_unused_decision
from archiver.intake.content_comparison import compare_doubtful_files
from archiver.intake.exclusion.ignore_rules import IgnoreRules
from archiver.intake.exclusion.stand_ins import select_stand_ins
from archiver.intake.folder.access import FolderAccess, open_access
from archiver.intake.folder.change_times import ChangeTimes
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.folder.watch_path import check_watch_path_change
from archiver.intake.layout import Group, group_of_submission, locate_path
from archiver.intake.scan import is_unreadable
from archiver.intake.signing.submission_folder import (
    check_deletions,
    check_not_emptied,
    has_submission_folder,
    list_changed_states,
    list_unopenable_files,
    list_unreadable_paths,
    scan_group,
)
from archiver.intake.snapshot import SkippedPath, Snapshot, State
from archiver.intake.snapshot_opening import open_snapshot_read_only
from archiver.model import Submission
from archiver.store.archive import Archive
from archiver.store.content.source import SourceChanged, StatData


class FolderInspection(NamedTuple):
    """The state of a submission's folder at one moment; paths are relative to the watched folder."""

    #: Why nothing can be said of the files: the folder is missing, another one, or emptied.  None if it is there.
    folder_problem: OpenPoint | None
    #: Changed paths with their present state, as :func:`list_changed_states` returns them.
    changed_states: Mapping[bytes, State] = MappingProxyType({})
    #: Paths that should be archived, and cannot be read or exceed a limit.
    unreadable: Sequence[SkippedPath] = ()
    #: All other paths that are not archived.
    skipped: Sequence[SkippedPath] = ()
    #: Files and links that stand for a document.
    stand_ins: Sequence[SkippedPath] = ()
    #: Files that a program of this machine has open for writing.
    open_paths: Sequence[bytes] = ()
    #: True if it cannot be told of a file whether a program has it open for writing.
    are_writers_unknown: bool = False


def inspect_submission_folder(archive: Archive, config: Config, submission: Submission) -> FolderInspection:
    """Examine a submission's folder as ``submit`` does, and return what is found; nothing is written.

    Raises ConfigError if ``watch.path`` now leads to another folder, or the archive and the watched folder lie
    inside one another.  Raises OSError or sqlite3.Error if ``state.db`` cannot be read.
    """
    group = group_of_submission(submission)
    access = open_access(config.watch, archive.root)
    snapshot = open_snapshot_read_only(archive)
    try:
        folder_problem = _find_folder_problem(archive, config, access, snapshot, submission)
        if folder_problem is not None:
            return FolderInspection(folder_problem)
        comparison = compare_doubtful_files(
            *(access, archive.index, group, snapshot),
            ChangeTimes(os.path.realpath(os.fsencode(config.watch))),
            IgnoreRules.with_litter(config.ignore),
        )
        # Only now: the reading may take hours.
        scan_result = scan_group(snapshot, access, config, group)
        changed_states = comparison.correct(list_changed_states(snapshot, scan_result, config, group), snapshot)
        unreadable_paths = list_unreadable_paths(scan_result, config, group) + comparison.unreadable
        unreadable_paths += list_unopenable_files(access, changed_states)
        # The service has tried to read or copy files that can be opened.
        unreadable_paths += [
            skipped_path
            for skipped_path in snapshot.skipped()
            if is_unreadable(skipped_path) and skipped_path.path in changed_states
        ]
        stand_ins = select_stand_ins(scan_result.stand_ins, scan_result.skipped, config)
        return FolderInspection(
            _find_lost_files(archive, config, access, snapshot, submission, changed_states),
            changed_states,
            unreadable_paths,
            [
                skipped_path
                for skipped_path in scan_result.skipped
                if not is_unreadable(skipped_path) and locate_path(skipped_path.path, config.layout).group == group
            ],
            [stand_in.path for stand_in in stand_ins if stand_in.group == group],
            *_list_open_files(access, snapshot, config, group, changed_states),
        )
    finally:
        snapshot.close()
        access.close()


def _find_folder_problem(
    archive: Archive, config: Config, access: FolderAccess, snapshot: Snapshot, submission: Submission
) -> OpenPoint | None:
    """Return why the folder of a submission cannot be examined; None if it can."""
    group = group_of_submission(submission)
    if check_watch_path_change(archive, config, access) is None:
        presence = FolderPresence(os.fsencode(config.watch), access, snapshot, archive)
        if (explanation := presence.check().explanation) is not None:
            return make_refusal(WATCHED_FOLDER, "", explanation)
    try:
        is_there = has_submission_folder(access, group, submission)
    except SubmissionRefused as refusal:
        return _as_open_point(refusal)
    newest_version = archive.index.newest_version(submission)
    if is_there or (newest_version is not None and not newest_version.files):
        return None
    return make_refusal(FOLDER_MISSING)


def _find_lost_files(
    archive: Archive,
    config: Config,
    access: FolderAccess,
    snapshot: Snapshot,
    submission: Submission,
    changed_states: Mapping[bytes, State],
) -> OpenPoint | None:
    """Return the reason if files of a submission may be absent and not deleted; None if none is."""
    newest_version = archive.index.newest_version(submission)
    ignore_rules = IgnoreRules.with_litter(config.ignore)
    try:
        if newest_version is not None and newest_version.files:
            materials = archive.index.materials(newest_version.submission)
            check_not_emptied(materials, changed_states, ignore_rules, submission)
        if not has_unused_decision(archive, snapshot):
            check_deletions(DeletionCheck(access, snapshot, ignore_rules), changed_states, submission)
    except SubmissionRefused as refusal:
        return _as_open_point(refusal)
    return None


def _as_open_point(refusal: SubmissionRefused) -> OpenPoint:
    """Return an open point for a refusal of this module: unreadable paths, or files that are missing."""
    path, reason = refusal.message.fields.get("path"), refusal.message.fields.get("reason")
    if isinstance(reason, LazyMessage):
        return make_refusal(UNREADABLE_PATH, str(path), reason)
    return make_refusal(FILES_MISSING)


def _list_open_files(
    access: FolderAccess, snapshot: Snapshot, config: Config, group: Group, changed_states: Mapping[bytes, State]
) -> tuple[list[bytes], bool]:
    """Return the files of a group that a program of this machine has open for writing, sorted.

    The second value is True if that cannot be told of all files: on a remote filesystem, the client may refuse a
    lease whoever has the file open, and a container has no leases on files of other users.
    """
    paths = {path for path, _ in snapshot.file_entries(group.prefix)}
    paths |= {path for path, state in changed_states.items() if isinstance(state, StatData)}
    if not access.proves_writers:
        return [], bool(paths)
    open_paths = []
    are_writers_unknown = False
    with access.opened_in_turn() as open_file:
        for path in sorted(paths):
            if locate_path(path, config.layout).group != group:
                continue
            try:
                with closing(open_file(path)) as source:
                    is_open = source.is_being_written
                    are_writers_unknown |= bool(source.lease_error)
            except BlockingIOError:
                # A process has a write lease on it, as Samba does for a client that may hold changes back.
                is_open = True
            except (OSError, SourceChanged):
                # A file that cannot be opened is listed as unreadable, or as changed.
                is_open = False
            if is_open:
                open_paths.append(path)
    return open_paths, are_writers_unknown
