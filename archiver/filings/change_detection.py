"""Change linkage (算法变更+备案联动): what changes after a filing was filed opens a question."""

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
from archiver.filings.register import Filing, Question, register, released
from archiver.filings.submission_kinds import kind_from_folder
from archiver.filings.version_differences import compare_versions
from archiver.model import Op, Version
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.filing_events import ChangeNoticed, ReleaseSignalled
from archiver.store.sensitive import matching_pattern
from archiver.store.writer import Draft

#: Folders of these kinds say nothing of the algorithm.
_BESIDE = frozenset({"correction", "deregistration", "inspection", "annual"})
_MOST_MATERIALS = 100
#: What may be journalled of a signal: a version, and not a line of a password file.
_WORD = re.compile(r"[\w.+-]{1,60}")
_GIT = "git:"
_GIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed since the last handing-in, and the day of the first change."""

    first: date
    materials: tuple[str, ...]
    kinds: tuple[str, ...]
    signal: str = ""


def open_questions(archive: Archive, config: Config, wait_seconds: float) -> list[int]:
    """Open a question for each filed filing that has changed; returns their numbers."""
    opened = []
    filings = register(archive.index.life())
    number = max((question.number for filing in filings.values() for question in filing.questions), default=0)
    for filing in filings.values():
        if filing.state != "filed":
            continue
        signals: list[Draft] = []
        drafts: list[Draft] = []
        changed = _released(filing, config, signals) or changed_since(archive, filing, config)
        if changed is not None and not _is_asked(filing):
            number += 1
            opened.append(number)
            drafts.append(Draft(filing.name, _noticed(number, filing, changed)))
        # Crash window: a signal that was noted before its question was asked would never be asked about.
        for draft in [*drafts, *signals]:
            with archive.writing(wait_seconds) as writer:
                writer.append(draft)
    return opened


def _is_asked(filing: Filing) -> bool:
    """Whether the last question waits for a decision, or its change submission is not handed in yet."""
    last = filing.questions[-1] if filing.questions else None
    return last is not None and (last.material is None or (last.material and not _is_handed_in(filing, last)))


def _is_handed_in(filing: Filing, question: Question) -> bool:
    return any(each.kind == "change" and each.at > question.at for each in filing.submitted)


def _noticed(number: int, filing: Filing, changed: Changed) -> ChangeNoticed:
    last = filing.last_submitted()
    return ChangeNoticed(
        number=number,
        last_submission=last.tag if last else "",
        first_changed_on=changed.first,
        kinds=changed.kinds,
        materials=changed.materials[:_MOST_MATERIALS],
        signal=changed.signal,
    )


# --- materials


def changed_since(archive: Archive, filing: Filing, config: Config) -> Changed | None:
    """What has changed since the last handing-in, or since the last decision: whoever decides sees all of it."""
    known = [each.at for each in filing.submitted] + [each.decided_at for each in filing.questions]
    since = max(known, default="")
    later = [
        version
        for version in archive.index.versions(filing.name)
        if version.captured_at > since and kind_from_folder(version.submission.folder) not in _BESIDE
    ]
    newest: dict[str, Version] = {}
    for version in later:
        newest.setdefault(version.submission.name, version)
    paths = sorted({path for version in newest.values() for path in _paths(archive, version, since)})
    folder = config.desk.notice_folder.encode("utf-8")
    paths = [path for path in paths if folder not in path.split(b"/")]
    if not paths:
        return None
    first = min(clock.parse(version.captured_at) for version in later)
    return Changed(_day(first, config.zone), tuple(map(names.text, paths)), _kinds(paths, config))


def _paths(archive: Archive, version: Version, since: str) -> Iterable[bytes]:
    submission = version.submission
    before = _before(archive, submission.filing, submission.name, since)
    if not before and submission.number is not None:
        # The next of numbered submissions begins with the whole state of the one before.
        before = _before(archive, submission.filing, f"{submission.number - 1:02}", since)
    if not before:
        return [m.path for m in archive.index.materials(version.submission, version.number) if m.sha256]
    changes = compare_versions(archive.index, before[0], version)
    return [change.path for change in changes if change.op not in (Op.MKDIR, Op.RMDIR)]


def _before(archive: Archive, filing: str, name: str, since: str) -> list[Version]:
    return [each for each in archive.index.versions(filing, name) if each.captured_at <= since]


def _kinds(paths: Iterable[bytes], config: Config) -> tuple[str, ...]:
    given = list(paths)
    return tuple(
        kind
        for kind, patterns in config.desk.changes.items()
        if any(matching_pattern(path, patterns) for path in given)
    )


def _day(moment: Any, zone: tzinfo) -> date:
    day: date = moment.astimezone(zone).date()
    return day


# --- signals from outside


def _released(filing: Filing, config: Config, signals: list[Draft]) -> Changed | None:
    """Note what each signal says now; a change of one that was known is a change of the algorithm."""
    settings = config.filings.get(os.fsdecode(filing.name.encode("utf-8")))
    changed = None
    for signal in settings.signals if settings else ():
        value, shown = _value(signal), names.text(os.fsencode(signal))
        known = filing.signals.get(shown)
        # The digests: what is shown beside them has not always been chosen in the same way.
        if value is None or (known is not None and value.split(" ", 1)[0] == known.split(" ", 1)[0]):
            continue
        signals.append(Draft(filing.name, ReleaseSignalled(signal=shown, value=value)))
        if known is not None:
            changed = changed or Changed(clock.today(config.zone), (), ("model",), released(shown, value))
    return changed


def _value(signal: str) -> str | None:
    """What a signal says now: a digest, then a name for people; None where it cannot be read."""
    try:
        return _tags(signal.removeprefix(_GIT)) if signal.startswith(_GIT) else _content(signal)
    except (OSError, subprocess.SubprocessError):
        return None


def _content(path: str) -> str:
    """A file's digest, with its first line where that is a word such as a version; raises OSError.

    A link is not followed, since whoever may put one there would learn what only the service may read;
    for the same reason nothing else of a file gets into the journal.  The folders before it may be links,
    which deployments switch.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a file")
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        stream.seek(0)
        # Longer than the longest word in UTF-8, so that none is shown cut off.
        word = stream.read(256).split(b"\n", 1)[0].decode("utf-8", "replace").strip()
    return f"{digest} {word}" if _WORD.fullmatch(word) else digest


def _tags(path: str) -> str:
    """The tags of a repository that is only read; its own settings, hooks and filters have no say."""
    command = [
        # The path stands in the configuration, and may be that of a bare repository.
        *("git", "-c", f"safe.directory={path}", "-c", "safe.bareRepository=all"),
        *("-c", "core.fsmonitor=false", "-C", path),
        *("for-each-ref", "--sort=creatordate", "--format=%(refname:short)", "refs/tags"),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment = {**kept, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "GIT_OPTIONAL_LOCKS": "0"}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=_GIT_SECONDS, check=True)
    tags = done.stdout.decode("utf-8", "replace").split("\n")[:-1]
    return f"{hashlib.sha256(done.stdout).hexdigest()} {tags[-1] if tags else ''}".strip()
