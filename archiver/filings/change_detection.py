"""Open a question for each change after filing (算法变更+备案联动), for a person to decide.

Changes come from the watched folder, and from signals outside of it: a file or a repository that the configuration
names, such as the repository of the algorithm.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, tzinfo
from typing import Any

from archiver import clock
from archiver.config.settings import Config
from archiver.filings.register import ChangeQuestion, Filing, describe_release, register
from archiver.filings.submission_kinds import kind_from_folder
from archiver.filings.version_differences import compare_versions
from archiver.model import Op, Version
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.filing_events import ChangeNoticed, ReleaseSignalled
from archiver.store.sensitive import matching_pattern
from archiver.store.writer import Draft

#: Submission folders of these kinds hold letters and reports, and say nothing of the algorithm.
_UNRELATED_KINDS = frozenset({"correction", "deregistration", "inspection", "annual"})
#: The journal keeps the list for ever; fewer might hide the one material that decides.
_MAX_MATERIALS = 100
#: The only text of a signal that may be journalled: a version, and not a line of a password file.
_VERSION_WORD = re.compile(r"[\w.+-]{1,60}")
_GIT_PREFIX = "git:"
#: A repository on a slow share takes seconds; one that hangs would hold up the daemon's other side jobs.
_GIT_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class DetectedChange:
    """The changes of a filing since the last submission to the regulator or the last decision."""

    first_day: date  # of the first change
    materials: tuple[str, ...]  # paths for people
    kinds: tuple[str, ...]  # by the patterns of the configuration
    signal: str = ""  # the release that was noticed, if any


def open_questions(archive: Archive, config: Config, lock_timeout: float) -> list[int]:
    """Journal a question for each filed filing with a change, and the new values of signals.

    A filing with an open question gets no second one.  Returns the numbers of the new questions.

    Raises Busy and StorageError as :meth:`Archive.writing` does; questions journalled until then stay.
    """
    new_numbers = []
    filings = register(archive.index.life())
    number = max((question.number for filing in filings.values() for question in filing.questions), default=0)
    for filing in filings.values():
        if filing.state != "filed":
            continue
        signal_drafts: list[Draft] = []
        question_drafts: list[Draft] = []
        change = _detect_release(filing, config, signal_drafts) or detect_change(archive, filing, config)
        if change is not None and not _has_pending_question(filing):
            number += 1
            new_numbers.append(number)
            question_drafts.append(Draft(filing.name, _question_details(number, filing, change)))
        # Crash window: a signal that was noted before its question was asked would never be asked about.
        for draft in [*question_drafts, *signal_drafts]:
            with archive.writing(lock_timeout) as writer:
                writer.append(draft)
    return new_numbers


def _has_pending_question(filing: Filing) -> bool:
    """Return True if the last question waits for a decision, or a material change for the submission."""
    newest = filing.questions[-1] if filing.questions else None
    return newest is not None and (
        newest.material is None or (newest.material and not _is_change_submitted(filing, newest))
    )


def _is_change_submitted(filing: Filing, question: ChangeQuestion) -> bool:
    return any(record.kind == "change" and record.recorded_at > question.asked_at for record in filing.submissions)


def _question_details(number: int, filing: Filing, change: DetectedChange) -> ChangeNoticed:
    newest_submission = filing.newest_submission()
    return ChangeNoticed(
        number=number,
        last_submission=newest_submission.tag if newest_submission else "",
        first_changed_on=change.first_day,
        kinds=change.kinds,
        materials=change.materials[:_MAX_MATERIALS],
        signal=change.signal,
    )


# --- materials


def detect_change(archive: Archive, filing: Filing, config: Config) -> DetectedChange | None:
    """Compare the newest versions of a filing with the state at the last submission or decision.

    Every change since then is in the result, so that the next decision is made on the whole of it.  Correspondence
    does not count: the notice folder, and submissions of kinds that say nothing of the algorithm.

    Returns None if nothing has changed.
    """
    recorded_times = [record.recorded_at for record in filing.submissions] + [
        question.decided_at for question in filing.questions
    ]
    since = max(recorded_times, default="")
    later_versions = [
        version
        for version in archive.index.versions(filing.name)
        if version.captured_at > since and kind_from_folder(version.submission.folder) not in _UNRELATED_KINDS
    ]
    newest_versions: dict[str, Version] = {}
    for version in later_versions:
        newest_versions.setdefault(version.submission.name, version)
    paths = sorted(
        {path for version in newest_versions.values() for path in _changed_paths(archive, version, since)}
    )
    notice_folder = config.desk.notice_folder.encode("utf-8")
    paths = [path for path in paths if notice_folder not in path.split(b"/")]
    if not paths:
        return None
    first_captured_at = min(clock.parse(version.captured_at) for version in later_versions)
    return DetectedChange(
        _local_day(first_captured_at, config.zone), tuple(map(names.text, paths)), _change_kinds(paths, config)
    )


def _changed_paths(archive: Archive, version: Version, since: str) -> Iterable[bytes]:
    """Return the paths changed since a time; all materials of a submission without earlier versions."""
    submission = version.submission
    old_versions = _versions_until(archive, submission.filing, submission.name, since)
    if not old_versions and submission.number is not None:
        # The next of numbered submissions begins with the whole state of the one before.
        old_versions = _versions_until(archive, submission.filing, f"{submission.number - 1:02}", since)
    if not old_versions:
        materials = archive.index.materials(version.submission, version.number)
        return [material.path for material in materials if material.sha256]
    changes = compare_versions(archive.index, old_versions[0], version)
    return [change.path for change in changes if change.op not in (Op.MKDIR, Op.RMDIR)]


def _versions_until(archive: Archive, filing_name: str, submission_name: str, time: str) -> list[Version]:
    versions = archive.index.versions(filing_name, submission_name)
    return [version for version in versions if version.captured_at <= time]


def _change_kinds(paths: Iterable[bytes], config: Config) -> tuple[str, ...]:
    changed_paths = list(paths)
    return tuple(
        kind
        for kind, patterns in config.desk.changes.items()
        if any(matching_pattern(path, patterns) for path in changed_paths)
    )


def _local_day(time: Any, zone: tzinfo) -> date:
    day: date = time.astimezone(zone).date()
    return day


# --- signals from outside


def _detect_release(filing: Filing, config: Config, drafts: list[Draft]) -> DetectedChange | None:
    """Read a filing's signals, and add a draft for each new value; return the first release, if any.

    A first value is noted and is no release.  A signal that cannot be read keeps the value it had.
    """
    settings = config.filings.get(os.fsdecode(filing.name.encode("utf-8")))
    release = None
    for signal in settings.signals if settings else ():
        new_value, signal_name = _signal_value(signal), names.text(os.fsencode(signal))
        old_value = filing.signal_values.get(signal_name)
        # The digests: the word beside them has not always been chosen in the same way.
        if new_value is None or (
            old_value is not None and new_value.split(" ", 1)[0] == old_value.split(" ", 1)[0]
        ):
            continue
        drafts.append(Draft(filing.name, ReleaseSignalled(signal=signal_name, value=new_value)))
        if old_value is not None:
            release = release or DetectedChange(
                clock.today(config.zone), (), ("model",), describe_release(signal_name, new_value)
            )
    return release


def _signal_value(signal: str) -> str | None:
    """Return the value of a signal: a digest, then a word for people; None if the signal cannot be read."""
    try:
        if signal.startswith(_GIT_PREFIX):
            return _repository_value(signal.removeprefix(_GIT_PREFIX))
        return _file_value(signal)
    except (OSError, subprocess.SubprocessError):
        # A deployment may be replacing it at this moment: the next look compares with the same old value.
        return None


def _file_value(path: str) -> str:
    """Return a file's digest, followed by the first line if a word such as a version; raises OSError.

    A link in place of the file is refused: whoever put one there would learn what only the service may read.  For
    the same reason no other text of a file gets into the journal.  The folders above may be links, which
    deployments switch.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        # Longer than the longest word in UTF-8, so that none is shown cut off.
        first_line = stream.read(256).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    return f"{digest} {first_line}" if _VERSION_WORD.fullmatch(first_line) else digest


def _repository_value(path: str) -> str:
    """Return the digest of a repository's list of tags, with the newest tag.

    The repository is only read, and its own settings, hooks and filters have no say.

    Raises OSError or SubprocessError if git cannot be run, fails or takes too long.
    """
    command = [
        # The path stands in the configuration, and may be that of a bare repository.
        *("git", "-c", f"safe.directory={path}", "-c", "safe.bareRepository=all"),
        *("-c", "core.fsmonitor=false", "-C", path),
        *("for-each-ref", "--sort=creatordate", "--format=%(refname:short)", "refs/tags"),
    ]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {
        **inherited,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_OPTIONAL_LOCKS": "0",
    }
    result = subprocess.run(
        command, env=environment, capture_output=True, timeout=_GIT_TIMEOUT_SECONDS, check=True
    )
    tag_names = result.stdout.decode("utf-8", "replace").split("\n")[:-1]
    return f"{hashlib.sha256(result.stdout).hexdigest()} {tag_names[-1] if tag_names else ''}".strip()
