"""Open an archive on disk, to read, and to write under the writer's lock."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, cast

from archiver import clock
from archiver.errors import ArchiverError, ConfigError, JournalDamaged, LazyMessage, StorageError
from archiver.model import Actor
from archiver.path_existence import is_plain_file
from archiver.store import archive_format, keys, lock, permissions, sqlite, users
from archiver.store.content.objects import ContentStore
from archiver.store.events.attached_files import SIGNERS_FILE
from archiver.store.events.event_files import FORMAT
from archiver.store.git import hooks, repository_format, restore_settings
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.head_history import HeadHistory
from archiver.store.index import index_files
from archiver.store.index.queries import Index
from archiver.store.journal import Journal, compute_compliance_time
from archiver.store.repair import foreign_index, journal_repair, ref_completion

if TYPE_CHECKING:
    # Most commands only read, and start sooner without the modules for writing.
    from archiver.store.writing.head_signing import HeadSigner
    from archiver.store.writing.writer import Writer


class Archive:
    """An open archive: its git repository, its journal, its content objects and its index.

    A thread must not use an instance that another thread has opened.  Reading requires no lock; all writing takes
    place in a block of :meth:`writing`.  An instance keeps git processes and ``index.db`` open until the opener
    calls :meth:`close`.
    """

    def __init__(
        self,
        root: Path,
        notify: Callable[[LazyMessage], None] | None = None,
        actor: Actor | None = None,
        *,
        restores_settings: bool = False,
        is_new: bool = False,
    ) -> None:
        """Open the archive at ``root``.

        ``notify`` receives a sentence about each repair.  ``actor`` is the user for whom the work is done; None
        stands for the user of this process.  With ``restores_settings``, the first block of :meth:`writing`
        replaces settings and hooks of the repository that archiver did not write.  ``is_new`` means that the
        archive is being created: only then is a journal without events accepted, which otherwise counts as damage.

        Raises ConfigError if there is no archive, OSError if ``root`` cannot be examined, and, unless
        ``restores_settings`` is set, StorageError if the repository has a format that an archive cannot have.
        """
        self.root = root
        self.actor = actor or users.current_user()
        self.repository_path = root / "archive.git"
        self._index_path = root / "index.db"
        self.keys_folder, self.spool_folder = root / "keys", root / "spool"
        if not is_plain_file(self.repository_path / "HEAD"):
            raise ConfigError(
                "There is no archive at {path}. Nothing was changed. Check archive.path in the configuration "
                "file, or mount the disk. To create an archive, run: archiver init --archive DIR --watch DIR",
                path=root,
            )
        self._restores_settings = restores_settings
        if not restores_settings:
            repository_format.check_readable(self.repository_path)
        self.repository = Repository(self.repository_path)
        self.journal = Journal(self.repository)
        self.head_history = HeadHistory(self.journal, self.repository)
        self.content = ContentStore(self.repository_path / "lfs" / "objects", self.spool_folder)
        self._notify = notify or (lambda _: None)
        self._index: Index | None = None
        self._is_new = is_new
        self._crash_cleanup: ref_completion.CleanUp | None = None  # None if the last writer ended cleanly
        self._are_refs_compared = False  # True once the refs were compared with the journal
        #: The last error of :meth:`damage_error`, if any, by the problem that the error reports.
        self._damage_by_problem: dict[LazyMessage, JournalDamaged] = {}

    def close(self) -> None:
        """End the git processes and close the index."""
        self.repository.close()
        if self._index is not None:
            self._index.close()
            self._index = None

    @cached_property
    def head_signer(self) -> HeadSigner:
        """Return the signer of the signed heads, which end each batch of journal events."""
        from archiver.store.writing.head_signing import HeadSigner

        return HeadSigner(self.head_history, self.keys_folder, self.spool_folder)

    @property
    def index(self) -> Index:
        """Return the index; the first use opens it, and applies new events if this process may write.

        Raises JournalDamaged if the journal is damaged, and neither the index nor any event is usable.
        """
        if self._index is None:
            self._index = self._open_index()
        return self._index

    def format_number(self) -> int:
        """Return the number of the archive's format; 0 without events.

        Raises JournalDamaged if the journal's ref is unusable, StorageError if an event is missing.
        """
        try:
            return archive_format.find_number(self.journal.newest_format(), self.index.stated_format())
        except StorageError as error:
            raise self.journal_damage() or error from None

    def check_writable(self) -> None:
        """Raise ConfigError, whose message says what to do, if this release cannot write the archive's format."""
        archive_format.check_writable(self.root, self.format_number(), self.index.stated_format())

    def _open_index(self) -> Index:
        """Open the index, and bring it up to date with the journal if this process may write.

        If the lock stays held for 5 seconds, the newest events are left out.  Raises ConfigError if only a newer
        release can interpret the archive, StorageError if the index is damaged and only the owner may rebuild it.
        """
        # Root only reads, unless root is the owner: files created by root would lock the service out.
        is_writable = os.stat(self.root).st_uid == os.geteuid() and os.access(self.root, os.W_OK)
        if (damage := self.journal_damage()) is not None:
            self._notify(damage.message)
            return self._index or self._open_index_despite_damage()
        archive_format.check_readable(self.root, self.journal.newest_format(), None)
        self._index = self._index or (  # journal_damage() has opened the index if it completed a crashed write
            index_files.open_index_for_writing(self._index_path, self._notify)
            if is_writable
            else foreign_index.open_believed_index(
                index_files.open_index_read_only(self._index_path, self.journal), self.journal, self._notify
            )
        )
        if is_writable and self._index.head_commit != self.repository.resolve(JOURNAL):
            try:
                with self.writing(wait_seconds=5):
                    pass
            except JournalDamaged as error:
                self._notify(error.message)
            except (ArchiverError, OSError):
                # The lock is held, or the disk is full.  An index of this journal lacks only the newest events.
                self._index = foreign_index.open_believed_index(self._index, self.journal, self._notify)
        archive_format.check_readable(self.root, 0, self._index.stated_format())
        return self._index

    def _open_index_despite_damage(self) -> Index:
        """Open an index for an archive with a damaged journal, which can only be read.

        If ``index.db`` is not usable, build an index in memory from the events up to :meth:`last_whole_event`.
        Raises JournalDamaged if there is no such event.
        """
        if (index := index_files.open_usable_index(self._index_path)) is not None:
            return index
        last_event = self.last_whole_event()
        if last_event is None:
            raise cast(JournalDamaged, self.journal_damage())
        return index_files.build_index_in_memory(self.journal, last_event.commit)

    def journal_damage(self) -> JournalDamaged | None:
        """Return the error to raise for an unusable journal ref; None if the ref leads to a readable event.

        If the last writer crashed, its work is completed first, provided that the lock is free.
        """
        problem = journal_repair.ref_problem(self.repository)
        if problem is not None and not lock.is_marked_clean(self.root / "lock"):
            # Completing the crashed write may repair the ref.  If it fails, the problem remains, and is reported.
            with suppress(ArchiverError, OSError), self.writing(0):
                problem = None
        return None if problem is None else self.damage_error(problem)

    def last_whole_event(self, after: str | None = None) -> journal_repair.WholeEvent | None:
        """Return the newest event that can be read together with all earlier events; None if there is none.

        The archive can continue from this event.  ``after`` is the commit of an event: with ``after``, only this
        event and its descendants are considered.  Slow, because every commit is read.
        """
        database_paths = (self._index_path, self.root / "state.db")
        journal_points = [sqlite.read_journal_point_of_file(path) for path in database_paths]
        return journal_repair.last_whole_event(self.repository, journal_points, after)

    def damage_error(self, problem: LazyMessage) -> JournalDamaged:
        """Return the error to raise for a ``problem`` of the journal; the message tells the user how to continue.

        The last error is cached, because finding the last whole event is slow.
        """
        if problem not in self._damage_by_problem:
            last_event = self.last_whole_event()
            error = journal_repair.damage_error(self.repository_path, problem, last_event)
            self._damage_by_problem = {problem: error}
        return self._damage_by_problem[problem]

    def compliance_time(self) -> datetime:
        """Return the present time of the compliance clock, the only clock by which retention is decided."""
        if self.journal_damage() is None:
            return compute_compliance_time(self.journal.newest_event(), clock.read_clocks())
        # The index may lack the newest events.  That is harmless: with a damaged journal, nothing is disposed of.
        evidence, now = self.index.clock_lag().last, clock.read_clocks()
        if evidence is None:
            return now.wall
        return clock.advance_compliance_time(*clock.parse_evidence(evidence), now)

    def journalled_signers(self) -> bytes:
        """Return the bytes of the ``allowed_signers`` file that was journalled last: the list of signing keys.

        Raises StorageError if the journal event or the attached list is damaged or missing.
        """
        return self.journal.read_attachment(self.journal.read_event(self.index.key_commit), SIGNERS_FILE)

    def reindex(self) -> None:
        """Rebuild ``index.db`` from the whole journal, and open the new file; the caller holds the writer's lock.

        The old file stays until the new one is complete.  Raises StorageError if the journal cannot be read.
        """
        index_files.rebuild_index(self._index_path, self.journal)
        if self._index is None:
            self._index = Index(self._index_path)
        else:
            self._index.reopen(at=self._index_path)

    def update_index(self) -> None:
        """Apply the journal events that the index does not include yet.  The caller holds the writer's lock.

        An index of another history is set aside and replaced.  Raises JournalDamaged, and keeps the index, if refs
        show that it is not the index but the journal that was replaced, by an older one.
        """
        if self._index is None:
            self._index = index_files.open_index_for_writing(self._index_path, self._notify)
        elif self._index.is_file_replaced or self._index.path != self._index_path:
            self._index.reopen(at=self._index_path)
        index = self._index
        if index.head_commit == self.repository.resolve(JOURNAL):
            return
        newest_indexed_event = index.journal_point
        if newest_indexed_event is not None and not self.journal.has_event(newest_indexed_event):
            foreign_index.replace_index(self, index, newest_indexed_event, self._notify)
        else:
            index.apply_events(self.journal.events_with_changes_since(index.head_commit))

    @contextmanager
    def writing(self, wait_seconds: float) -> Iterator[Writer]:
        """Hold the writer's lock during the block, and yield the writer.

        Before the block, the work of a crashed process is completed, and the index is brought up to date with the
        journal.  An index with a damaged page is rebuilt.

        Raises Busy if another process still holds the lock after ``wait_seconds``, StorageError if nothing can be
        written, JournalDamaged if the journal is unusable or refs contradict the journal.
        """
        from archiver.store.writing.writer import Writer

        with self._hold_write_lock(wait_seconds) as held_lock:
            # An error before the block must not make the next writer believe that this process crashed.
            held_lock.may_have_written = False
            if not self._is_new and (damage := self.journal_damage()) is not None:
                raise damage
            # The refs are compared again after a crash, which may have left any of them at a former value.
            self._are_refs_compared &= held_lock.was_clean
            index_files.update(self._index_path, self._update_index_and_check_refs, self.reindex, self._notify)
            held_lock.may_have_written = True
            # A process that crashed during a key rotation may have journalled the new key without installing it.
            if not held_lock.was_clean and self.index.key_commit:
                keys.install_next_key(self.keys_folder, self.journalled_signers())
            writer = Writer(self)
            # Not before the event that creates the archive, nor before an archive of an old format is upgraded.
            if self.index.format_number == FORMAT:
                self._journal_restored_settings(writer)
            yield writer

    def restore_missing_settings(self, wait_seconds: float) -> None:
        """Restore settings and hooks that are missing, or that an earlier release or git-lfs wrote.

        Does nothing if there are none.  Raises the errors of :meth:`writing`.
        """
        if any(deviation.reason != hooks.FOREIGN for deviation in hooks.deviations(self.repository_path)):
            with self.writing(wait_seconds):  # restores and journals the files before the block
                pass

    def _journal_restored_settings(self, writer: Writer) -> None:
        """Journal the settings and hooks restored by this process, or by one that crashed before this step."""
        from archiver.store.writing.drafts import Draft

        for restored_settings in restore_settings.noted(self.root):
            writer.append(Draft("archive.git", restored_settings))
            replaced_files = ", ".join(restored_settings.replaced or ())
            self._notify(LazyMessage("Restored repository settings: {files}.", files=replaced_files))
        restore_settings.forget(self.root)

    @contextmanager
    def writing_for_repair(self, wait_seconds: float) -> Iterator[Writer]:
        """Hold the writer's lock during the block without checking the journal first; yield the writer.

        This is only for ``archiver reindex --accept``, which continues a damaged journal.  Raises Busy if another
        process still holds the lock after ``wait_seconds``, StorageError if nothing can be written.
        """
        from archiver.store.writing.writer import Writer

        with self._hold_write_lock(wait_seconds):
            yield Writer(self)
            # The block has repaired the journal and its refs.
            self._damage_by_problem.clear()
            self._are_refs_compared = False

    @contextmanager
    def _hold_write_lock(self, wait_seconds: float) -> Iterator[lock.HeldLock]:
        """Hold the writer's lock during the block, with the archive's umask; yield the lock.

        Leftovers of a crashed holder are removed first, and missing settings restored.  Raises Busy, StorageError.
        """
        self.check_owner()
        with permissions.archive_umask(self.root), lock.hold_lock(self.root / "lock", wait_seconds) as held_lock:
            self._crash_cleanup = None
            if not held_lock.was_clean:
                self._crash_cleanup = ref_completion.clean_up(self.root, self.repository, self._notify)
            restore_settings.put_back(self.root, foreign=self._restores_settings)
            # Again, because the archive may have been open for weeks: with alternates, packing would lose objects.
            repository_format.check_readable(self.repository_path)
            yield held_lock

    def _update_index_and_check_refs(self) -> None:
        """Bring the index up to date with the journal, and check once that the refs agree with the journal.

        After a crash, refs that the journal names are first created or moved forward.  Raises JournalDamaged if
        the refs contradict the journal, sqlite3.Error if the index cannot be used.
        """
        from archiver.store.writing.chain_heads import agree_with_signed_head

        self.update_index()
        if not agree_with_signed_head(self.index, self.head_history):
            # Another program has changed the index.  The writer relies on the newest event of each chain in there.
            self.reindex()
        if self._are_refs_compared:
            return
        if self._crash_cleanup is not None:
            ref_completion.complete_refs(self.repository, self.journal, self._crash_cleanup, self._notify)
        problem = journal_repair.compare_refs(self.repository.refs(), self.index).problem
        if problem is not None:
            raise self.damage_error(problem)
        self._are_refs_compared = True

    def repository_identity(self) -> tuple[int, int] | None:
        """Return device and inode of the repository, which change if it is replaced; None if it is missing."""
        return sqlite.file_identity(self.repository_path)

    def check_owner(self) -> None:
        """Raise StorageError unless this process runs as the archive's owner."""
        users.check_owner(self.root)
