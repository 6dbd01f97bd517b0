"""Detect changes to filed filings (算法变更+备案联动), and ask a person whether each change is material.

Changes are found in the watched folder, and through *signals*: files or git repositories that the configuration
names for a filing, such as the repository of the algorithm.  A *release* is a new value of a signal.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from archiver import clock
from archiver.config.settings import Config
from archiver.filings.register import ChangeQuestion, Filing, filings_from_events
from archiver.filings.register_codes import describe_release
from archiver.filings.submission_kinds import kind_from_folder
from archiver.filings.version_differences import compare_versions
from archiver.model import Op, Version
from archiver.naming.ref_names import RefName
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.filing_events import ChangeNoticed, ReleaseSignalled
from archiver.store.index.submission_files import FileKey, find_file_keys
from archiver.store.sensitive import matching_pattern
from archiver.store.writing.drafts import Draft

#: Submission folders of these kinds hold letters and reports, which do not describe the algorithm.
_UNRELATED_KINDS = frozenset({"correction", "deregistration", "inspection", "annual"})
#: The journal keeps the list of changed materials for ever, so it must be short.  A shorter list might omit the
#: one file that decides whether the change is material.
_MAX_MATERIALS = 100
#: The only text of a signal that may be journalled: a word like a version, and not a line of a password file.
_VERSION_WORD = re.compile(r"[\w.+-]{1,60}")
#: More than the longest version word has in UTF-8 (60 characters of at most 4 bytes), so that no word is cut off.
_MAX_FIRST_LINE_BYTES = 256
#: The prefix of a signal that is the path of a repository.  A signal without this prefix is the path of a file.
_GIT_PREFIX = "git:"
#: A repository on a slow share takes seconds; one that hangs would hold up the daemon's other side jobs.
_GIT_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DetectedChange:
    """All changes of a filing since the last submission to the regulator or the last decision on a change."""

    first_changed_on: date  # the day of the first change of a material or signal, in the archive's time zone
    changed_materials: tuple[str, ...]  # readable paths of the changed materials; empty for a release
    change_kinds: tuple[str, ...]  # from the patterns in ``[changes]`` of the configuration; "model" for a release
    release: str = ""  # the release, as describe_release() writes it; empty if materials changed


class _SignalReadings(NamedTuple):
    """The new values of all signals of a filing."""

    value_drafts: list[Draft]  # one for each signal with a new value, to be journalled
    first_release: DetectedChange | None  # the first release; None if no signal has changed


def journal_new_questions(archive: Archive, config: Config, lock_timeout: float) -> list[int]:
    """Journal a question about each filing that has changed since being filed: is the change material?

    New values of signals are journalled too.  Only filings in the state ``filed`` are checked, and a filing with a
    pending question gets no second one.  The events of one filing become durable together.  After a crash between
    two filings, a repeated call journals the events of the filings that are left.  ``lock_timeout`` is in seconds,
    for each filing.

    Returns the numbers of the new questions.  Raises Busy if the archive stays locked, StorageError if it cannot
    be written; events journalled before the error remain.
    """
    new_question_numbers = []
    filings = filings_from_events(archive.index.life_events())
    last_question_number = max(
        (question.number for filing in filings.values() for question in filing.change_questions), default=0
    )
    for filing in filings.values():
        if filing.state != "filed":
            continue
        signal_readings = _read_signals(filing, config)
        change = signal_readings.first_release or detect_change(archive, filing, config)
        question_drafts = []
        if change is not None and not _has_pending_question(filing):
            last_question_number += 1
            new_question_numbers.append(last_question_number)
            question_details = _build_question_details(last_question_number, filing, change)
            question_drafts.append(Draft(filing.name, question_details))
        # One batch: if a crash left only the signal's value, it would no longer be new, and nobody would be asked.
        if drafts := [*question_drafts, *signal_readings.value_drafts]:
            with archive.writing(lock_timeout) as writer:
                writer.write_batch(drafts)
    return new_question_numbers


def _has_pending_question(filing: Filing) -> bool:
    """Return True if the newest question is undecided, or if its change is material and not submitted yet."""
    if not filing.change_questions:
        return False
    newest_question = filing.change_questions[-1]
    if newest_question.is_material is None:
        return True
    return newest_question.is_material and not _is_change_submitted(filing, newest_question)


def _is_change_submitted(filing: Filing, question: ChangeQuestion) -> bool:
    """Return True if a submission of the kind ``change`` was recorded after the question was asked."""
    return any(record.kind == "change" and record.recorded_at > question.asked_at for record in filing.submissions)


def _build_question_details(question_number: int, filing: Filing, change: DetectedChange) -> ChangeNoticed:
    """Return the details of the event that asks about ``change``.

    The event lists the first _MAX_MATERIALS changed materials and leaves out the others.
    """
    newest_submission = filing.newest_submission()
    return ChangeNoticed(
        number=question_number,
        last_submission=newest_submission.tag if newest_submission else RefName(""),
        first_changed_on=change.first_changed_on,
        kinds=change.change_kinds,
        materials=list(map(names.cut_text, change.changed_materials[:_MAX_MATERIALS])),
        signal=change.release,
    )


# --- materials


def detect_change(archive: Archive, filing: Filing, config: Config) -> DetectedChange | None:
    """Compare the newest versions of a filing with the state at the last submission or decision.

    The result contains every change since then, so that the next decision covers all of them.  It ignores
    correspondence: the notice folder, and submissions of kinds that do not describe the algorithm.

    Returns None if nothing has changed.
    """
    baseline_time = _find_baseline_time(filing)
    later_versions = [
        version
        for version in archive.index.versions(filing.name)
        if version.captured_at > baseline_time
        and kind_from_folder(version.submission.folder) not in _UNRELATED_KINDS
    ]
    # The index returns the newest version first, so the first version of each submission is its newest.
    newest_by_submission: dict[str, Version] = {}
    for version in later_versions:
        newest_by_submission.setdefault(version.submission.name, version)
    notice_folder = config.desk.notice_folder_name.encode("utf-8")
    changed_by_submission = {
        submission_name: {
            path
            for path in _list_changed_paths(archive, version, baseline_time)
            if notice_folder not in path.split(b"/")
        }
        for submission_name, version in newest_by_submission.items()
    }
    changed_paths = sorted(set().union(*changed_by_submission.values()))
    if not changed_paths:
        return None
    first_changed_version = _find_first_changed_version(
        archive, later_versions, changed_by_submission, baseline_time
    )
    return DetectedChange(
        first_changed_on=clock.parse_time(first_changed_version.captured_at).astimezone(config.zone).date(),
        changed_materials=tuple(map(names.name_as_text, changed_paths)),
        change_kinds=_match_change_kinds(changed_paths, config),
    )


def _find_first_changed_version(
    archive: Archive,
    later_versions: Sequence[Version],
    changed_by_submission: Mapping[str, set[bytes]],
    baseline_time: str,
) -> Version:
    """Return the oldest of ``later_versions`` in which any of the changed paths of its submission has changed.

    An even older version may differ in the notice folder alone, or in a material that was changed back since.
    """
    oldest_first = sorted(later_versions, key=lambda version: clock.parse_time(version.captured_at))
    return next(
        version
        for version in oldest_first
        if not changed_by_submission[version.submission.name].isdisjoint(
            _list_changed_paths(archive, version, baseline_time)
        )
    )


def _find_baseline_time(filing: Filing) -> str:
    """Return the time of the last submission or decision on a change (ISO 8601, UTC); empty without either."""
    submission_times = [record.recorded_at for record in filing.submissions]
    decision_times = [question.decided_at for question in filing.change_questions]  # "" for an undecided question
    return max(submission_times + decision_times, default="")


def _list_changed_paths(archive: Archive, version: Version, baseline_time: str) -> list[bytes]:
    """Return the paths of the files that have changed in ``version`` since ``baseline_time`` (ISO 8601, UTC).

    ``version`` is compared with the newest version of its submission captured at or before that time.  If no such
    version exists, a numbered submission is compared with the submission before it.  If that has no such version
    either, or if ``baseline_time`` is empty, all files of ``version`` are returned.  Folders are left out.
    """
    submission = version.submission
    old_versions = _list_versions_until(archive, submission.filing, submission.name, baseline_time)
    if not old_versions and submission.number is not None:
        # A numbered submission starts as a full copy of the previous one, so compare it with that.
        previous_name = f"{submission.number - 1:02}"
        old_versions = _list_versions_until(archive, submission.filing, previous_name, baseline_time)
    # Files about a submission, such as a receipt or a notice, say nothing about the algorithm.
    file_keys = find_file_keys(archive.index, [version])
    if not old_versions:
        materials = archive.index.materials(version.submission, version.number)
        # ``sha256`` is None for an empty folder.
        return [
            material.path
            for material in materials
            if material.sha256 and FileKey(material.path, material.sha256) not in file_keys
        ]
    changes = compare_versions(archive.index, old_versions[0], version, file_keys)
    return [change.path for change in changes if change.op not in (Op.MKDIR, Op.RMDIR)]


def _list_versions_until(
    archive: Archive, filing_name: str, submission_name: str, latest_capture: str
) -> list[Version]:
    """Return the versions of a submission captured at or before ``latest_capture``, newest first.

    ``latest_capture`` is a time in ISO 8601, UTC.
    """
    versions = archive.index.versions(filing_name, submission_name)
    return [version for version in versions if version.captured_at <= latest_capture]


def _match_change_kinds(changed_paths: Sequence[bytes], config: Config) -> tuple[str, ...]:
    """Return the kinds of change whose patterns match at least one path, in the order of the configuration."""
    return tuple(
        change_kind
        for change_kind, patterns in config.desk.change_patterns.items()
        if any(matching_pattern(path, patterns) for path in changed_paths)
    )


# --- signals from outside


def _read_signals(filing: Filing, config: Config) -> _SignalReadings:
    """Read the signals of a filing, and return the new values and the first release among them.

    The first value of a signal is journalled, but it is not a release.  A signal that cannot be read keeps its old
    value.
    """
    filing_settings = config.filings.get(os.fsdecode(filing.name.encode("utf-8")))
    signals = filing_settings.release_sources if filing_settings else ()
    value_drafts = []
    first_release = None
    for signal in signals:
        signal_name = names.name_as_text(os.fsencode(signal))
        new_value = _read_signal(signal)
        old_value = filing.signal_values.get(signal_name)
        if new_value is None:
            continue
        if old_value is not None and _extract_digest(new_value) == _extract_digest(old_value):
            continue
        value_drafts.append(Draft(filing.name, ReleaseSignalled(signal=signal_name, value=new_value)))
        if old_value is not None and first_release is None:
            first_release = DetectedChange(
                first_changed_on=clock.today(config.zone),
                changed_materials=(),
                change_kinds=("model",),
                release=describe_release(signal_name, new_value),
            )
    return _SignalReadings(value_drafts, first_release)


def _extract_digest(signal_value: str) -> str:
    """Return the digest at the beginning of a signal's value.

    Only digests are compared, because earlier releases of archiver chose the word after the digest differently.
    """
    return signal_value.split(" ", 1)[0]


def _read_signal(signal: str) -> str | None:
    """Return the present value of a signal, ``DIGEST`` or ``DIGEST WORD``; None if the signal cannot be read.

    ``signal`` comes from the configuration: the path of a file, or ``git:`` and the path of a repository.  The
    word, such as a version, is for people.
    """
    try:
        if signal.startswith(_GIT_PREFIX):
            return _read_repository_signal(signal.removeprefix(_GIT_PREFIX))
        return _read_file_signal(signal)
    except (OSError, subprocess.SubprocessError):
        # A deployment may be replacing the file or repository just now.  No release is missed: the next check
        # compares with the same old value.
        return None


def _read_file_signal(path: str) -> str:
    """Return the SHA-256 of a file, followed by a space and the file's first line if that looks like a version.

    A symbolic link as the last component of the path is refused, because it could reveal a file that only the
    service may read.  For the same reason, no other text of a file gets into the journal.  The folders above may
    be links: deployments switch them.

    Raises OSError if the file cannot be read, or is not a regular file.
    """
    # Without O_NONBLOCK, opening a named pipe would wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as signal_file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        digest = hashlib.file_digest(signal_file, "sha256").hexdigest()
        signal_file.seek(0)
        first_line_bytes = signal_file.read(_MAX_FIRST_LINE_BYTES).split(b"\n", 1)[0]
    first_line = first_line_bytes.decode("utf-8", "replace").strip()
    return f"{digest} {first_line}" if _VERSION_WORD.fullmatch(first_line) else digest


def _read_repository_signal(path: str) -> str:
    """Return the SHA-256 of a repository's list of tags, followed by a space and the newest tag, if any.

    The repository is only read.  No hook or filter of the repository runs.

    Raises OSError or SubprocessError if git cannot be run, fails, or takes longer than _GIT_TIMEOUT_SECONDS.
    """
    git_command = [
        # Trust the path, because it comes from the configuration.  The repository may be bare, or of another user.
        *("git", "-c", f"safe.directory={path}", "-c", "safe.bareRepository=all"),
        # The repository's own configuration could name a program for git to run as file system monitor.
        *("-c", "core.fsmonitor=false", "-C", path),
        *("for-each-ref", "--sort=creatordate", "--format=%(refname:short)", "refs/tags"),
    ]
    # Variables such as GIT_DIR would direct git to another repository.
    inherited_variables = {
        variable_name: variable_value
        for variable_name, variable_value in os.environ.items()
        if not variable_name.startswith("GIT_")
    }
    environment = {
        **inherited_variables,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
    }
    git_result = subprocess.run(
        git_command, env=environment, capture_output=True, timeout=_GIT_TIMEOUT_SECONDS, check=True
    )
    tag_names = git_result.stdout.decode("utf-8", "replace").split("\n")[:-1]
    newest_tag = tag_names[-1] if tag_names else ""
    return f"{hashlib.sha256(git_result.stdout).hexdigest()} {newest_tag}".strip()
