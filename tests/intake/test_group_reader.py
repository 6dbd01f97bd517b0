"""Groups are read and published in rounds: what concerns one group does not concern the others."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.errors import StorageError
from archiver.intake import group_reader
from archiver.intake.folder.access import DirectAccess
from archiver.intake.group_reader import GroupReader, GroupToRead
from archiver.intake.layout import Group, locate_path
from archiver.intake.snapshot import FOLDER, State
from archiver.intake.staging import ReadingStopped, StagingResult
from archiver.store.content.objects import ContentStore
from archiver.store.content.source import StatData
from archiver.store.index.restrictions import FilePlace

LAYOUT = "filing/submission"


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    for name in ("objects", "spool", "watched"):
        (tmp_path / name).mkdir()
    return ContentStore(tmp_path / "objects", tmp_path / "spool")


@pytest.fixture
def stopping() -> threading.Event:
    return threading.Event()


@pytest.fixture
def reader(store: ContentStore, stopping: threading.Event) -> Iterator[GroupReader]:
    made = GroupReader(DirectAccess(watched(store)), store, b"", LAYOUT, ["secret*"], stopping)
    yield made
    made.close()


def watched(store: ContentStore) -> Path:
    return store.spool.folder.parent / "watched"


def write(store: ContentStore, path: str, content: bytes) -> bytes:
    target = watched(store) / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
    return path.encode()


def to_read(store: ContentStore, *paths: bytes) -> list[GroupToRead]:
    """The groups of these paths, with their present states."""
    states: dict[Group, dict[bytes, State]] = {}
    for path in paths:
        state = StatData.from_stat_result((watched(store) / os.fsdecode(path)).stat())
        states.setdefault(locate_path(path, LAYOUT).group, {})[path] = state
    return [GroupToRead(group, group_states) for group, group_states in states.items()]


def mode_of(store: ContentStore, content: bytes) -> int:
    return stat.S_IMODE(store.path(hashlib.sha256(content).hexdigest()).stat().st_mode)


def results(reader: GroupReader, groups: list[GroupToRead]) -> list[StagingResult]:
    return [job.result() for job in reader.read_round(groups)]


def test_each_group_gets_what_became_of_its_own_files(store: ContentStore, reader: GroupReader) -> None:
    paths = [write(store, f"f/s{number}/文件{n}", b"%d %d" % (number, n)) for number in range(3) for n in range(2)]
    groups = to_read(store, *paths)
    (watched(store) / "f/s1/文件1").unlink()
    found = results(reader, groups)
    assert [sorted(result.staged) for result in found] == [paths[:2], paths[2:3], paths[4:]]
    assert [result.unstable for result in found] == [[], [paths[3]], []]
    assert list(store.spool.folder.iterdir()) == []
    for result in found:
        for copy in result.staged.values():
            assert store.is_intact(copy.sha256, copy.stat_data.size)


def test_a_path_of_two_groups_is_read_once_for_both(store: ContentStore, reader: GroupReader) -> None:
    path = write(store, "f/x", b"a file now")
    [group] = to_read(store, path)
    other = GroupToRead(Group(b"f", b"x"), group.states)
    both = results(reader, [group, other])
    assert both[0].staged == both[1].staged != {}


def test_a_group_of_folders_and_deletions_needs_no_reading(store: ContentStore, reader: GroupReader) -> None:
    gone = GroupToRead(Group(b"f", b"s"), {b"f/s/gone": None, b"f/s/empty": FOLDER})
    assert results(reader, [gone]) == [StagingResult()]


def test_content_that_cannot_be_published_concerns_its_group_only(
    store: ContentStore, reader: GroupReader
) -> None:
    good, bad = write(store, "f/good/a", b"good"), write(store, "f/bad/a", b"bad")
    # Something is in the way of the folder of this object.
    digest = hashlib.sha256(b"bad").hexdigest()
    (store.objects_folder / digest[:2]).write_text("")
    jobs = reader.read_round(to_read(store, good, bad))
    assert list(jobs[0].result().staged) == [good]
    assert store.has_object(hashlib.sha256(b"good").hexdigest(), 4)
    with pytest.raises(StorageError, match="Cannot write to the archive disk"):
        jobs[1].result()
    assert list(store.spool.folder.iterdir()) == []


@pytest.mark.parametrize("many", [False, pytest.param(True, marks=pytest.mark.needs("processes"))])
def test_private_content_is_private_whoever_else_has_it(
    store: ContentStore, reader: GroupReader, many: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bytes lie openly in another submission, and are read by another process."""
    if many:
        monkeypatch.setattr(group_reader, "_MANY_SMALL_FILES", 1)
        monkeypatch.setattr(group_reader, "_PROCESS_BOUNDS", group_reader._Bounds(1, 1 << 20))
    paths = [
        write(store, "f/a/open", b"salary"),
        write(store, "f/b/secret-1", b"salary"),
        write(store, "f/c/restricted", b"by mistake"),
        write(store, "f/d/restricted", b"by mistake"),
        write(store, "f/e/open", b"public"),
    ]
    place = FilePlace("f", b"restricted", hashlib.sha256(b"by mistake").hexdigest())
    jobs = reader.read_round(to_read(store, *paths), [place])
    assert [list(job.result().staged) for job in jobs] == [[path] for path in paths]
    assert mode_of(store, b"salary") == 0o400
    assert mode_of(store, b"by mistake") == 0o400
    assert mode_of(store, b"public") == 0o444
    # Each process has a folder there, until it ends.
    reader.rest()
    assert list(store.spool.folder.iterdir()) == []


def test_stopping_leaves_no_copy(store: ContentStore, reader: GroupReader, stopping: threading.Event) -> None:
    paths = [write(store, f"f/s/{number}", b"%d" % number) for number in range(300)]
    groups = to_read(store, *paths)
    stopping.set()
    with pytest.raises(ReadingStopped):
        results(reader, groups)
    assert list(store.spool.folder.iterdir()) == []


@pytest.mark.needs("root", "mount")
def test_a_full_disk_concerns_the_groups_of_its_order(store: ContentStore, reader: GroupReader) -> None:
    import subprocess

    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=900k", "tmpfs", store.spool.folder.parent / "spool"], check=True
    )
    try:
        store.objects_folder.rmdir()
        inside = ContentStore(store.spool.folder / "objects", store.spool.folder / "copies")
        for folder in (inside.objects_folder, inside.spool.folder):
            folder.mkdir()
        large = write(store, "f/large/a", os.urandom(2 << 20))
        small = write(store, "f/small/a", b"fits")
        made = GroupReader(DirectAccess(watched(store)), inside, b"", LAYOUT, [], threading.Event())
        jobs = made.read_round(to_read(store, large, small))
        with pytest.raises(StorageError, match="Cannot write to the archive disk"):
            jobs[0].result()
        assert list(jobs[1].result().staged) == [small]
        made.close()
    finally:
        subprocess.run(["umount", "-l", store.spool.folder], check=True)
