"""One archive on disk: opening it, and writing to it under the writer's lock."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from archiver import __version__, clock
from archiver.errors import ArchiverError, ConfigProblem, StorageProblem
from archiver.model import Actor, Attachment, Change, Event, Op, Submission
from archiver.store import database, keys, lock, names, recovery, users
from archiver.store.content import ContentStore, pointer, sync_filesystem
from archiver.store.fastimport import IDENTITY, FastImport
from archiver.store.index import Index, IndexDamaged
from archiver.store.journal import (
    CHANGES_FILE,
    EVENT_FILE,
    GENESIS,
    Journal,
    canonical,
    change_line,
    compliance_clock,
)
from archiver.store.repository import JOURNAL, ZERO, RefUpdate, Repository
from archiver.store.steps import Step, reached

_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True, slots=True)
class Totals:
    """What a version holds and what it changed, as ``log`` shows it."""

    files: int
    bytes: int
    added: int
    modified: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before it has a place in the chain."""

    action: str
    object: str
    details: Mapping[str, Any] = field(default_factory=dict)
    attachments: Mapping[str, IO[bytes]] = field(default_factory=dict)
    #: A time that an authority vouches for: the compliance clock catches up with it.
    proven: datetime | None = None


class Archive:
    """One archive.  Reading needs no lock; writing goes through :meth:`writing`."""

    def __init__(
        self, root: Path, notify: Callable[[str], None] | None = None, actor: Actor | None = None
    ) -> None:
        """Open the archive at ``root``; raises ConfigProblem where there is none.

        ``notify`` is told what was mended on the way, in one sentence.  ``actor``
        is who everything is done for; None: whoever runs this process.
        """
        self.root = root
        self.actor = actor or users.caller()
        self.repository_path = root / "archive.git"
        self.keys = root / "keys"
        self.spool = root / "spool"
        if not (self.repository_path / "HEAD").is_file():
            raise ConfigProblem(
                "There is no archive at {path}. Nothing was changed. Check archive.path in the configuration, "
                "mount the disk, or make an archive with: archiver init --archive DIR --watch DIR",
                path=root,
            )
        self.repository = Repository(self.repository_path)
        self.repository.check_openable()
        self.journal = Journal(self.repository)
        self.content = ContentStore(self.repository_path / "lfs" / "objects", self.spool)
        self._notify = notify or (lambda _: None)
        self._index: Index | None = None

    @classmethod
    def create(
        cls, root: Path, details: Mapping[str, Any], attachments: Mapping[str, bytes] | None = None
    ) -> Archive:
        """Make a new archive with its key and its first event."""
        root.mkdir(parents=True, exist_ok=True)
        (root / "spool").mkdir()
        keys.create(root / "keys")
        Repository.create(root / "archive.git").close()
        archive = cls(root)
        with archive.writing(0) as writer, open(root / "keys" / "allowed_signers", "rb") as signers:
            attached = {name: io.BytesIO(data) for name, data in (attachments or {}).items()}
            writer.append(Draft("init", "archive", details, {"allowed_signers": signers, **attached}))
        sync_filesystem(root)
        return archive

    def close(self) -> None:
        """Release processes and files."""
        self.repository.close()
        if self._index is not None:
            self._index.close()
            self._index = None

    @property
    def index(self) -> Index:
        """The index, caught up with the journal where this process may write it."""
        if self._index is None:
            self._index = self._open_index()
        return self._index

    def _open_index(self) -> Index:
        path = self.root / "index.db"
        writable = os.access(self.root, os.W_OK)
        try:
            index = Index(path, read_only=not writable)
        except IndexDamaged as damage:
            if not writable:
                raise StorageProblem(
                    "The index {path} is damaged ({reason}) and this user may not rebuild it. Nothing archived "
                    "was lost. Run archiver reindex as the user who owns the archive.",
                    path=path,
                    reason=damage,
                ) from None
            self._notify(f"The index {path} was damaged ({damage}) and is rebuilt from the journal.")
            database.remove(path)
            index = Index(path)
        if writable and index.head != self.repository.resolve(JOURNAL):
            self._index = index
            try:
                with self.writing(wait_seconds=5):
                    pass
            except ArchiverError:
                # The newest events are missing from this answer, nothing more.
                return index
        return index

    def compliance_time(self) -> datetime:
        """The compliance clock now; retention is decided by nothing else."""
        return compliance_clock(self.journal.head(), clock.read())

    def signers(self) -> bytes:
        """The list of keys, as last journalled; raises StorageProblem where that is damaged."""
        return self.journal.attachment(self.journal.event(self.index.key_commit), "allowed_signers")

    def reindex(self) -> None:
        """Rebuild ``index.db`` from the journal."""
        if self._index is not None:
            self._index.close()
        database.remove(self.root / "index.db")
        self._index = Index(self.root / "index.db")
        self.catch_up()

    def catch_up(self) -> None:
        """Take the events that the index has not seen into it; under the lock."""
        index = self._index or Index(self.root / "index.db")
        self._index = index
        head = index.head
        tip = self.repository.resolve(JOURNAL)
        if head == tip:
            return
        if head is not None and (tip is None or not self.repository.is_ancestor(head, tip)):
            self._notify("The index did not belong to this journal and is rebuilt.")
            self.reindex()
            return
        for event in self.journal.since(head):
            index.apply(event, self.journal.changes(event))

    @contextmanager
    def writing(self, wait_seconds: float) -> Iterator[Writer]:
        """Hold the writer's lock, recover from a crash if there was one, catch up.

        Raises Busy after ``wait_seconds``, StorageProblem where nothing can be written.
        """
        self._check_owner()
        with lock.hold(self.root / "lock", wait_seconds) as clean:
            if not clean:
                moved = recovery.recover(self.repository, self.journal.head())
                if moved:
                    self._notify(f"Finished after a crash: {', '.join(moved)}.")
            self.catch_up()
            if not clean and self.index.key_commit:
                keys.install(self.keys, self.signers())
            yield Writer(self)

    def _check_owner(self) -> None:
        """Only the owner writes: files of another user would lock the service out, and hide who acted."""
        owner = os.stat(self.root).st_uid
        if owner != os.geteuid():
            raise StorageProblem(
                "The archive {path} belongs to {owner}, and only that user writes it. Nothing was written and "
                "nothing was lost. Start its service, which does it for others, or run this as {owner}.",
                path=self.root,
                owner=users.of_uid(owner),
            )


