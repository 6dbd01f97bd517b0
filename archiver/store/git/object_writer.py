"""Write the git objects of a batch: commits, their trees and blobs, and tags.

The objects are written without git: ``git fast-import`` takes longer than all other work on a version of few
files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import IO

from archiver.store.git.editable_tree import EditableTree
from archiver.store.git.pack_file import PackWriter
from archiver.store.keys import PRINCIPAL

IDENTITY = f"archiver <{PRINCIPAL}>"
#: The content of a file in a tree: bytes, or an open file and its size, so that it is not held in memory.
FileContent = bytes | tuple[IO[bytes], int]


class ObjectWriter:
    """Writes objects into one new pack.  Every method may raise OSError."""

    def __init__(self, pack: PackWriter, read_tree: Callable[[str], bytes]) -> None:
        """Write into ``pack``, which the caller finishes or discards.

        ``read_tree`` returns the bytes of a tree of the repository, given the object id or a name such as
        ``<commit>^{tree}``, and may raise KeyError or StorageError.
        """
        self._pack = pack
        self._read_tree = read_tree
        #: The bytes of the trees in this pack, by object id: git cannot read them yet.
        self._new_trees: dict[str, bytes] = {}
        #: The object id of the tree of each commit in this pack.
        self._tree_by_commit: dict[str, str] = {}

    def write_version(
        self,
        message: str,
        seconds: int,
        parent: str | None,
        base: str | None,
        files: Iterable[tuple[bytes, bytes | None]],
    ) -> str:
        """Write a commit with the tree of the commit ``base`` after changes; return the id of the new commit.

        ``files`` has a path in the tree and the new bytes for each change, in the order in which the changes are
        made; None deletes the path.  If ``base`` is None, the tree is empty before the changes.  ``seconds`` is
        the commit's date, in seconds since 1970.  ``parent`` is None for a commit without a parent.
        """
        tree = EditableTree(self._read_commit_tree(base) if base is not None else b"", self._load_tree)
        for path, data in files:
            if data is None:
                tree.delete(path)
            else:
                tree.add(path, self._pack.add("blob", data))
        return self._write_commit(message, seconds, parent, tree)

    def write_commit(
        self, message: str, seconds: int, parent: str | None, files: Mapping[bytes, FileContent]
    ) -> str:
        """Write a commit whose tree contains only ``files``, all of them at the top; return the commit's id.

        ``files`` has the content by the name.  ``seconds`` is the commit's date, in seconds since 1970.
        ``parent`` is None for a commit without a parent.
        """
        tree = EditableTree(b"", self._load_tree)
        for name, content in files.items():
            if isinstance(content, bytes):
                tree.add(name, self._pack.add("blob", content))
            else:
                tree.add(name, self._pack.add_stream("blob", *content))
        return self._write_commit(message, seconds, parent, tree)

    def write_tag(self, body: bytes) -> str:
        """Write a tag object with the bytes ``body``; return the object id of the tag."""
        return self._pack.add("tag", body)

    def _write_commit(self, message: str, seconds: int, parent: str | None, tree: EditableTree) -> str:
        """Write the changed folders of ``tree``, and a commit with this tree; return the commit's id."""
        tree_oid = tree.write(self._add_tree)
        lines = [f"tree {tree_oid}"]
        if parent is not None:
            lines.append(f"parent {parent}")
        lines += [f"{role} {IDENTITY} {seconds} +0000" for role in ("author", "committer")]
        oid = self._pack.add("commit", "\n".join([*lines, "", message]).encode("utf-8"))
        self._tree_by_commit[oid] = tree_oid
        return oid

    def _add_tree(self, body: bytes) -> str:
        """Write a tree object, and remember its bytes for later commits in this pack; return the object id."""
        oid = self._pack.add("tree", body)
        self._new_trees[oid] = body
        return oid

    def _read_commit_tree(self, commit: str) -> bytes:
        """Return the bytes of a commit's tree, whether the commit is in this pack or in the repository."""
        new_tree_oid = self._tree_by_commit.get(commit)
        return self._read_tree(f"{commit}^{{tree}}") if new_tree_oid is None else self._new_trees[new_tree_oid]

    def _load_tree(self, oid: str) -> bytes:
        """Return the bytes of a tree, whether the tree is in this pack or in the repository."""
        new_tree = self._new_trees.get(oid)
        return self._read_tree(oid) if new_tree is None else new_tree
