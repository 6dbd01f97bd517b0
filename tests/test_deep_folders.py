"""Folders so deep that no path leads there, and so deep that what calls itself for each ends half-way."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.audit.portable import PortableNames
from archiver.intake import scan
from tests.support.site import Site, wait_until

#: Folders inside one another, by the name that each of them has: too many for Python's stack, and enough for a path
#: of 4.6 kB, which the kernel refuses.
DEPTHS = {b"d": 1000, "目录".encode() + b"-001": 420}


@pytest.fixture(autouse=True)
def _cleared(tmp_path: Path) -> Iterator[None]:
    """pytest's own clearing ends at a thousand folders too, and would warn in some other run."""
    yield
    subprocess.run(["rm", "-rf", tmp_path], check=True)


def dig(top: Path, name: bytes, depth: int, file: bytes, data: bytes) -> None:
    descriptor = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        if name not in map(os.fsencode, os.listdir(descriptor)):
            os.mkdir(name, dir_fd=descriptor)
        deeper = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, dir_fd=descriptor), "wb") as stream:
        stream.write(data)
    os.close(descriptor)


def content(top: Path, path: bytes) -> bytes:
    *folders, name = path.split(b"/")
    descriptor = os.open(top, os.O_RDONLY)
    for folder in folders:
        deeper = os.open(folder, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = deeper
    with open(os.open(name, os.O_RDONLY, dir_fd=descriptor), "rb") as stream:
        os.close(descriptor)
        return stream.read()


@pytest.fixture(params=DEPTHS, ids=["many", "long"])
def deep(request: pytest.FixtureRequest, site: Site) -> bytes:
    """The path of the deep material in its submission; beside it lie ordinary ones, here and in another filing."""
    name: bytes = request.param
    site.write("f/s/near.txt", "near")
    site.write("g/s/other.txt", "other")
    dig(site.watch / "f/s", name, DEPTHS[name], b"deep.txt", b"deep")
    site.catch_up()
    return b"/".join([name] * DEPTHS[name] + [b"deep.txt"])


def test_it_is_captured_submitted_and_restored(site: Site, deep: bytes) -> None:
    shown = {m["path"].encode(): m["sha256"] for m in site.json("show", "f/s/v1")["materials"]}
    assert shown == {
        deep: hashlib.sha256(b"deep").hexdigest(),
        b"near.txt": hashlib.sha256(b"near").hexdigest(),
    }
    assert site.json("status")["skipped"] == []
    site.run("submit", "f/s", "--on", "2026-11-25")
    for _ in range(2):
        site.run("restore", "f/s/v1", "--to", site.root / "out")
    assert content(site.root / "out", deep) == b"deep"
    *folders, file = deep.split(b"/")
    dig(site.watch / "f/s", folders[0], len(folders), file, b"changed")
    site.catch_up()
    assert "f/s/v2" in site.tags()
    site.run("diff", "f/s/v1", "f/s/v2")
    site.run("reindex")
    site.verified()


def test_a_drill_brings_it_back_and_leaves_nothing(site: Site, deep: bytes) -> None:
    site.run("drill")
    # What was signed stays noted there.
    assert [path.name for path in site.archive.joinpath("spool").iterdir()] == ["signing"]


@pytest.mark.parametrize("form", [[], ["--zip"]])
def test_it_is_exported_with_everything_else(site: Site, deep: bytes, form: list[str]) -> None:
    site.run("submit", "f/s", "--on", "2026-11-25")
    site.run("audit", "--to", site.root / "package", "--reason", "inspection", *form)
    package = site.root / "package"
    if form:
        subprocess.run([sys.executable, "-m", "zipfile", "-e", f"{package}.zip", site.root], check=True)
    done = subprocess.run(
        [sys.executable, "-I", "-S", package / "verify.py", "--lang", "en"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    files = {file.read_bytes() for file in package.joinpath("data/materials").rglob("*.txt")}
    assert files == {b"deep", b"near", b"other"}
    assert deep.decode() in package.joinpath("data/names.json").read_text("utf-8")


@pytest.mark.parametrize("name", DEPTHS, ids=["many", "long"])
def test_a_running_daemon_sees_what_comes_beside_it(site: Site, name: bytes) -> None:
    dig(site.watch, name, DEPTHS[name], b"deep.txt", b"deep")
    site.set("watch", "poll_seconds", 0.5)
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: len(site.tags()) == 1, 40)
    site.write("g/s/other.txt", "other")
    wait_until(lambda: "g/s/v1" in site.tags(), 40)
    dig(site.watch, name, DEPTHS[name], b"deep.txt", b"changed")
    wait_until(lambda: len(site.tags()) == 3, 40)
    if name != b"d":
        # More watches would not help: the kernel takes no path that long.
        wait_until(lambda: "folders too deep to be watched: " in (site.json("status")["watching_reason"] or ""))
    daemon.terminate()
    daemon.communicate(timeout=20)
    assert daemon.returncode == 0


def test_what_lies_too_deep_is_named_and_keeps_nothing_back(site: Site) -> None:
    site.write("f/s/near.txt", "near")
    dig(site.watch / "f/s", b"d", 2100, b"x", b"1")
    dig(site.watch / "f/s", b"n" * 255, 300, b"x", b"1")
    site.run("run", "--once", "--settle", "0.05", code=9)
    assert [m["path"] for m in site.json("show", "f/s/v1")["materials"]] == ["near.txt"]
    reasons = {item["reason"] for item in site.json("status")["skipped"]}
    assert reasons == {
        "is more than 2000 folders deep; nothing in it is archived",
        "has a path of more than 65536 bytes; nothing in it is archived",
    }
    site.run("status", "--check", code=9)
    site.run("submit", "f/s", "--on", "2026-11-25", code=4)
    site.verified()


@pytest.mark.needs("processes")
def test_what_was_archived_before_it_lay_too_deep_is_not_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archiver.intake.exclusion.ignore_rules import IgnoreRules
    from archiver.intake.folder.access import DirectAccess
    from archiver.intake.snapshot import Snapshot

    (tmp_path / "w/a/b/c").mkdir(parents=True)
    (tmp_path / "w/a/b/c/x").write_text("1")
    snapshot = Snapshot(tmp_path / "state.db")
    scanner = scan.Scanner(DirectAccess(tmp_path / "w"), IgnoreRules([]))
    snapshot.record(scanner.scan(snapshot).changed)
    monkeypatch.setattr(scan, "_MAX_DEPTH", 2)
    found = scanner.scan(snapshot)
    assert found.changed == {}
    assert [item.path for item in found.skipped] == [b"a/b/c"]
    with pytest.raises(OSError, match="too long"):
        scanner.read_state(b"a/b/c/x")
    snapshot.close()


@pytest.mark.needs("processes")
@pytest.mark.parametrize("path", [b"d/" * 101 + b"x.txt", (b"n" * 190 + b"/") * 6 + b"q" * 190 + b".pdf"])
def test_a_long_path_is_shortened_and_kept_apart(path: bytes) -> None:
    names = PortableNames()
    one, two = names.assign_path(path), names.assign_path(path.replace(b"/", b"/a", 1))
    for shown in (one, two):
        assert len(shown.encode()) <= 1000
        assert shown.count("/") < 100
    assert one != two
    assert names.original_by_portable[one] == path
    assert one.endswith((".txt", ".pdf"))
