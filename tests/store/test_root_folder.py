"""Folders below a root are opened through descriptors, and a walk keeps only a few of them open."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.store.content.own_files import OwnFile, OwnFiles
from archiver.store.content.root_folder import RootFolder

#: Short names, so that many paths have a beginning in common, and one name begins with another.
PATHS = st.lists(st.sampled_from([b"a", b"ab", b"b"]), max_size=6).map(b"/".join)


def count_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A folder with every path of ``PATHS`` of up to four names."""
    root = tmp_path_factory.mktemp("tree")
    folders = [root]
    for _ in range(4):
        folders = [folder / name for folder in folders for name in ("a", "ab", "b")]
        for folder in folders:
            folder.mkdir()
    return os.fsencode(root)


@given(paths=st.lists(PATHS, max_size=20))
def test_a_walk_opens_what_a_single_call_opens(tree: bytes, paths: list[bytes]) -> None:
    root_folder = RootFolder(tree)
    open_before = count_open_files()
    with root_folder.folder_opener() as open_folder:
        for path in paths:
            try:
                expected = os.stat(os.path.join(tree, path)).st_ino
            except FileNotFoundError:
                with pytest.raises(FileNotFoundError):
                    open_folder(path)
            else:
                assert os.fstat(open_folder(path)).st_ino == expected
    assert count_open_files() == open_before


def test_a_walk_into_the_depth_keeps_few_folders_open(tmp_path: Path) -> None:
    os.makedirs(tmp_path / "/".join(["d"] * 200))
    open_before = count_open_files()
    with RootFolder(os.fsencode(tmp_path)).folder_opener() as open_folder:
        for depth in range(201):
            open_folder(b"/".join([b"d"] * depth))
        assert count_open_files() - open_before <= 16
    assert count_open_files() == open_before


@pytest.mark.parametrize("path", [b"a/link", b"a/link/b", b"a/file", b"a/..", b"a//b", b"a/."])
def test_a_walk_follows_no_link_and_no_way_up(tmp_path: Path, path: bytes) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("1")
    (tmp_path / "a/link").symlink_to("/", target_is_directory=True)
    root_folder = RootFolder(os.fsencode(tmp_path))
    open_before = count_open_files()
    with root_folder.folder_opener() as open_folder:
        open_folder(b"a")
        with pytest.raises((NotADirectoryError, FileNotFoundError)):
            open_folder(path)
    with pytest.raises((NotADirectoryError, FileNotFoundError)):
        root_folder.open_folder_descriptor(path)
    assert count_open_files() == open_before


def test_a_walk_never_enters_the_archive(tmp_path: Path) -> None:
    archive = tmp_path / "a/archive"
    (archive / "archive.git").mkdir(parents=True)
    root_folder = RootFolder(os.fsencode(tmp_path), OwnFiles(os.fsencode(archive)))
    with root_folder.folder_opener() as open_folder:
        open_folder(b"a")
        with pytest.raises(OwnFile) as refusal:
            open_folder(b"a/archive/archive.git")
        assert refusal.value.path == b"a/archive"
        open_folder(b"a")
