"""Write the git objects of a batch: commits, their trees and blobs, and tags.

Git is not asked to write them: ``git fast-import`` takes longer than all other work on a version of few files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import IO

from archiver.store.git.editable_tree import EditableTree
from archiver.store.git.pack_file import PackWriter
from archiver.store.keys import PRINCIPAL

IDENTITY = f"archiver <{PRINCIPAL}>"
#: A file of a tree: its bytes, or an open file with its size, which is not held in memory.
FileContent = bytes | tuple[IO[bytes], int]


class ObjectWriter:
    """Writes objects into one new pack.  Every method may raise OSError."""

    def __init__(self, pack: PackWriter, read_tree: Callable[[str], bytes]) -> None:
        """Write into ``pack``; the caller ends it.

        ``read_tree`` returns the bytes of a tree of the repository, named as in ``<commit>^{tree}``, and may raise
        KeyError or StorageError.
        """
        self._pack = pack
        self._read_tree = read_tree
        #: The bytes of the trees of this pack, by object id: git cannot read them yet.
        self._new_trees: dict[str, bytes] = {}
        #: The tree of each commit of this pack.
        self._tree_by_commit: dict[str, str] = {}

    def write_version(
        self,
        message: str,
        seconds: int,
        parent: str | None,
        base: str | None,
        files: Iterable[tuple[bytes, bytes | None]],
    ) -> str:
        """Write a commit whose tree is that of the commit ``base`` with some files changed; return its id.

        ``files`` are paths in the tree with their bytes, in the order of the changes; None deletes a path.  With
        ``base`` None, the tree is empty at first.  Otherwise as :meth:`write_commit`.
        """
        tree = EditableTree(self._tree_of(base) if base is not None else b"", self._load_tree)
        for path, data in files:
            if data is None:
                tree.delete(path)
            else:
                tree.add(path, self._pack.add("blob", data))
        return self._write_commit(message, seconds, parent, tree)

    def write_commit(
        self, message: str, seconds: int, parent: str | None, files: Mapping[bytes, FileContent]
    ) -> str:
        """Write a commit that has ``files`` at the top of its tree, and nothing else; return its id.

        ``seconds`` is the commit's date, in seconds since 1970.
        """
        tree = EditableTree(b"", self._load_tree)
        for name, content in files.items():
            if isinstance(content, bytes):
                tree.add(name, self._pack.add("blob", content))
            else:
                tree.add(name, self._pack.add_stream("blob", *content))
        return self._write_commit(message, seconds, parent, tree)

    def write_tag(self, body: bytes) -> str:
        """Write a tag object with the bytes ``body``; return its id."""
        return self._pack.add("tag", body)

    def _write_commit(self, message: str, seconds: int, parent: str | None, tree: EditableTree) -> str:
        """Write a commit with ``tree``; return its id."""
        tree_oid = tree.write(self._add_tree)
        lines = [f"tree {tree_oid}"]
        if parent is not None:
            lines.append(f"parent {parent}")
        lines += [f"{role} {IDENTITY} {seconds} +0000" for role in ("author", "committer")]
        oid = self._pack.add("commit", "\n".join([*lines, "", message]).encode("utf-8"))
        self._tree_by_commit[oid] = tree_oid
        return oid

    def _add_tree(self, body: bytes) -> str:
        """Write a tree; return its id."""
        oid = self._pack.add("tree", body)
        self._new_trees[oid] = body
        return oid

    def _tree_of(self, commit: str) -> bytes:
        """Return the bytes of a commit's tree."""
        tree = self._tree_by_commit.get(commit)
        return self._read_tree(f"{commit}^{{tree}}") if tree is None else self._new_trees[tree]

    def _load_tree(self, oid: str) -> bytes:
        """Return the bytes of a tree."""
        new_tree = self._new_trees.get(oid)
        return self._read_tree(oid) if new_tree is None else new_tree
