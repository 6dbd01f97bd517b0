"""The bare git repository.

Plumbing only: nothing here reads ignore rules, attributes or filters, and no
configuration but the repository's own is in force.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from archiver.store.failpoints import Step, reached
from archiver.store.fsync import sync_filesystem
from archiver.store.git import hooks, repository_format
from archiver.store.git.cat_file import CatFile, GitHangs
from archiver.store.git.commands import HANGS, GitCommands, OuterSetting
from archiver.store.git.fast_import import FastImport, GitEnded, Overseer

#: Questions asked of git ahead: a few kilobytes, so that neither side waits for the other.
_AHEAD = 50
#: git maps packs in windows of a gigabyte otherwise, and all of it counts as memory of its process.
_SMALL_WINDOWS = ("-c", "core.packedGitWindowSize=1m", "-c", "core.packedGitLimit=32m")

ZERO = "0" * 40
#: In place of a ref's old value: whatever it is, and may it be unreadable.
ANY = ""
JOURNAL = "refs/heads/journal"


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """Move ``ref`` from ``old`` (ZERO: it must not exist; ANY: unchecked) to ``new`` (ZERO: delete it)."""

    ref: str
    old: str
    new: str


class _GitDied(KeyError):
    """The persistent reader ended before it answered."""


class Repository:
    """One bare repository, driven through GitPython's command interface."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.commands = GitCommands(path)
        self._reader: CatFile | None = None

    @classmethod
    def create(cls, path: Path) -> Repository:
        """Make a new repository with the archive's settings and hooks, durably."""
        repository = cls.begin(path)
        repository.arm()
        return repository

    @classmethod
    def begin(cls, path: Path) -> Repository:
        """Make one that still lacks settings and hooks: :meth:`arm` gives them.

        Raises StorageError where git fails or makes one of another format; nothing is left then.
        """
        path.mkdir(parents=True)
        repository = cls(path)
        try:
            repository.commands.run(
                *("-c", repository_format.KEEP_REFS_IN_FILES, "init", "--quiet", "--bare"),
                *("--template=", "--object-format=sha1", "."),
            )
            repository_format.check_made(path)
        except BaseException:
            shutil.rmtree(path, ignore_errors=True)
            raise
        return repository

    def arm(self) -> None:
        """Give it the archive's settings and hooks, and no others, durably."""
        folder = self.path / "hooks"
        folder.mkdir(exist_ok=True)
        for stray in folder.iterdir():
            stray.unlink()
        for name in hooks.texts():
            hooks.put(self.path, name)
        (self.path / "lfs" / "objects").mkdir(parents=True, exist_ok=True)
        sync_filesystem(self.path)

    def outer_hooks_path(self) -> OuterSetting | None:
        """Return the ``core.hooksPath`` that keeps git from running our hooks when the caller types it, if any."""
        setting = self.commands.outer_setting("core.hooksPath")
        # Relative to the repository, githooks(5); whoever wants our hooks all the same points it there.
        if setting is None or (self.path / setting.value).resolve() == (self.path / "hooks").resolve():
            return None
        return setting

    # --- reading

    def resolve(self, ref: str) -> str | None:
        """The object id a full ref name points to, or None."""
        try:
            return self._ask(ref)[0]
        except _GitDied as error:
            # Not "no such ref": the journal must never look empty because git fails.
            raise self.commands.failed("cat-file", b"it ended without an answer") from error
        except KeyError:
            return None

    def refs(self) -> dict[str, str]:
        """Every ref with the object id it points to."""
        out = self.commands.run("for-each-ref", "--format=%(objectname) %(refname)")
        lines = out.decode("utf-8", "surrogateescape").split("\n")[:-1]
        return {line[41:]: line[:40] for line in lines}

    def read(self, spec: str) -> bytes:
        """An object's bytes; ``spec`` as in ``commit:path``; raises KeyError."""
        return self.object(spec)[1]

    def object(self, spec: str) -> tuple[str, bytes]:
        """An object's type and bytes; raises KeyError."""
        return self._ask(spec)[1:]

    def read_many(self, specs: Iterable[str]) -> Iterator[bytes]:
        """The bytes of each object, in order, asked for ahead; raises KeyError, as :meth:`read` does."""
        waiting = iter(specs)
        while batch := list(islice(waiting, _AHEAD)):
            try:
                reader = self._open_reader()
                reader.ask(batch)
                answers = [reader.answer()[2] for _ in batch]
            except (GitEnded, KeyError):
                # Answers to what was asked ahead must not pass for those to other questions.
                self.close()
                answers = [self.read(spec) for spec in batch]
            except GitHangs:
                self.close()
                raise self.commands.failed("cat-file", HANGS) from None
            yield from answers

    def _ask(self, spec: str) -> tuple[str, str, bytes]:
        """Id, type and bytes through one persistent ``cat-file``, which reads refs anew each time."""
        try:
            return self._answer(spec)
        except _GitDied:
            # Perhaps only by chance.
            return self._answer(spec)

    def _answer(self, spec: str) -> tuple[str, str, bytes]:
        try:
            reader = self._open_reader()
            reader.ask([spec])
            return reader.answer()
        except GitEnded:
            self.close()
            # Not always by chance: git dies of some damaged objects.
            raise _GitDied(spec) from None
        except GitHangs:
            self.close()
            raise self.commands.failed("cat-file", HANGS) from None

    def _open_reader(self) -> CatFile:
        if self._reader is None:
            self._reader = CatFile(
                self.commands.start(*_SMALL_WINDOWS, "cat-file", "--batch"), self.commands.patience_seconds
            )
        return self._reader

    def history(self, tip: str, since: str | None = None) -> Iterator[str]:
        """Commits after ``since`` up to ``tip``, oldest first, first parents only."""
        span = [tip] if since is None else [tip, f"^{since}"]
        out = self.commands.run(*_SMALL_WINDOWS, "rev-list", "--reverse", "--first-parent", *span)
        yield from out.decode("ascii").split()

    def all_commits(self) -> Iterator[str]:
        """Every commit in the repository, also those that no ref reaches, in no order."""
        out = self.commands.run(
            "cat-file",
            "--batch-check=%(objecttype) %(objectname)",
            "--batch-all-objects",
            "--unordered",
            is_long=True,
        )
        lines = out.decode("ascii", "replace").splitlines()
        return (line[7:] for line in lines if line.startswith("commit "))

    def root_of(self, tip: str) -> str:
        """The oldest commit before ``tip``, by first parents."""
        out = self.commands.run("rev-list", "--first-parent", "--max-parents=0", tip)
        return out.decode("ascii").split()[0]

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether ``new`` continues ``old``; an unknown commit continues nothing."""
        return self.commands.attempt(*_SMALL_WINDOWS, "merge-base", "--is-ancestor", old, new)[0] == 0

    def names_in(self, commit: str) -> list[bytes]:
        """The raw names at the top of a commit's tree; raises KeyError."""
        # An entry is mode, blank, name, NUL, 20 bytes of id: no process of its own for each of 100,000 events.
        data, found = self.read(f"{commit}^{{tree}}"), []
        place = 0
        while place < len(data):
            end = data.index(b"\0", place)
            found.append(data[data.index(b" ", place) + 1 : end])
            place = end + 21
        return found

    def tree_changes(self, commits: Iterable[str]) -> Iterator[tuple[str, dict[bytes, str | None]]]:
        """Per commit, the paths that differ from its parent, with the new blob (None: gone).

        Commits that change nothing, or cannot be read, are left out.
        """
        stdin = "".join(f"{commit}\n" for commit in commits).encode("ascii")
        arguments = ["-r", "-z", "--root", "--no-renames", "--raw", "--no-abbrev"]
        out = self.commands.run("diff-tree", "--stdin", *arguments, stdin=stdin)
        commit, changes = "", dict[bytes, str | None]()
        parts = iter(out.split(b"\0")[:-1])
        for part in parts:
            if part.startswith(b":"):
                new = part.split(b" ")[3].decode("ascii")
                changes[next(parts)] = None if new == ZERO else new
                continue
            if commit:
                yield commit, changes
            commit, changes = part.decode("ascii"), {}
        if commit:
            yield commit, changes

    def fsck(self) -> list[str]:
        """The complaints of ``git fsck --full --strict``."""
        arguments = ("fsck", "--full", "--strict", "--no-dangling", "--no-progress")
        status, out, err = self.commands.attempt(*arguments, is_long=True)
        lines = (out + err).decode("utf-8", "replace").splitlines()
        return lines if status != 0 else [line for line in lines if line.startswith("error")]

    def bundle(self, target: Path, refs: Iterable[str]) -> None:
        """Write a bundle of ``refs`` to ``target``; the same refs give the same bytes."""
        stdin = "".join(f"{ref}\n" for ref in refs).encode("utf-8")
        # Several threads would find other deltas each time.
        self.commands.run(
            "-c", "pack.threads=1", "bundle", "create", "--quiet", os.fspath(target), "--stdin", stdin=stdin
        )

    def write_pack(self, target: IO[bytes], wanted: Iterable[str], known: Iterable[str]) -> None:
        """Write a pack of what ``wanted`` reaches and ``known`` does not; the same gives the same bytes."""
        stdin = "".join(f"{oid}\n" for oid in (*wanted, *(f"^{oid}" for oid in known))).encode("ascii")
        self.commands.run(
            "pack-objects", "--revs", "--thin", "--quiet", "--threads=1", "--stdout", stdin=stdin, out=target
        )

    # --- writing

    def take_in(self, bundle: Path) -> dict[str, str]:
        """Take the objects of a bundle in; returns its refs with their object ids.

        Raises StorageError where it is damaged, or where one before it is missing.
        """
        out = self.commands.run("bundle", "unbundle", os.fspath(bundle), is_long=True)
        lines = out.decode("utf-8", "surrogateescape").split("\n")[:-1]
        return {line[41:]: line[:40] for line in lines}

    def set_refs(self, refs: Mapping[str, str]) -> None:
        """Make refs in a repository that is being rebuilt and has no hooks yet; the journal first."""
        lines = [f"update {JOURNAL}\0{refs[JOURNAL]}\0"]
        lines += [f"update {ref}\0{oid}\0" for ref, oid in refs.items() if ref != JOURNAL]
        self.commands.run(
            "update-ref", "-z", "--stdin", stdin="\0".join([*lines, ""]).encode("utf-8"), is_long=True
        )
        sync_filesystem(self.path)

    @contextmanager
    def importing(self) -> Iterator[FastImport]:
        """One ``git fast-import``; its objects are durable when the block ends."""
        process = self.commands.start("fast-import", "--quiet", "--done", "--date-format=raw")
        stream = FastImport(process)
        overseer = Overseer(stream, self.commands.patience_seconds)
        try:
            yield stream
            stream.finish()
        except (BrokenPipeError, GitEnded):
            raise self.commands.failed(
                "fast-import", HANGS if overseer.ended_it else process.stderr.read()
            ) from None
        finally:
            overseer.dismiss()
            stream.close()
        reached(Step.GIT_OBJECTS_WRITTEN)
        # Loose objects and packs by their names too, before any ref can name them.
        sync_filesystem(self.path)
        reached(Step.GIT_OBJECTS_DURABLE)

    def write_tag(self, body: bytes) -> str:
        """Write a tag object whose target may still be in a running import."""
        return self.commands.run("hash-object", "-t", "tag", "-w", "--stdin", stdin=body).decode("ascii").strip()

    def move_refs(self, updates: Iterable[RefUpdate], *, guarded: bool = True) -> None:
        """Move refs in one transaction, in the given order, and make that durable.

        A transaction is not crash-atomic: a kill between git's renames leaves
        some refs moved.  The caller queues the journal first and replays the rest.
        ``guarded``: the hook refuses to delete and rewind; a recovery that was accepted does both.
        """
        lines = ["start"]
        lines += [f"update {u.ref}\0{u.new}\0{u.old}" for u in updates]
        lines += ["prepare", "commit", ""]
        options = () if guarded else ("-c", "core.hooksPath=/dev/null")
        self.commands.run(*options, "update-ref", "-z", "--stdin", stdin="\0".join(lines).encode("utf-8"))
        reached(Step.REFS_MOVED)
        sync_filesystem(self.path)
        reached(Step.REFS_DURABLE)

    # --- housekeeping

    def loose_objects(self) -> Iterator[str]:
        """The ids of objects that lie in files of their own."""
        for folder in sorted(self.path.joinpath("objects").glob("[0-9a-f][0-9a-f]")):
            yield from (folder.name + name for name in sorted(os.listdir(folder)) if len(name) == 38)

    def pack_objects(self, oids: Iterable[str]) -> None:
        """Put loose objects into one pack, and remove their files once that is durable; nothing is pruned."""
        stdin = "".join(f"{oid}\n" for oid in oids).encode("ascii")
        self.commands.run("pack-objects", "--quiet", "--threads=1", "objects/pack/pack", stdin=stdin)
        reached(Step.OBJECTS_PACKED)
        # Crash window: a power cut must not find the files gone and the pack without a name.
        sync_filesystem(self.path)
        self.commands.run("prune-packed", "--quiet")

    def pack_refs(self) -> None:
        """Put loose refs into packed-refs; the guard's hook looks at each that is then removed."""
        status, _, err = self.commands.attempt("pack-refs", "--all", is_long=True)
        if status != 0:
            raise self.commands.failed("pack-refs", err)
        reached(Step.REFS_PACKED)

    def merge_packs(self) -> None:
        """Put all packs into one, and remove those whose every object is in it."""
        for arguments in (("write",), ("repack", "--batch-size=0"), ("expire",)):
            status, _, err = self.commands.attempt("multi-pack-index", *arguments, is_long=True)
            if status != 0:
                raise self.commands.failed("multi-pack-index", err)
            reached(Step.PACKS_MERGED)
            sync_filesystem(self.path)

    def close(self) -> None:
        """End the persistent reader."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
