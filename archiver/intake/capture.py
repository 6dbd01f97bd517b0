"""Making a version of what has settled.

Reading and hashing go on without the lock; what has changed is decided under it,
against the newest version, so that the same input twice gives no second version.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from archiver.errors import ArchiverError, StorageProblem
from archiver.intake.layout import Group, locate
from archiver.intake.scan import UNREADABLE_FILE
from archiver.intake.snapshot import FOLDER, Noted, Snapshot, State
from archiver.model import Change, Material, Op, Submission, Version
from archiver.store.archive import Archive, Totals, Writer
from archiver.store.changes import addition, between
from archiver.store.content import Signature, Staged, Unstable

_WORKERS = 2


class Stopped(Exception):
    """The daemon was told to end; nothing of this attempt was kept."""


@dataclass(slots=True)
class Outcome:
    """What became of one attempt: a version (or none), and what is left to do."""

    tag: str | None = None
    changes: int = 0
    done: list[bytes] = field(default_factory=list)
    fresh: list[bytes] = field(default_factory=list)
    unstable: list[bytes] = field(default_factory=list)
    unreadable: list[Noted] = field(default_factory=list)


@dataclass(slots=True)
class Read:
    """What reading a group's files came to."""

    staged: dict[bytes, Staged] = field(default_factory=dict)
    unstable: list[bytes] = field(default_factory=list)
    unreadable: list[Noted] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A group whose files are being read and published."""

    group: Group
    states: Mapping[bytes, State]
    read: Future[Read]


class Capturer:
    """Captures groups of settled paths into one archive."""

    def __init__(
        self, archive: Archive, snapshot: Snapshot, watch: Path, layout: str, stopping: threading.Event
    ) -> None:
        self._archive = archive
        self._readers = ThreadPoolExecutor(_WORKERS)
        self._publisher = ThreadPoolExecutor(1)
        self._stopping = stopping
        self._snapshot = snapshot
        self._root = os.fsencode(watch)
        self._layout = layout

    def stage(self, group: Group, states: Mapping[bytes, State]) -> Attempt:
        """Begin to read, hash, copy and publish the group's files; returns at once.

        While one attempt is finished, the files of the next ones are on their way.
        """
        files = [path for path, state in states.items() if isinstance(state, Signature)]
        results = {path: self._readers.submit(self._try_stage, path) for path in files}
        return Attempt(group, states, self._publisher.submit(self._publish, results))

    def finish(self, attempt: Attempt, wait_seconds: float) -> Outcome:
        """Archive what was staged as one version.

        Raises StorageProblem, Busy or Stopped; nothing is half done then, and
        the paths stay pending.
        """
        read = attempt.read.result()
        settled: dict[bytes, State] = {path: item.signature for path, item in read.staged.items()}
        settled |= {p: state for p, state in attempt.states.items() if not isinstance(state, Signature)}
        outcome = Outcome(unstable=read.unstable, unreadable=read.unreadable)
        with self._archive.writing(wait_seconds) as writer:
            self._write(writer, attempt.group, settled, read.staged, outcome)
        outcome.fresh = [path for path, item in read.staged.items() if item.fresh]
        seen = settled | dict.fromkeys(outcome.fresh, Signature.unknown())
        self._snapshot.record({path: self._own(attempt.group, path, state) for path, state in seen.items()})
        self._snapshot.note_unreadable(outcome.unreadable)
        outcome.done = [*settled, *(item.path for item in outcome.unreadable)]
        return outcome

    def drop(self, attempt: Attempt) -> None:
        """Give an attempt up: content that was published already waits for the next one."""
        attempt.read.cancel()

    def close(self) -> None:
        """End the threads, and with them what is still being read."""
        self._stopping.set()
        self._publisher.shutdown()
        self._readers.shutdown()

    def _publish(self, results: Mapping[bytes, Future[Staged | str | None]]) -> Read:
        read = Read()
        try:
            for path, future in results.items():
                result = future.result()
                if isinstance(result, Staged):
                    read.staged[path] = result
                elif result is None:
                    read.unstable.append(path)
                else:
                    read.unreadable.append(Noted(path, UNREADABLE_FILE, result))
            self._archive.content.publish(read.staged.values())
        except (ArchiverError, Stopped):
            self._discard(results)
            raise
        return read

    def _discard(self, results: Mapping[bytes, Future[Staged | str | None]]) -> None:
        for future in results.values():
            if not future.cancel() and future.exception() is None:
                result = future.result()
                self._archive.content.discard([result] if isinstance(result, Staged) else [])

    def _try_stage(self, path: bytes) -> Staged | str | None:
        """A copy, None where the file was not still, or why it cannot be read."""
        if self._stopping.is_set():
            raise Stopped
        try:
            return self._archive.content.stage(self._root + b"/" + path)
        except (Unstable, FileNotFoundError):
            return None
        except OSError as error:
            return error.strerror or type(error).__name__

    def _write(
        self,
        writer: Writer,
        group: Group,
        settled: Mapping[bytes, State],
        staged: Mapping[bytes, Staged],
        outcome: Outcome,
    ) -> None:
        latest = self._latest(group)
        submission = latest.submission if latest else group.submission()
        current = _Current(self._archive, submission)
        for path, state in sorted(settled.items()):
            place, material = locate(path, self._layout, is_folder=state == FOLDER)
            if place != group:
                # The name now belongs to a folder of another submission.
                place, material, state = group, locate(path, self._layout)[1], None
            if material:
                current.set(material, _as_material(material, state, staged.get(path)))
        changes = current.changes()
        if not changes or (latest is None and not any(change.op is Op.ADD for change in changes)):
            # A submission begins with its first material, not with an empty folder.
            return
        if group.folder is None and latest is not None and self._is_sealed(submission):
            submission = group.submission((submission.number or 0) + 1)
            changes = current.everything()
            latest = None
        self._check_content(changes)
        number = latest.number + 1 if latest else 1
        parent = latest.commit if latest else None
        totals = self._totals(latest, changes, current)
        outcome.tag = writer.write_version(submission, number, parent, changes, totals).object
        outcome.changes = len(changes)

    def _totals(self, latest: Version | None, changes: list[Change], current: _Current) -> Totals:
        counts = Counter(change.op for change in changes)
        files, size = current.totals(latest)
        return Totals(
            files,
            size,
            added=counts[Op.ADD],
            modified=counts[Op.MODIFY] + counts[Op.RENAME],
            deleted=counts[Op.DELETE],
        )

    def _latest(self, group: Group) -> Version | None:
        index = self._archive.index
        if group.folder is not None:
            return index.latest(group.submission())
        filing = group.submission().filing
        numbered = [s for s in index.submissions() if s.filing == filing and s.number is not None]
        return index.latest(max(numbered, key=lambda s: s.number or 0)) if numbered else None

    def _is_sealed(self, submission: Submission) -> bool:
        versions = self._archive.index.versions(submission.filing, submission.name)
        return any(version.submitted for version in versions)

    def _own(self, group: Group, path: bytes, state: State) -> State:
        if state == FOLDER and locate(path, self._layout, is_folder=True)[0] != group:
            return None
        return state

    def _check_content(self, changes: list[Change]) -> None:
        for change in changes:
            if change.sha256 and change.size and not self._archive.content.has(change.sha256, change.size):
                raise StorageProblem(
                    "The content object {sha256} disappeared while its version was written. Nothing was "
                    "recorded and nothing archived was lost; the files are read again. Check the disk.",
                    sha256=change.sha256,
                )


def _as_material(path: bytes, state: State, staged: Staged | None) -> Material | None:
    if staged is not None:
        signature = staged.signature
        return Material(path, staged.sha256, signature.size, signature.mtime_ns)
    return Material(path, None, 0, 0) if state == FOLDER else None


class _Current:
    """The newest version's materials and what becomes of them."""

    def __init__(self, archive: Archive, submission: Submission) -> None:
        self._index = archive.index
        self._submission = submission
        self._before: dict[bytes, Material | None] = {}
        self._after: dict[bytes, Material | None] = {}

    def set(self, path: bytes, material: Material | None) -> None:
        """The path holds this now (None: nothing)."""
        self._before[path] = self._index.material(self._submission, path)
        self._after[path] = material

    def changes(self) -> list[Change]:
        """What differs from the newest version."""
        return between((self._before[path], after) for path, after in self._after.items())

    def everything(self) -> list[Change]:
        """The whole state, as the first version of a new submission."""
        state = {m.path: m for m in self._index.materials(self._submission)}
        for path, after in self._after.items():
            state.pop(path, None)
            if after is not None:
                state[path] = after
        return [addition(material) for _, material in sorted(state.items())]

    def totals(self, latest: Version | None) -> tuple[int, int]:
        """Number of files and bytes after the changes."""
        if latest is None:
            state = [change for change in self.everything() if change.sha256]
            return len(state), sum(change.size for change in state)
        files, size = latest.files, latest.bytes
        for path, after in self._after.items():
            for material, sign in ((self._before[path], -1), (after, 1)):
                if material is not None and material.sha256:
                    files += sign
                    size += sign * material.size
        return files, size
