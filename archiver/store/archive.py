"""One archive on disk: opening it, and writing to it under the writer's lock."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from archiver import clock
from archiver.errors import ArchiverError, ConfigProblem, StorageProblem
from archiver.model import Actor
from archiver.store import database, keys, lock, permissions, recovery, users
from archiver.store.content import ContentStore
from archiver.store.durable import sync_filesystem
from archiver.store.index import Index, IndexDamaged
from archiver.store.journal import (
    Journal,
    compliance_clock,
)
from archiver.store.repository import JOURNAL, Repository
from archiver.store.writer import Draft, Writer


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
        with permissions.masked():
            root.mkdir(parents=True, exist_ok=True)
            (root / "spool").mkdir()
            keys.create(root / "keys")
            Repository.create(root / "archive.git").close()
            permissions.open_to(root, None)
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
        # Root could, and would leave files behind that lock the service out.
        writable = os.stat(self.root).st_uid == os.geteuid() and os.access(self.root, os.W_OK)
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
        index.apply(self.journal.since_with_changes(head))

    @contextmanager
    def writing(self, wait_seconds: float) -> Iterator[Writer]:
        """Hold the writer's lock, recover from a crash if there was one, catch up.

        Raises Busy after ``wait_seconds``, StorageProblem where nothing can be written.
        """
        self.check_owner()
        with permissions.masked(), lock.hold(self.root / "lock", wait_seconds) as clean:
            if not clean:
                moved = recovery.recover(self.repository, self.journal.head())
                if moved:
                    self._notify(f"Finished after a crash: {', '.join(moved)}.")
            self.catch_up()
            if not clean and self.index.key_commit:
                keys.install(self.keys, self.signers())
            yield Writer(self)

    def check_owner(self) -> None:
        """Only the owner writes: files of another user would lock the service out, and hide who acted.

        Raises StorageProblem for anybody else.
        """
        owner = os.stat(self.root).st_uid
        if owner != os.geteuid():
            raise StorageProblem(
                "The archive {path} belongs to {owner}, and only that user writes it. Nothing was written and "
                "nothing was lost. Start its service, which does it for others, or run this as {owner}.",
                path=self.root,
                owner=users.of_uid(owner),
            )
