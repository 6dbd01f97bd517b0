"""Read the bare git repository of an archive: refs, objects and history."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import IO

from archiver.store.git import packed_refs
from archiver.store.git.cat_file import CatFile, GitHangs
from archiver.store.git.commands import HANGS, GitCommands
from archiver.store.git.git_process import GitEnded

#: The number of objects requested from git at once.  Their names are a few kilobytes, which fit into a pipe.  With
#: more names, git and this process could wait for each other.
_BATCH_SIZE = 50
#: By default, git maps packs into memory in windows of a gigabyte, which count as memory of the git process.
_SMALL_WINDOWS = ("-c", "core.packedGitWindowSize=1m", "-c", "core.packedGitLimit=32m")
#: The number of commits that are followed before another git process is started.  A batch of the writer has at
#: most as many.
_NEAR_COMMITS = 64
#: The object id that git prints in place of the blob of a deleted path.
_NO_OBJECT = "0" * 40


class _GitDied(KeyError):
    """The long-running ``git cat-file`` process ended before answering."""


class RepositoryReader:
    """The reading half of :class:`archiver.store.git.repository.Repository`; changes nothing in the repository.

    Starts a git process when it first reads an object, and keeps the process until the owner calls :meth:`close`.
    Only one thread may use this object.
    """

    def __init__(self, path: Path) -> None:
        """Use the repository at ``path``; nothing is started or checked yet."""
        self.path = path
        self.commands = GitCommands(path)
        self._reader: CatFile | None = None
        #: The state of the packed refs when a ref was last looked up.
        self._packed_refs_state: tuple[int, ...] = ()

    def resolve(self, ref: str) -> str | None:
        """Return the object id of the ref with the full name ``ref``; None if the ref does not exist.

        Raises StorageError if git fails.
        """
        self._end_reader_of_old_refs()
        try:
            return self._read_object(ref)[0]
        except _GitDied as error:
            # With None, the ref would seem to be missing, and the journal to be empty, only because git failed.
            raise self.commands.failed("cat-file", b"it ended without an answer") from error
        except KeyError:  # git answered "missing".
            if self.commands.is_directory_intact:
                return None
        # Something removed the private directory, such as a program that cleans up temporary files: try again.
        self.close()
        try:
            return self._read_object(ref)[0]
        except KeyError:  # git answered "missing" with an intact directory
            return None

    def _end_reader_of_old_refs(self) -> None:
        """End the reading process if ``packed-refs`` changed since the last lookup of a ref.

        Git may still use the old refs: it notices a new file only by the size, the inode and the time in whole
        seconds, which are often the same if the file is written twice within a second.  The journal would seem to
        lack its newest events then.
        """
        state = packed_refs.read_state(self.path)
        if state != self._packed_refs_state:
            self._end_reader()
            self._packed_refs_state = state

    def refs(self) -> dict[str, str]:
        """Return the object id of each ref, by the full name; raises StorageError if git fails."""
        out = self.commands.run("for-each-ref", "--format=%(objectname) %(refname)")
        lines = out.decode("utf-8", "surrogateescape").split("\n")[:-1]
        # An object id has 40 digits, and a space follows.
        return {line[41:]: line[:40] for line in lines}

    def read(self, spec: str) -> bytes:
        """Return the bytes of an object, which ``spec`` names in git's notation, such as ``commit:path``.

        Raises KeyError if the object is missing or git cannot read it, StorageError if git does not answer.
        """
        return self.object(spec)[1]

    def object(self, spec: str) -> tuple[str, bytes]:
        """Return the type of an object, such as ``commit``, and its bytes; raises the errors of :meth:`read`."""
        return self._read_object(spec)[1:]

    def read_many(self, specs: Iterable[str]) -> Iterator[bytes]:
        """Yield the bytes of each object, in the given order; raises the errors of :meth:`read`.

        Requests many objects at once.  If an object is missing, the others of the same request are not yielded.
        """
        remaining_specs = iter(specs)
        while batch := list(islice(remaining_specs, _BATCH_SIZE)):
            try:
                reader = self._get_running_reader()
                reader.request(batch)
                contents = [reader.read_object()[2] for _ in batch]
            except (GitEnded, KeyError):
                # End the process: its remaining answers would be mistaken for answers to later requests.
                self.close()
                contents = [self.read(spec) for spec in batch]
            except GitHangs:
                self.close()
                raise self.commands.failed("cat-file", HANGS) from None
            yield from contents

    def read_present(self, specs: Iterable[str]) -> Iterator[bytes | None]:
        """Yield the bytes of each object, in the given order; None for one that is missing or cannot be read.

        Requests many objects at once.  Raises StorageError if git does not answer.
        """
        remaining_specs = iter(specs)
        while batch := list(islice(remaining_specs, _BATCH_SIZE)):
            yield from self._read_batch(batch)

    def _read_batch(self, specs: Sequence[str]) -> list[bytes | None]:
        """Return the bytes of at most :data:`_BATCH_SIZE` objects, as :meth:`read_present` does."""
        try:
            reader = self._get_running_reader()
            reader.request(specs)
            return [_read_object_or_none(reader) for _ in specs]
        except GitEnded:
            # Git dies if one of the objects is damaged: read them one by one below.
            self.close()
        except GitHangs:
            self.close()
            raise self.commands.failed("cat-file", HANGS) from None
        contents: list[bytes | None] = []
        for spec in specs:
            try:
                contents.append(self.read(spec))
            except KeyError:
                contents.append(None)
        return contents

    def _read_object(self, spec: str) -> tuple[str, str, bytes]:
        """Return the id, the type and the bytes of an object; git looks up a ref in ``spec`` at each call.

        Raises KeyError if the object is missing or git ends twice without an answer, StorageError if git does not
        answer.
        """
        try:
            return self._read_object_once(spec)
        except _GitDied:
            # Try once more: git may have been killed for another reason.
            return self._read_object_once(spec)

    def _read_object_once(self, spec: str) -> tuple[str, str, bytes]:
        """Return the id, the type and the bytes of an object, as :meth:`_read_object` does, but try only once.

        Raises KeyError if the object is missing, _GitDied if git ended, StorageError if git does not answer.
        """
        try:
            reader = self._get_running_reader()
            reader.request([spec])
            return reader.read_object()
        except GitEnded:
            self.close()
            # Git may have died because the object is damaged; it would die again at each further attempt.
            raise _GitDied(spec) from None
        except GitHangs:
            self.close()
            raise self.commands.failed("cat-file", HANGS) from None

    def _get_running_reader(self) -> CatFile:
        """Return the reading process, which is started if none is running."""
        if self._reader is None:
            self._reader = CatFile(
                self.commands.start(*_SMALL_WINDOWS, "cat-file", "--batch"), self.commands.patience_seconds
            )
        return self._reader

    def history(self, tip: str, since: str | None = None, newest: int | None = None) -> Iterator[str]:
        """Yield the commits after ``since`` (None: all) up to ``tip``, oldest first; follows first parents only.

        If ``newest`` is a number, yields only that many commits, the newest ones.

        Raises StorageError if git fails, for example because a commit is missing.
        """
        span = [tip] if since is None else [tip, f"^{since}"]
        limit = () if newest is None else (f"--max-count={newest}",)
        out = self.commands.run(*_SMALL_WINDOWS, "rev-list", "--reverse", "--first-parent", *limit, *span)
        yield from out.decode("ascii").split()

    def all_commits(self) -> Iterator[str]:
        """Return the ids of all commits in the repository, in no particular order, also if no ref leads to them.

        Raises StorageError if git fails.
        """
        out = self.commands.run(
            "cat-file",
            "--batch-check=%(objecttype) %(objectname)",
            "--batch-all-objects",
            "--unordered",
            is_long=True,
        )
        lines = out.decode("ascii", "replace").splitlines()
        # The commit's id follows the prefix.
        return (line[7:] for line in lines if line.startswith("commit "))

    def root_of(self, tip: str) -> str:
        """Follow first parents from ``tip``, and return the oldest commit; raises StorageError if git fails."""
        out = self.commands.run("rev-list", "--first-parent", "--max-parents=0", tip)
        return out.decode("ascii").split()[0]

    def first_parent(self, commit: str) -> str | None:
        """Return the id of a commit's first parent, None for a commit without one; raises as :meth:`read` does."""
        header_lines = self.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        parents = (line.removeprefix(b"parent ") for line in header_lines if line.startswith(b"parent "))
        return next((parent.decode("ascii") for parent in parents), None)

    def is_ancestor(self, old: str, new: str) -> bool:
        """Return True if ``new`` is ``old`` or a descendant of it; also False if one of them is unknown."""
        return self.commands.attempt(*_SMALL_WINDOWS, "merge-base", "--is-ancestor", old, new)[0] == 0

    def descends_from(self, new: str, old: str) -> bool:
        """Return True if the commit ``new`` is ``old`` or a descendant of it, without starting git if possible.

        Faster than :meth:`is_ancestor` if only a few commits lie between the two.  Also returns False if one of
        the commits is unknown.  Raises StorageError if git does not answer.
        """
        commit = new
        for _ in range(_NEAR_COMMITS):
            if commit == old:
                return True
            try:
                parent = self.first_parent(commit)
            except KeyError:  # The commit is not in the repository.
                return False
            if parent is None:
                return False
            commit = parent
        return self.is_ancestor(old, new)

    def names_in(self, commit: str) -> list[bytes]:
        """Return the names of files and folders at the top of a commit's tree, in git's order.

        Raises the errors of :meth:`read`.
        """
        # Decode the tree here, because starting a git process for each of 100,000 events is slow.  An entry
        # consists of mode, space, name, NUL, and the object id in 20 bytes.
        data, names = self.read(f"{commit}^{{tree}}"), []
        position = 0
        while position < len(data):
            end = data.index(b"\0", position)
            names.append(data[data.index(b" ", position) + 1 : end])
            position = end + 21
        return names

    def tree_changes(self, commits: Iterable[str]) -> Iterator[tuple[str, dict[bytes, str | None]]]:
        """Yield each commit with the paths that differ from the parent's, and the id of each path's new blob.

        The id for a deleted path is None.  Commits that change nothing, or cannot be read, are left out.  Raises
        StorageError if git fails.
        """
        stdin = "".join(f"{commit}\n" for commit in commits).encode("ascii")
        arguments = ["-r", "-z", "--root", "--no-renames", "--raw", "--no-abbrev"]
        out = self.commands.run("diff-tree", "--stdin", *arguments, stdin=stdin)
        commit, changes = "", dict[bytes, str | None]()
        # Git prints the id of a commit, then for each change a field that begins with ":", and the path.
        fields = iter(out.split(b"\0")[:-1])
        for field in fields:
            if field.startswith(b":"):
                new_blob = field.split(b" ")[3].decode("ascii")
                changes[next(fields)] = None if new_blob == _NO_OBJECT else new_blob
                continue
            if commit:
                yield commit, changes
            commit, changes = field.decode("ascii"), {}
        if commit:
            yield commit, changes

    def fsck(self) -> list[str]:
        """Return the lines in which ``git fsck --full --strict`` reports errors; empty for a sound repository."""
        arguments = ("fsck", "--full", "--strict", "--no-dangling", "--no-progress")
        # Read the refs without git, which finds no ref at all if one line of ``packed-refs`` is damaged.
        refs = packed_refs.read_with_loose(self.path)
        with closing(GitCommands(self.path, copied_refs=refs)) as commands:
            status, out, err = commands.attempt(*arguments, is_long=True)
        lines = (out + err).decode("utf-8", "replace").splitlines()
        return lines if status != 0 else [line for line in lines if line.startswith("error")]

    def bundle(self, target: Path, refs: Iterable[str]) -> None:
        """Write a git bundle of ``refs`` to the file ``target``; raises StorageError if git fails.

        The same refs always give the same bytes.
        """
        stdin = "".join(f"{ref}\n" for ref in refs).encode("utf-8")
        # With several threads, git would find different deltas, and so write different bytes, each time.
        self.commands.run(
            "-c", "pack.threads=1", "bundle", "create", "--quiet", os.fspath(target), "--stdin", stdin=stdin
        )

    def write_pack(self, target: IO[bytes], wanted: Iterable[str], known: Iterable[str]) -> None:
        """Write a pack with the objects that are reachable from ``wanted`` but not from ``known``.

        Both are object ids.  The pack may contain deltas against objects that are reachable from ``known``.  The
        same arguments always give the same bytes.  Raises StorageError if git fails.
        """
        stdin = "".join(f"{oid}\n" for oid in (*wanted, *(f"^{oid}" for oid in known))).encode("ascii")
        self.commands.run(
            "pack-objects", "--revs", "--thin", "--quiet", "--threads=1", "--stdout", stdin=stdin, out=target
        )

    def close(self) -> None:
        """End the reading process, and remove the private directory; the next read creates both again."""
        self._end_reader()
        self.commands.close()

    def _end_reader(self) -> None:
        """End the reading process, if any; the next read starts another one."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def _read_object_or_none(reader: CatFile) -> bytes | None:
    """Return the bytes of the next requested object; None if git finds no such object."""
    try:
        return reader.read_object()[2]
    except KeyError:
        return None  # one missing object must not end the answers for the others
