"""Copying while hashing: the same bytes whatever their number, past the page cache, and no write after giving up."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from archiver.store.content import copier as copier_module
from archiver.store.content.copier import LARGE_FILE_BYTES, Copier, WriteFailed

PIECE = copier_module._LARGE_CHUNK_BYTES
BYTES = random.Random(1).randbytes(4 * PIECE + 5000)


@contextmanager
def new(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def reading(data: bytes, most: int = 1 << 30):
    stream = io.BytesIO(data)

    def readinto(buffer: memoryview) -> int:
        return stream.readinto(buffer[:most])

    return readinto


def copied(copier: Copier, *arguments) -> int:
    total = copier.copy(*arguments)
    copier.wait()
    return total


def goes_direct(folder: Path) -> bool:
    with new(folder / "probe") as descriptor:
        return copier_module._set_direct(descriptor, enabled=True)


@pytest.fixture(scope="module")
def copier() -> Copier:
    return Copier()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(size=st.integers(0, len(BYTES)), most=st.sampled_from([1000, 70_001, 1 << 20, 1 << 30]))
@example(0, 1 << 30)
@example(LARGE_FILE_BYTES - 1, 1 << 30)
@example(LARGE_FILE_BYTES, 1000)
@example(LARGE_FILE_BYTES + 1, 70_001)
@example(PIECE, 1 << 30)
@example(PIECE + 4095, 1 << 30)
@example(3 * PIECE + 1, 70_001)
@example(len(BYTES), 1 << 30)
def test_what_is_hashed_is_what_is_written(copier: Copier, tmp_path: Path, size: int, most: int) -> None:
    data = BYTES[:size]
    digests = [hashlib.sha256(), hashlib.sha512()]
    with new(tmp_path / "copy") as descriptor:
        # Some sources give a little at a time.
        assert copied(copier, reading(data, most), descriptor, size, digests) == size
    assert (tmp_path / "copy").read_bytes() == data
    assert [each.digest() for each in digests] == [hashlib.sha256(data).digest(), hashlib.sha512(data).digest()]


@pytest.mark.parametrize("expected", [0, LARGE_FILE_BYTES, len(BYTES)])
def test_the_expected_size_may_be_wrong(copier: Copier, tmp_path: Path, expected: int) -> None:
    with new(tmp_path / "copy") as descriptor:
        assert (
            copied(copier, reading(BYTES[: LARGE_FILE_BYTES + 77]), descriptor, expected, [])
            == LARGE_FILE_BYTES + 77
        )
    assert (tmp_path / "copy").read_bytes() == BYTES[: LARGE_FILE_BYTES + 77]


@pytest.mark.needs("fincore")
def test_a_large_copy_leaves_the_page_cache_alone(copier: Copier) -> None:
    # In memory, the page cache would be the disk.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        copy = Path(folder, "copy")
        with new(copy) as descriptor:
            copied(copier, reading(BYTES), descriptor, len(BYTES), [])
        words = ["fincore", "--noheadings", "--output", "PAGES", copy]
        kept = int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)
        is_in_memory = subprocess.run(["stat", "-f", "-c", "%T", folder], capture_output=True).stdout == b"tmpfs\n"
        # The end of the file lies within a block.
        assert kept <= (2 if goes_direct(Path(folder)) and not is_in_memory else len(BYTES))


def test_where_blocks_are_refused_the_page_cache_is_used(copier: Copier, tmp_path: Path) -> None:
    with new(tmp_path / "copy") as descriptor:
        # From here on nothing is aligned.
        os.write(descriptor, b"x")
        copied(copier, reading(BYTES), descriptor, len(BYTES), [])
    assert (tmp_path / "copy").read_bytes() == b"x" + BYTES


def test_a_disk_that_is_full(copier: Copier) -> None:
    with new(Path("/dev/full")) as descriptor, pytest.raises(WriteFailed) as caught:
        copied(copier, reading(BYTES), descriptor, len(BYTES), [])
    assert caught.value.errno == errno.ENOSPC


def test_a_piece_that_cannot_be_written_late_is_told_and_the_copier_goes_on(
    copier: Copier, tmp_path: Path
) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * PIECE, before[1]))
    try:
        with new(tmp_path / "copy") as descriptor, pytest.raises(WriteFailed) as caught:
            copied(copier, reading(BYTES), descriptor, len(BYTES), [])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG
    with new(tmp_path / "next") as descriptor:
        copied(copier, reading(BYTES), descriptor, len(BYTES), [])
    assert (tmp_path / "next").read_bytes() == BYTES


class GivenUp(Exception):
    """Raised in the middle of a copy."""


@pytest.mark.parametrize("by", ["proceed", "source"])
def test_nothing_is_written_after_giving_up(copier: Copier, tmp_path: Path, by: str) -> None:
    read = reading(BYTES)
    told: list[int] = []

    def proceed(total: int) -> None:
        told.append(total)
        if by == "proceed" and len(told) == 3:
            raise GivenUp

    def readinto(buffer: memoryview) -> int:
        if by == "source" and len(told) == 2:
            raise GivenUp
        return read(buffer)

    with new(tmp_path / "copy") as descriptor:
        with pytest.raises(GivenUp):
            copier.copy(readinto, descriptor, len(BYTES), [], proceed)
        end = os.lseek(descriptor, 0, os.SEEK_CUR)
        assert end == 2 * PIECE
        assert not any(buffer._being_written.locked() for buffer in copier._large_buffers)
    assert told[:2] == [PIECE, 2 * PIECE]


def test_files_begun_one_after_the_other_are_whole_after_one_wait(copier: Copier, tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(8)]
    opened = [os.open(path, os.O_WRONLY | os.O_CREAT) for path in paths]
    for number, descriptor in enumerate(opened):
        copier.copy(reading(BYTES[number : LARGE_FILE_BYTES + number]), descriptor, LARGE_FILE_BYTES, [])
    copier.wait()
    for descriptor in opened:
        os.close(descriptor)
    for number, path in enumerate(paths):
        assert path.read_bytes() == BYTES[number : LARGE_FILE_BYTES + number]


def test_the_thread_that_writes_ends_with_its_copier(tmp_path: Path) -> None:
    before = threading.active_count()
    copier = Copier()
    with new(tmp_path / "copy") as descriptor:
        copied(copier, reading(BYTES), descriptor, len(BYTES), [])
    assert not goes_direct(tmp_path) or threading.active_count() == before + 1
    del copier
    deadline = time.monotonic() + 10
    while threading.active_count() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == before


def test_a_thread_that_could_not_be_started_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next large file waited for ever for a thread that there was not."""
    copier = Copier()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    for _ in range(2):
        with monkeypatch.context() as limited, new(tmp_path / "a") as descriptor:
            limited.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="can't start new thread"):
                copier.copy(reading(BYTES), descriptor, len(BYTES), [])
    with new(tmp_path / "a") as descriptor:
        assert copied(copier, reading(BYTES), descriptor, len(BYTES), []) == len(BYTES)
    assert (tmp_path / "a").read_bytes() == BYTES
