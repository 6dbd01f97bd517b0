"""One archive on disk: opening it, and writing to it under the writer's lock."""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from archiver import clock
from archiver.errors import ArchiverError, ConfigProblem, JournalDamaged, Phrase, StorageProblem
from archiver.existence import is_plain_file
from archiver.model import Actor, JournalPoint
from archiver.store import keys, lock, permissions, sqlite, users
from archiver.store.content.objects import ContentStore
from archiver.store.creation import new_archive
from archiver.store.git import hooks, interrupted_write, restore_settings
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.index import index_files
from archiver.store.index.queries import Index, IndexDamaged
from archiver.store.journal import EVENT_FILE, Journal, compliance_clock
from archiver.store.repair import journal_repair, set_aside
from archiver.store.writer import Draft, Writer


class Archive:
    """One archive.  Reading needs no lock; writing goes through :meth:`writing`."""

    def __init__(
        self,
        root: Path,
        notify: Callable[[Phrase], None] | None = None,
        actor: Actor | None = None,
        *,
        restores_settings: bool = False,
    ) -> None:
        """Open the archive at ``root``; raises ConfigProblem where there is none, OSError where nobody can tell.

        ``notify`` is told what was mended on the way, in one sentence.  ``actor``
        is who everything is done for; None: whoever runs this process.
        ``restores_settings``: the first writing replaces settings and hooks that nobody knows;
        else they are refused with StorageProblem, before any git runs.
        """
        self.root = root
        self.actor = actor or users.caller()
        self.repository_path = root / "archive.git"
        self.keys = root / "keys"
        self.spool = root / "spool"
        if not is_plain_file(self.repository_path / "HEAD"):
            raise ConfigProblem(
                "There is no archive at {path}. Nothing was changed. Check archive.path in the configuration, "
                "mount the disk, or make an archive with: archiver init --archive DIR --watch DIR",
                path=root,
            )
        self._restores_settings = restores_settings
        if not restores_settings:
            hooks.check(self.repository_path)
        self.repository = Repository(self.repository_path)
        self.journal = Journal(self.repository)
        self.content = ContentStore(self.repository_path / "lfs" / "objects", self.spool)
        self._notify = notify or (lambda _: None)
        self._index: Index | None = None
        #: An archive in the making has no event yet.
        self._is_new = False
        self._refs_compared = False
        self._damages: dict[Phrase, JournalDamaged] = {}

    @classmethod
    def create(
        cls, root: Path, details: Mapping[str, Any], attachments: Mapping[str, bytes] | None = None
    ) -> Archive:
        """Make a new archive with its key and its first event: the whole, or nothing."""
        with permissions.masked(), new_archive.made_in(root) as making:
            new = making.folder
            (new / "spool").mkdir()
            keys.create(new / "keys")
            Repository.create(new / "archive.git").close()
            with closing(cls(new)) as archive:
                archive._is_new = True
                with archive.writing(0) as writer, open(new / "keys" / "allowed_signers", "rb") as signers:
                    attached = {name: io.BytesIO(data) for name, data in (attachments or {}).items()}
                    writer.append(Draft("init", "archive", details, {"allowed_signers": signers, **attached}))
            making.put_in_place()
            return cls(root)

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
        damage = self.journal_damage()
        if damage is not None:
            self._notify(Phrase(damage.template, **damage.fields))
            return self._readable_index(path)
        self._index = index_files.open_writable(path, self._notify) if writable else index_files.open_foreign(path)
        if writable and self._index.head != self.repository.resolve(JOURNAL):
            try:
                with self.writing(wait_seconds=5):
                    pass
            except JournalDamaged as refused:
                self._notify(Phrase(refused.template, **refused.fields))
            except ArchiverError:
                # The newest events are missing from this answer, nothing more.
                pass
        return self._index

    def _readable_index(self, path: Path) -> Index:
        """The index as it is, or one in memory of what is whole: nothing is written beside a damaged journal."""
        try:
            index = Index(path, read_only=True)
            if index.head is not None:
                return index
            index.close()
        except (IndexDamaged, sqlite3.Error):
            pass
        last = self.last_whole_event()
        if last is None:
            raise cast(JournalDamaged, self.journal_damage())
        index = Index.in_memory()
        index.apply(self.journal.since_with_changes(None, last.commit))
        return index

    def journal_damage(self) -> JournalDamaged | None:
        """Why the journal cannot be continued, as far as its own ref tells; None where it can."""
        try:
            problem = journal_repair.ref_problem(self.repository)
        except StorageProblem:
            if os.stat(self.root).st_uid != os.geteuid() or not hooks.deviations(self.repository_path):
                raise
            # With an empty HEAD, git takes the folder for no repository.
            self.put_settings_back(wait_seconds=5)
            problem = journal_repair.ref_problem(self.repository)
        return None if problem is None else self._damaged(problem)

    def last_whole_event(self) -> journal_repair.WholeEvent | None:
        """The newest event that the archive can go on from, as refs and databases tell; reads every commit."""
        points = [sqlite.point_of(self.root / name) for name in ("index.db", "state.db")]
        return journal_repair.last_whole_event(self.repository, points)

    def ref_problem(self) -> Phrase | None:
        """Why other refs do not fit the journal; None where they do, or where somebody writes just now."""
        tip, point = self.repository.resolve(JOURNAL), self.index.point
        if self.index.head != tip:
            if tip is None or point is None or self.has_event(point):
                return None
            return Phrase("its newest event is older than event {seq}, which a database knows", seq=point.seq)
        refs = self.repository.refs()
        # A writer moves the journal first and the index last: as long as both stand still, so do the refs.
        if self.repository.resolve(JOURNAL) != tip:
            return None
        return journal_repair.compare_refs(refs, self.index).problem

    def _damaged(self, problem: Phrase) -> JournalDamaged:
        # Looking for the last whole event reads every commit: once for each kind of damage.
        if problem not in self._damages:
            last = self.last_whole_event()
            self._damages = {problem: journal_repair.damaged(self.repository_path, problem, last)}
        return self._damages[problem]

    def compliance_time(self) -> datetime:
        """The compliance clock now; retention is decided by nothing else."""
        if self.journal_damage() is None:
            return compliance_clock(self.journal.head(), clock.read())
        # For reading only: with a damaged journal nothing is disposed of.
        evidence = self.index.lag().last
        reading = clock.read()
        return reading.wall if evidence is None else clock.advance(*clock.from_evidence(evidence), reading)

    def signers(self) -> bytes:
        """The list of keys, as last journalled; raises StorageProblem where that is damaged."""
        return self.journal.attachment(self.journal.event(self.index.key_commit), "allowed_signers")

    def has_event(self, point: JournalPoint) -> bool:
        """Whether derived data that was complete up to ``point`` belongs to this journal."""
        tip = self.repository.resolve(JOURNAL)
        if tip is None or (point.commit != tip and not self.repository.is_ancestor(point.commit, tip)):
            return False
        try:
            data = self.repository.read(f"{point.commit}:{EVENT_FILE}")
        except KeyError:
            return False
        return hashlib.sha256(data).hexdigest() == point.sha256

    def reindex(self) -> None:
        """Rebuild ``index.db`` from the journal; under the lock.

        It is made aside: a journal that turns out to be unreadable costs nothing.
        """
        path = self.root / "index.db"
        index_files.rebuild(path, self.journal)
        if self._index is None:
            self._index = Index(path)
        else:
            self._index.reopen(at=path)

    def catch_up(self) -> None:
        """Take the events that the index has not seen into it; under the lock.

        An index of another history is set aside, unless it is the journal's ref that went back.
        """
        path = self.root / "index.db"
        if self._index is None:
            self._index = index_files.open_writable(path, self._notify)
        elif self._index.is_replaced:
            self._index.reopen(at=path)
        index = self._index
        if index.head == self.repository.resolve(JOURNAL):
            return
        if index.point is not None and not self.has_event(index.point):
            self._replace_index(index)
        else:
            index.apply(self.journal.since_with_changes(index.head))

    def _replace_index(self, index: Index) -> None:
        """Put an index of this journal into the place of one that knows another history.

        Raises JournalDamaged where refs of that history are still there: then it is the journal that went back.
        """
        path = self.root / "index.db"
        with tempfile.TemporaryDirectory(dir=self.spool) as folder:
            fresh = Index(Path(folder, "index.db"))
            try:
                fresh.apply(self.journal.since_with_changes(None))
                problem = journal_repair.compare_refs(self.repository.refs(), fresh).problem
            finally:
                fresh.close()
            if problem is not None:
                raise self._damaged(problem)
            index.close()
            aside = set_aside.set_aside(self.root, "index.db")
            sqlite.replace(fresh.path, path)
        index.reopen(at=path)
        self._notify(
            Phrase(
                "The index was of another history than the journal. It is kept as {path}, and a new one was made. "
                "To see what is missing, run: archiver status",
                path=aside,
            )
        )

    @contextmanager
    def writing(self, wait_seconds: float) -> Iterator[Writer]:
        """Hold the writer's lock, recover from a crash if there was one, catch up.

        Raises Busy after ``wait_seconds``, StorageProblem where nothing can be written, JournalDamaged where the
        refs contradict the journal.
        """
        with self._locked(wait_seconds) as clean:
            if not self._is_new and (damage := self.journal_damage()) is not None:
                raise damage
            if not clean:
                moved = interrupted_write.recover(self.repository, self.journal.head())
                if moved:
                    self._notify(Phrase("Finished after a crash: {refs}.", refs=", ".join(moved)))
            self.catch_up()
            if not clean or not self._refs_compared:
                self._compare_refs()
            if not clean and self.index.key_commit:
                keys.install(self.keys, self.signers())
            writer = Writer(self)
            self._journal_replaced(writer)
            yield writer

    def put_settings_back(self, wait_seconds: float) -> None:
        """Put guard rails back that are gone or of an earlier release, where nothing else is to be written.

        Raises as :meth:`writing`.
        """
        if hooks.deviations(self.repository_path):
            with self.writing(wait_seconds):
                pass

    def _journal_replaced(self, writer: Writer) -> None:
        """Journal the settings and hooks that were put back, also before a crash."""
        for details in restore_settings.noted(self.root):
            writer.append(Draft("repository-settings", "archive.git", details))
            replaced = ", ".join(details["replaced"])
            self._notify(Phrase("Settings of the repository were put back: {files}.", files=replaced))
        restore_settings.forget(self.root)

    @contextmanager
    def repairing(self, wait_seconds: float) -> Iterator[Writer]:
        """Hold the writer's lock although the journal may be damaged: for ``archiver reindex --accept`` alone."""
        with self._locked(wait_seconds) as clean:
            if not clean:
                interrupted_write.recover(self.repository, None)
            yield Writer(self)
            self._damages.clear()
            self._refs_compared = False

    @contextmanager
    def _locked(self, wait_seconds: float) -> Iterator[bool]:
        self.check_owner()
        with permissions.masked(self.root), lock.hold(self.root / "lock", wait_seconds) as clean:
            restore_settings.put_back(self.root, foreign=self._restores_settings)
            yield clean

    def _compare_refs(self) -> None:
        """Look, once in this process, whether the refs fit the journal; raises JournalDamaged."""
        problem = journal_repair.compare_refs(self.repository.refs(), self.index).problem
        if problem is not None:
            raise self._damaged(problem)
        self._refs_compared = True

    def identity(self) -> tuple[int, int] | None:
        """Device and inode of the repository, which tell when another one takes its place; None: it is gone."""
        return sqlite.file_identity(self.repository_path)

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
