"""Packs that are written without git: git itself is the judge."""

from __future__ import annotations

import io
import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from archiver.store.git.pack_file import PackWriter
from archiver.store.git.pack_index import PackEntry, write_index

KINDS = st.just("blob")
BODIES = st.one_of(st.binary(max_size=300), st.integers(0, 3).map(lambda power: b"x" * 2**power * 9000))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q", "--bare", "--object-format=sha1", tmp_path / "r.git"], check=True)
    return tmp_path / "r.git"


def git(repository: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    command = ["git", f"--git-dir={repository}", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, check=True).stdout


def packs(repository: Path) -> list[Path]:
    return sorted((repository / "objects/pack").iterdir())


@pytest.mark.needs("processes")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(BODIES, min_size=1, max_size=30))
def test_git_reads_every_object_and_finds_no_fault(repository: Path, bodies: list[bytes]) -> None:
    writer = PackWriter(os.fspath(repository / "objects"))
    oids = [writer.add("blob", body) for body in bodies]
    writer.finish()
    newest = max((repository / "objects/pack").glob("*.idx"), key=lambda path: path.stat().st_mtime_ns)
    git(repository, "verify-pack", os.fspath(newest))
    assert b"error" not in git(repository, "fsck", "--full", "--strict")
    listed = git(repository, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in oids).encode())
    assert listed == b"".join(
        b"%s blob %d\n%s\n" % (oid.encode(), len(body), body) for oid, body in zip(oids, bodies, strict=True)
    )


@pytest.mark.needs("processes")
def test_a_large_object_is_streamed_and_stored_once(repository: Path) -> None:
    body = os.urandom(3 << 20) + b"\0" * (3 << 20)
    writer = PackWriter(os.fspath(repository / "objects"))
    first = writer.add_stream("blob", io.BytesIO(body), len(body))
    small = writer.add("blob", b"small")
    assert writer.add_stream("blob", io.BytesIO(body), len(body)) == first
    assert writer.add("blob", b"small") == small
    after = writer.add("blob", b"after")
    writer.finish()
    assert git(repository, "cat-file", "blob", first) == body
    assert git(repository, "cat-file", "blob", after) == b"after"
    assert git(repository, "count-objects", "-v").splitlines()[2] == b"in-pack: 3"
    git(repository, "fsck", "--full", "--strict")


@pytest.mark.needs("processes")
def test_what_is_not_finished_leaves_nothing(repository: Path) -> None:
    writer = PackWriter(os.fspath(repository / "objects"))
    writer.add("blob", b"x")
    assert len(packs(repository)) == 1
    writer.discard()
    assert packs(repository) == []
    empty = PackWriter(os.fspath(repository / "objects"))
    empty.finish()
    empty.discard()
    assert packs(repository) == []


@pytest.mark.needs("processes")
def test_the_same_objects_twice_are_one_pack(repository: Path) -> None:
    """A batch that failed after its objects were written is written again."""
    for _ in range(2):
        writer = PackWriter(os.fspath(repository / "objects"))
        writer.add("blob", b"x")
        writer.finish()
        writer.discard()
    assert [path.suffix for path in packs(repository)] == [".idx", ".pack"]
    assert git(repository, "fsck", "--full", "--strict", "--no-dangling") == b""


def test_an_announced_size_must_be_right(tmp_path: Path) -> None:
    writer = PackWriter(os.fspath(tmp_path))
    with pytest.raises(EOFError):
        writer.add_stream("blob", io.BytesIO(bytes(2 << 20)), 3 << 20)
    writer.discard()


@pytest.mark.needs("processes")
def test_offsets_beyond_two_gigabytes(repository: Path, tmp_path: Path) -> None:
    entries = [PackEntry(bytes([number]) * 20, number, number << 30) for number in range(5)]
    write_index(os.fspath(tmp_path / "x.idx"), entries, b"p" * 20)
    # Outside of a repository, git 2.47 dies.
    listed = git(repository, "show-index", stdin=(tmp_path / "x.idx").read_bytes())
    assert [int(line.split()[0]) for line in listed.splitlines()] == [number << 30 for number in range(5)]
