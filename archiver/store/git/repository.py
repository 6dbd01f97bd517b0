"""Read and write the bare git repository of an archive.

Uses git's plumbing commands only: none of them reads ignore rules, attributes or filters.  Git obeys only our own
settings (:mod:`archiver.store.git.private_directory`), not those of the repository.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from archiver.errors import LazyMessage, StorageError
from archiver.store.disk_errors import disk_write_error
from archiver.store.failpoints import Step, announce_step
from archiver.store.fsync import sync_filesystem
from archiver.store.git import hooks, pack_index, repository_format
from archiver.store.git.commands import GitCommands, OuterSetting
from archiver.store.git.ref_transaction import ZERO, RefUpdate, commit_moves, try_creations
from archiver.store.git.repository_reader import RepositoryReader

if TYPE_CHECKING:
    from archiver.store.git.object_writer import ObjectWriter

JOURNAL = "refs/heads/journal"


class Repository(RepositoryReader):
    """A bare repository, for reading and writing; the owner ends the git processes with :meth:`close`."""

    @classmethod
    def create(cls, path: Path) -> Repository:
        """Create a repository with the archive's settings and hooks, durably.

        Raises the errors of :meth:`create_without_hooks` and :meth:`install_hooks`.
        """
        repository = cls.create_without_hooks(path)
        repository.install_hooks()
        return repository

    @classmethod
    def create_without_hooks(cls, path: Path) -> Repository:
        """Create a repository without the archive's settings and hooks, which :meth:`install_hooks` adds later.

        Raises StorageError if git fails or creates a repository of another format, OSError if ``path`` exists
        already.  Nothing new is left then.
        """
        path.mkdir(parents=True)
        repository = cls(path)
        try:
            GitCommands(path, has_repository=False).run(
                *("-c", repository_format.KEEP_REFS_IN_FILES, "init", "--quiet", "--bare"),
                *("--template=", "--object-format=sha1", "."),
            )
            repository_format.check_made(path)
        except BaseException:
            # Commands that only read import this module, and this import takes milliseconds.
            import shutil

            shutil.rmtree(path, ignore_errors=True)
            raise
        return repository

    def install_hooks(self) -> None:
        """Write the archive's settings and hooks, delete all other hooks, and create the folder of git-lfs.

        All of that is durable when this returns.  Raises OSError.
        """
        folder = self.path / "hooks"
        folder.mkdir(exist_ok=True)
        for stray in folder.iterdir():
            stray.unlink()
        for name in hooks.texts():
            hooks.put(self.path, name)
        (self.path / "lfs" / "objects").mkdir(parents=True, exist_ok=True)
        sync_filesystem(self.path)

    def outer_hooks_path(self) -> OuterSetting | None:
        """Return the ``core.hooksPath`` that makes a person's git ignore our hooks; None without such a setting.

        Also returns None if the person's git runs our guard although it ignores the hook files, as git 2.55 does.
        Also returns None if the repository's own settings are foreign, which is reported anyway: the git that is
        asked here would obey them.
        """
        if hooks.is_config_foreign(self.path):
            return None
        setting = self.commands.outer_setting("core.hooksPath")
        # A relative path starts at the repository, githooks(5).  A path to our own hooks does no harm.
        if setting is None or (self.path / setting.value).resolve() == (self.path / "hooks").resolve():
            return None
        return None if hooks.GUARD_NAME in self.commands.outer_hooks(hooks.GUARDED_EVENT) else setting

    def add_bundle(self, bundle: Path) -> dict[str, str]:
        """Add the objects of a bundle to the repository; return the bundle's refs, object ids by full names.

        No ref of the repository moves.  Raises StorageError if the bundle is damaged, or if the repository lacks
        objects that an earlier bundle contains.
        """
        out = self.commands.run("bundle", "unbundle", os.fspath(bundle), is_long=True)
        lines = out.decode("utf-8", "surrogateescape").split("\n")[:-1]
        # An object id has 40 digits, and a space follows.
        return {line[41:]: line[:40] for line in lines}

    def set_refs(self, refs: Mapping[str, str]) -> None:
        """Create or move refs durably, the journal first, whatever their present values are.

        ``refs`` has the new object ids by full names, and includes the journal.  This is for a repository that is
        being rebuilt and has no hooks yet.  Raises StorageError if git fails.
        """
        lines = [f"update {JOURNAL}\0{refs[JOURNAL]}\0"]
        lines += [f"update {ref}\0{oid}\0" for ref, oid in refs.items() if ref != JOURNAL]
        self.commands.run(
            "update-ref", "-z", "--stdin", stdin="\0".join([*lines, ""]).encode("utf-8"), is_long=True
        )
        sync_filesystem(self.path)

    @contextmanager
    def writing_objects(self) -> Iterator[ObjectWriter]:
        """Yield a writer of git objects, which are durable when the block has ended without an error.

        If the block raises, the repository gets none of the objects.  Raises StorageError if the disk cannot be
        written.
        """
        # Imported here because most commands write nothing.
        from archiver.store.git.object_writer import ObjectWriter
        from archiver.store.git.pack_file import PackWriter

        pack = PackWriter(os.fspath(self.path / "objects"))
        try:
            yield ObjectWriter(pack, self._read_tree)
            pack.finish()
            announce_step(Step.GIT_OBJECTS_WRITTEN)
            # The names of the pack and of its index must be durable, too, before a ref points to an object in it.
            sync_filesystem(self.path)
        except OSError as error:
            raise disk_write_error(self.path, error) from error
        finally:
            pack.discard()
        announce_step(Step.GIT_OBJECTS_DURABLE)

    def _read_tree(self, name: str) -> bytes:
        """Return the bytes of a tree; raises StorageError if git cannot read it."""
        try:
            return self.read(name)
        except KeyError:
            raise self.commands.failed("cat-file", f"no tree {name}".encode()) from None

    def move_refs(self, updates: Iterable[RefUpdate], *, guarded: bool = True) -> None:
        """Move refs in the given order, in a single transaction; return when the moves are durable.

        After a crash during the transaction, perhaps only the first refs have moved.  So the caller puts the
        journal first, and recovery moves the others.  With ``guarded``, a ref can neither be deleted nor moved
        back, which is necessary only when a loss is accepted.

        Raises StorageError if git or this check refuses a move; no ref has moved then.
        """
        moves = list(updates)
        if guarded:
            self._check_moves(moves)
        is_journal_moved = any(move.ref == JOURNAL and move.new != ZERO for move in moves)
        commit_moves(self.commands, moves, [JOURNAL] if is_journal_moved else [])
        announce_step(Step.REFS_MOVED)
        sync_filesystem(self.path)
        announce_step(Step.REFS_DURABLE)

    def check_creatable(self, refs: Sequence[str]) -> None:
        """Raise StorageError if a ref that does not exist yet could not be created now; change nothing.

        For a retry: whatever prevented the creation before, such as a ref in the way or a full disk, is found
        before a head is signed in vain.
        """
        newest_commit = self.resolve(JOURNAL)
        if refs and newest_commit is not None:
            try_creations(self.commands, refs, newest_commit)

    def _check_moves(self, moves: Iterable[RefUpdate]) -> None:
        """Raise StorageError for a deletion, a moved tag, or a branch that would lose a commit.

        The hook for other people's git has the same rules (:mod:`archiver.store.git.hooks`).  Git compares the old
        values again in the transaction, so nobody can move a ref in between.
        """
        for move in moves:
            is_new = move.old == ZERO
            if move.new == ZERO and not is_new:
                reason = LazyMessage("it would be deleted")
            elif is_new or move.old == move.new:
                continue
            elif move.ref.startswith("refs/tags/"):
                reason = LazyMessage("a tag is never moved")
            elif not self.descends_from(move.new, move.old):
                reason = LazyMessage("it would lose a commit")
            else:
                continue
            raise StorageError(
                "The ref {ref} in {path} was not moved: {reason}. No archived data was lost. To check the "
                "archive, run: archiver verify",
                ref=move.ref,
                path=self.path,
                reason=reason,
            )

    # --- housekeeping

    def loose_objects(self) -> Iterator[str]:
        """Yield the ids of the loose objects, which are in single files instead of packs, in ascending order."""
        for folder in sorted(self.path.joinpath("objects").glob("[0-9a-f][0-9a-f]")):
            # Two of the 40 digits are the folder's name.  Files with other names are not objects.
            yield from (folder.name + name for name in sorted(os.listdir(folder)) if len(name) == 38)

    def pack_objects(self, oids: Iterable[str]) -> None:
        """Write the loose objects ``oids`` to a single pack, then delete every loose object contained in a pack.

        No object is lost, even after a crash on the way.  Raises StorageError if git fails.
        """
        stdin = "".join(f"{oid}\n" for oid in oids).encode("ascii")
        self.commands.run("pack-objects", "--quiet", "--threads=1", "objects/pack/pack", stdin=stdin)
        announce_step(Step.OBJECTS_PACKED)
        # The pack and its name must be durable before the loose files are deleted: otherwise a power cut could
        # destroy both.
        sync_filesystem(self.path)
        self.commands.run("prune-packed", "--quiet")

    def pack_refs(self) -> None:
        """Write all refs to ``packed-refs``, and remove their own files; raises StorageError if git fails."""
        # Sync ``packed-refs``, unlike the files of single refs: if a power cut left it empty, git would report no
        # error.  The files of single refs are removed only when ``packed-refs`` and its name are durable.
        for option in ("--no-prune", "--prune"):
            arguments = ("-c", "core.fsync=all", "pack-refs", "--all", option)
            status, _, err = self.commands.attempt(*arguments, is_long=True)
            if status != 0:
                raise self.commands.failed("pack-refs", err)
            sync_filesystem(self.path)
            announce_step(Step.REFS_PACKED)

    def merge_packs(self, names: Sequence[str]) -> None:
        """Write the objects of the packs ``names`` to a single pack, and delete these packs.

        No object is lost, even after a crash on the way.  Raises StorageError if git fails, and OSError or
        ValueError if the index of a pack cannot be read; nothing is deleted then.
        """
        stdin = "".join(f"{name}.pack\n" for name in names).encode("ascii")
        arguments = ("pack-objects", "--stdin-packs", "--quiet", "--threads=1", "objects/pack/pack")
        new_name = f"pack-{self.commands.run(*arguments, stdin=stdin, is_long=True).decode('ascii').strip()}"
        announce_step(Step.PACKS_MERGED)
        sync_filesystem(self.path)
        folder = self.path / "objects" / "pack"
        # Earlier releases created this file, which would name deleted packs.  Without it, git reads each index.
        (folder / "multi-pack-index").unlink(missing_ok=True)
        for name in names:
            if name != new_name and pack_index.holds_all_objects(self.path, new_name, name):
                # Delete the index first: git ignores a pack without an index, but reports an index without a pack.
                for suffix in (".idx", ".rev", ".pack"):
                    (folder / f"{name}{suffix}").unlink(missing_ok=True)
                announce_step(Step.PACKS_MERGED)