class Writer:
    """The right to write, for as long as the lock is held."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    @property
    def next_seq(self) -> int:
        """The number that the next event will have."""
        newest = self._archive.journal.head()
        return 1 if newest is None else newest.seq + 1

    def append(self, draft: Draft, signed_tag: tuple[str, str, str] | None = None) -> Event:
        """Append one event; ``signed_tag`` is (tag, commit, message) to sign and create."""
        archive = self._archive
        reading = clock.read()
        with archive.repository.importing() as stream:
            refs: dict[str, str] = {}
            if signed_tag is not None:
                name, commit, message = signed_tag
                body = _tag_body(name, commit, message, int(reading.wall.timestamp()))
                body += keys.sign(archive.keys, body).encode("ascii")
                refs[f"refs/tags/{name}"] = archive.repository.write_tag(body)
            event = self._event(stream, draft, refs, reading)
        self._move(event, dict.fromkeys(refs, ZERO))
        archive.index.apply(event, ())
        reached(Step.INDEX_UPDATED)
        return event

    def write_version(
        self,
        submission: Submission,
        number: int,
        parent: str | None,
        changes: Sequence[Change],
        totals: Totals,
    ) -> Event:
        """Write one version: commit, tag and capture event, then the refs.

        The content objects must be published already.  Returns when the version
        is durable, which is when it counts as archived.
        """
        archive = self._archive
        reading = clock.read()
        seconds = int(reading.wall.timestamp())
        tag = submission.tag(number)
        message = (
            f"{tag}\n\nadded {totals.added}, modified {totals.modified}, deleted {totals.deleted}; "
            f"{totals.files} files, {totals.bytes} bytes\n"
        )
        details = {
            "filing": names.text(submission.filing_folder),
            "submission": names.text(submission.folder),
            "version": number,
            "files": totals.files,
            "bytes": totals.bytes,
            "added": totals.added,
            "modified": totals.modified,
            "deleted": totals.deleted,
        }
        with tempfile.TemporaryFile(dir=archive.spool) as lines:
            lines.writelines(change_line(change) for change in changes)
            with archive.repository.importing() as stream:
                commit = stream.commit(message, seconds, parent, _tree_files(parent, changes))
                body = _tag_body(tag, commit, message, seconds)
                refs = {
                    submission.branch: commit,
                    f"refs/tags/{tag}": archive.repository.write_tag(body),
                }
                draft = Draft("capture", tag, details, {CHANGES_FILE: lines})
                event = self._event(stream, draft, refs, reading)
        self._move(event, {submission.branch: parent or ZERO, f"refs/tags/{tag}": ZERO})
        archive.index.apply(event, changes)
        reached(Step.INDEX_UPDATED)
        return event

    def _event(self, stream: FastImport, draft: Draft, refs: dict[str, str], reading: clock.Reading) -> Event:
        newest = self._archive.journal.head()
        now = compliance_clock(newest, reading)
        attachments = {name: _measured(name, file) for name, file in draft.attachments.items()}
        document: dict[str, Any] = {
            "seq": 1 if newest is None else newest.seq + 1,
            "at": clock.stamp(reading.wall),
            "clock": clock.evidence(max(now, draft.proven or now), reading),
            "actor": {
                "uid": self._archive.actor.uid,
                "user": self._archive.actor.user,
                "program": f"archiver {__version__}",
            },
            "action": draft.action,
            "object": draft.object,
            "details": dict(draft.details),
            "refs": refs,
            "attachments": [
                {"name": item.name, "sha256": item.sha256, "size": item.size} for item in attachments.values()
            ],
            "prev": GENESIS if newest is None else newest.sha256,
        }
        data = canonical(document)
        commit = stream.commit(
            f"{document['seq']} {draft.action} {draft.object}\n",
            int(reading.wall.timestamp()),
            None if newest is None else newest.commit,
            [(EVENT_FILE.encode(), data)],
            {name: (file, attachments[name].size) for name, file in draft.attachments.items()},
            fresh=True,
        )
        return Event(
            **{**document, "attachments": tuple(attachments.values())},
            sha256=hashlib.sha256(data).hexdigest(),
            commit=commit,
        )

    def _move(self, event: Event, old: Mapping[str, str]) -> None:
        # The journal first: its move is the commit point, and recovery replays the rest.
        before = self._archive.repository.resolve(JOURNAL) or ZERO
        updates = [RefUpdate(JOURNAL, before, event.commit)]
        updates += [RefUpdate(ref, old[ref], oid) for ref, oid in event.refs.items()]
        self._archive.repository.move_refs(updates)


def _tree_files(parent: str | None, changes: Sequence[Change]) -> Iterator[tuple[bytes, bytes | None]]:
    # Deletions first: a file may have become a folder of the same name.
    for change in changes:
        if change.op is Op.DELETE:
            yield _tree_name(change.path), None
        elif change.source is not None:
            yield _tree_name(change.source), None
    if parent is None:
        yield b".gitattributes", _ATTRIBUTES
    for change in changes:
        if change.op in (Op.ADD, Op.MODIFY, Op.RENAME) and change.sha256 is not None:
            yield _tree_name(change.path), pointer(change.sha256, change.size)


def _tree_name(path: bytes) -> bytes:
    return b"materials/" + names.tree_path(path)


def _tag_body(tag: str, commit: str, message: str, seconds: int) -> bytes:
    head = f"object {commit}\ntype commit\ntag {tag}\ntagger {IDENTITY} {seconds} +0000\n\n"
    return (head + message).encode("utf-8")


def _measured(name: str, file: IO[bytes]) -> Attachment:
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    # Of a file in memory, hashing moves no position.
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return Attachment(name, digest.hexdigest(), size)
