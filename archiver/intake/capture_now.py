"""One submission at this moment, beside the daemon or without one."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress

from archiver import clock
from archiver.config.settings import Config
from archiver.errors import LazyMessage, SubmissionRefused
from archiver.intake.capture import Capturer
from archiver.intake.folder.access import FolderAccess, open_access
from archiver.intake.folder.presence import FolderPresence
from archiver.intake.folder.watch_path import changed_watch_path
from archiver.intake.ignore import IgnoreRules
from archiver.intake.layout import Group, group_of, locate_path
from archiver.intake.path_reasons import UNREADABLE_FILE, UNREADABLE_FOLDER
from archiver.intake.pipeline import groups_of
from archiver.intake.scan import Scanner, ScanResult, is_unreadable
from archiver.intake.seed_snapshot import seed_snapshot
from archiver.intake.snapshot import SkippedPath, Snapshot, State, open_snapshot
from archiver.model import Material, Submission
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.content.source import StatData, Unstable


def unsettled(archive: Archive, config: Config, submission: Submission) -> list[bytes]:
    """Paths of a submission that differ from the archive right now."""
    access = open_access(config.watch, archive.root)
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        group = group_of(submission)
        return list(_differences(snapshot, _scan(snapshot, access, config, group), config, group))
    finally:
        snapshot.close()
        access.close()


def differences_beside_a_daemon(archive: Archive, config: Config) -> ScanResult:
    """Compare the whole watched folder with what the running daemon has archived; writes nothing.

    Raises FileNotFoundError without a watched folder.
    """
    access = open_access(config.watch, archive.root)
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        return Scanner(access, IgnoreRules(config.ignore)).scan(snapshot)
    finally:
        snapshot.close()
        access.close()


def check_nothing_hidden(archive: Archive, config: Config, submission: Submission) -> None:
    """Check that every path of the submission can be read: a version of it may lack what cannot.

    A folder that is not there hides nothing: its versions were made while it was.  Raises SubmissionRefused.
    """
    group = group_of(submission)
    access = open_access(config.watch, archive.root)
    snapshot = Snapshot(archive.root / "state.db", read_only=True)
    try:
        found = _scan(snapshot, access, config, group)
        states = _differences(snapshot, found, config, group)
        _check_readable([*_hidden(found, config, group), *_unopenable(access, states)], submission)
    finally:
        snapshot.close()
        access.close()


def capture_now(archive: Archive, config: Config, submission: Submission, wait_seconds: float) -> None:
    """Archive a submission's finished changes at once, whoever else gathers or settles them.

    Finished is what has not changed for the quiet period, by the times that the
    kernel gave it; if anything is younger, nothing is captured.  Raises
    SubmissionRefused where the folder is not there or cannot show everything:
    what was not seen is neither deleted nor unchanged, and ConfigError where it
    is another archive's folder.  Nothing is captured then.
    """
    group = group_of(submission)
    access = open_access(config.watch, archive.root)
    snapshot = open_snapshot(archive, wait_seconds)
    capturer = Capturer(archive, snapshot, access, config, threading.Event())
    try:
        moved = changed_watch_path(archive, config, access)
        presence = FolderPresence(os.fsencode(config.watch), access, snapshot)
        if moved is not None:
            presence.allow_other_mount()
        _check_there(presence, config, submission)
        newest = capturer.newest(group)
        if newest is not None and not newest.files and not _has_folder(access, group, submission):
            # The deletion was seen when it could be, and is on record.
            return
        _check_folder(access, group, submission)
        seed_snapshot(snapshot, archive.index)
        found = _scan(snapshot, access, config, group)
        states = _differences(snapshot, found, config, group)
        _check_readable([*_hidden(found, config, group), *_unopenable(access, states)], submission)
        if newest is not None:
            _check_not_emptied(archive.index.materials(newest.submission), states, submission)
        if moved is not None:
            with archive.writing(wait_seconds) as writer:
                writer.append(moved)
        limit = clock.wall_ns() - int(config.settle_seconds * 1e9)
        if states and all(not isinstance(each, StatData) or each.ctime_ns <= limit for each in states.values()):
            attempt = capturer.stage(group, states)
            # A disk may fail halfway through a file that it opened.
            _check_readable(attempt.read.result().unreadable, submission)
            capturer.finish(attempt, wait_seconds)
    finally:
        capturer.close()
        snapshot.close()
        access.close()


# --- what stands in the way of a signature


def _check_there(presence: FolderPresence, config: Config, submission: Submission) -> None:
    if not presence.is_present():
        raise SubmissionRefused(
            "The watched folder {path} is missing, or is not the one that was watched before. Nothing was "
            "recorded. Mount it and submit {submission} again, or name the version that was handed in with "
            "--version N.",
            path=config.watch,
            submission=str(submission),
        )


def _check_folder(access: FolderAccess, group: Group, submission: Submission) -> None:
    if not _has_folder(access, group, submission):
        raise SubmissionRefused(
            "The folder {path} of {submission} is not in the watched folder. Nothing was recorded. Bring it back "
            "and submit again, or name the version that was handed in with --version N.",
            path=names.text(group.prefix),
            submission=str(submission),
        )


def _has_folder(access: FolderAccess, group: Group, submission: Submission) -> bool:
    """Return True if the submission's folder, and each one above it, is a folder and no link.

    Raises SubmissionRefused where one cannot be looked at.
    """
    parts = group.prefix.split(b"/") if group.prefix else []
    for path in (b"/".join(parts[: depth + 1]) for depth in range(len(parts))):
        try:
            if not stat.S_ISDIR(access.look_up(path).mode):
                return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            _check_readable([SkippedPath(path, UNREADABLE_FOLDER.code, error.strerror or "")], submission)
    return True


def _check_readable(unreadable: list[SkippedPath], submission: Submission) -> None:
    if unreadable:
        raise SubmissionRefused(
            LazyMessage.define(
                "{count} paths of {submission} cannot be read, the first is {path}: {reason}. Nothing "
                "was recorded. Mend that and submit again, or sign a version all the same, and say why: "
                "--version N --reason TEXT",
                singular="{count} path of {submission} cannot be read, {path}: {reason}. Nothing was recorded. "
                "Mend that and submit again, or sign a version all the same, and say why: --version N "
                "--reason TEXT",
            ),
            count=len(unreadable),
            submission=str(submission),
            path=names.text(unreadable[0].path),
            reason=unreadable[0].reason,
        )


def _check_not_emptied(
    materials: Iterable[Material], states: Mapping[bytes, State], submission: Submission
) -> None:
    """Check that something of the submission is left: an unmounted share below it looks like a deletion of all."""
    prefix = submission.prefix + b"/" if submission.prefix else b""
    known = [prefix + each.path for each in materials if each.sha256]
    if known and all(path in states for path in known) and not any(map(_is_file, states.values())):
        raise SubmissionRefused(
            "None of the {count} materials of {submission} is in the watched folder any more. Nothing was "
            "recorded. Bring them back and submit again, or name the version that was handed in with --version N.",
            count=len(known),
            submission=str(submission),
        )


def _is_file(state: State) -> bool:
    return isinstance(state, StatData)


def _hidden(found: ScanResult, config: Config, group: Group) -> list[SkippedPath]:
    """What the scan could not read of this submission; an unreadable folder above it hides all of it."""
    return [
        item
        for item in found.skipped
        if is_unreadable(item)
        if item.path == group.prefix
        or locate_path(item.path, config.layout, is_folder=item.code != UNREADABLE_FILE.code)[0] == group
    ]


def _unopenable(access: FolderAccess, states: dict[bytes, State]) -> list[SkippedPath]:
    """What differs from the archive and cannot even be opened, whether or not it is finished."""
    refused = []
    for path, state in states.items():
        if isinstance(state, StatData):
            try:
                # What has gone or turned into something else meanwhile is a change, not a refusal.
                with suppress(FileNotFoundError, NotADirectoryError, Unstable):
                    access.open(path).close()
            except OSError as error:
                refused.append(SkippedPath(path, UNREADABLE_FILE.code, error.strerror or ""))
    return refused


# --- the comparison


def _scan(snapshot: Snapshot, access: FolderAccess, config: Config, group: Group) -> ScanResult:
    try:
        return Scanner(access, IgnoreRules(config.ignore)).scan(snapshot, group.prefix)
    except FileNotFoundError:
        return ScanResult()


def _differences(snapshot: Snapshot, found: ScanResult, config: Config, group: Group) -> dict[bytes, State]:
    return {
        path: state
        for path, state in found.changed.items()
        if group in groups_of(path, snapshot.get(path), state, config.layout)
    }
