"""Trees that are changed without git's index: git writes the same ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.store.git.editable_tree import EditableTree

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
NAMES = st.sampled_from([b"a", b"a.b", b"a0", b"a-", b"\xff", "材料".encode(), b"z"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map(b"/".join)
#: A path with the content of a file; None deletes.
CHANGES = st.lists(st.tuples(PATHS, st.one_of(st.none(), st.integers(1, 3))), max_size=12)


class Trees:
    """Trees by object id, and the files that they hold."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {EMPTY_TREE: b""}

    def load(self, oid: str) -> bytes:
        return self.bodies[oid]

    def write(self, body: bytes) -> str:
        oid = hashlib.sha1(b"tree %d\0%s" % (len(body), body)).hexdigest()
        self.bodies[oid] = body
        return oid


def apply_plainly(files: dict[bytes, str], path: bytes, oid: str | None) -> None:
    """Change one file, as in a folder: what is in the way goes."""
    for other in list(files):
        if other == path or other.startswith(path + b"/") or (oid and path.startswith(other + b"/")):
            del files[other]
    if oid is not None:
        files[path] = oid


def written_by_git(repository: Path, files: dict[bytes, str]) -> str:
    index = os.fspath(repository / "index")
    environment = os.environ | {"GIT_INDEX_FILE": index}
    Path(index).unlink(missing_ok=True)
    lines = b"".join(b"100644 %s\t%s\0" % (oid.encode(), path) for path, oid in files.items())
    git = ["git", f"--git-dir={repository}"]
    subprocess.run([*git, "update-index", "-z", "--index-info"], input=lines, check=True, env=environment)
    command = [*git, "write-tree", "--missing-ok"]
    return subprocess.run(command, capture_output=True, check=True, env=environment).stdout.decode().strip()


@pytest.mark.needs("processes")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CHANGES, min_size=1, max_size=3))
def test_git_writes_the_same_tree(tmp_path: Path, rounds: list[list[tuple[bytes, int | None]]]) -> None:
    repository = tmp_path / "r.git"
    if not repository.exists():
        subprocess.run(["git", "init", "-q", "--bare", "--object-format=sha1", repository], check=True)
    trees, files, root = Trees(), dict[bytes, str](), EMPTY_TREE
    for changes in rounds:
        tree = EditableTree(trees.load(root), trees.load)
        for path, content in changes:
            oid = None if content is None else f"{content}" * 40
            apply_plainly(files, path, oid)
            if oid is None:
                tree.delete(path)
            else:
                tree.add(path, oid)
        root = tree.write(trees.write)
        assert root == written_by_git(repository, files)


def test_only_folders_on_the_way_are_read_and_written() -> None:
    trees = Trees()
    tree = EditableTree(b"", trees.load)
    for number in range(50):
        tree.add(b"d%d/x/f" % number, "1" * 40)
    root = tree.write(trees.write)
    read: list[str] = []
    written: list[bytes] = []

    def load(oid: str) -> bytes:
        read.append(oid)
        return trees.load(oid)

    def write(body: bytes) -> str:
        written.append(body)
        return trees.write(body)

    again = EditableTree(trees.load(root), load)
    again.add(b"d7/x/f", "2" * 40)
    again.delete(b"d8/x/missing/f")
    again.write(write)
    assert len(read) == 4
    assert len(written) == 5


def test_a_path_of_two_thousand_names() -> None:
    trees, path = Trees(), b"/".join([b"d"] * 2000)
    tree = EditableTree(b"", trees.load)
    tree.add(path, "1" * 40)
    root = tree.write(trees.write)
    emptied = EditableTree(trees.load(root), trees.load)
    emptied.delete(path)
    assert emptied.write(trees.write) == EMPTY_TREE
