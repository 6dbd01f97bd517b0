from __future__ import annotations

import filecmp
import os
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

import pytest

from tests.support.site import COMMAND, Site, tree

NAMES = [
    "材料".encode("gbk"), b"new\nline", b'quo"te', b"-rf", b"trail.", b"trail ", b"x" * 255, ("备" * 83).encode(),
    b".gitignore", b".gitattributes", b".git", b"%41", b"%", b"back\\slash", b"CASE", b"case",
    unicodedata.normalize("NFC", "é").encode(), unicodedata.normalize("NFD", "é").encode(), b"$HOME", b"a b", b"*", b"\xff",
]  # fmt: skip


@pytest.fixture
def awkward(site: Site) -> Site:
    for number, name in enumerate(NAMES):
        site.write(b"f/s/" + name, b"%d" % number)
        site.write(b"f/s/dir-" + name[:200] + b"/" + name, b"deep %d" % number)
    site.write(b"f/s/nested/.git/config", b"[core]")
    site.write(b"f/s/nested/.git/HEAD", b"ref: x")
    site.write("备案".encode("gbk") + b"/\xb2\xb9/" + "材料".encode("gbk"), b"gbk all the way")
    site.catch_up()
    return site


def test_names_come_back_byte_for_byte(awkward: Site) -> None:
    awkward.run("restore", "f/s/v1", "--to", awkward.root / "back")
    assert tree(awkward.root / "back") == tree(awkward.watch / "f" / "s")
    tag = next(tag for tag in awkward.tags() if tag.startswith("%"))
    awkward.run("restore", tag, "--to", awkward.root / "gbk")
    assert list(tree(awkward.root / "gbk")) == ["材料".encode("gbk")]
    awkward.verified()


def test_a_filing_named_in_any_bytes_is_found(awkward: Site) -> None:
    raw = "备案".encode("gbk")
    assert len(awkward.run("log", raw, "--json").stdout) > 10
    awkward.run("restore", raw, "--at", "2099-01-01", "--to", awkward.root / "all")
    assert tree(awkward.root / "all") == tree(Path(os.fsdecode(os.fsencode(awkward.watch) + b"/" + raw)))


def test_the_restored_bytes_are_checked(site: Site) -> None:
    site.write("f/s/a", "right")
    site.catch_up()
    victim = next(p for p in (site.repository / "lfs").rglob("*") if p.is_file())
    victim.chmod(0o644)
    victim.write_bytes(b"wrong")
    done = site.run("restore", "f/s/v1", "--to", site.root / "back", code=8)
    assert "damaged" in done.stderr
    assert not (site.root / "back/a").exists()
    assert list((site.root / "back").iterdir()) == []
    victim.unlink()
    assert (
        "The archive lacks the content of"
        in site.run("restore", "f/s/v1", "--to", site.root / "back", code=7).stderr
    )


def test_nothing_is_overwritten_unless_told(site: Site) -> None:
    for name in ("a", "b", "c"):
        site.write(f"f/s/{name}", name)
    site.catch_up()
    back = site.root / "back"
    back.mkdir()
    (back / "a").write_text("mine")
    (back / "b").write_text("b")
    os.utime(back / "b", ns=(5, 5))
    done = site.run("restore", "f/s/v1", "--to", back, code=2)
    assert "1 file in" in done.stderr
    assert "a" in done.stderr
    assert sorted(p.name for p in back.iterdir()) == ["a", "b"], "nothing was written"
    dry = site.run("restore", "f/s/v1", "--to", back, "--dry-run").stdout
    assert "1 new, 1 unchanged, 1 different" in dry
    site.run("restore", "f/s/v1", "--to", back, "--overwrite", "if-changed")
    assert {p.name: p.read_text() for p in back.iterdir()} == {"a": "a", "b": "b", "c": "c"}
    assert (back / "b").stat().st_mtime_ns == 5
    site.run("restore", "f/s/v1", "--to", back, "--overwrite", "always")
    assert (back / "b").stat().st_mtime_ns != 5


def test_restore_again_goes_on(site: Site) -> None:
    site.write("f/s/a", "1")
    site.write("f/s/b", "2")
    site.catch_up()
    site.run("restore", "f/s/v1", "--to", site.root / "back", "--path", "a")
    out = site.run("restore", "f/s/v1", "--to", site.root / "back").stdout
    assert "1 new, 1 unchanged" in out


def test_a_planted_link_leads_nowhere(site: Site) -> None:
    site.write("f/s/d/a", "1")
    site.catch_up()
    outside = site.root / "outside"
    outside.mkdir()
    back = site.root / "back"
    back.mkdir()
    (back / "d").symlink_to(outside)
    site.run("restore", "f/s/v1", "--to", back, "--overwrite", "always", code=8)
    assert list(outside.iterdir()) == []
    (back / "d").unlink()
    (back / "d").mkdir()
    (back / "d/a").symlink_to(outside / "target")
    site.run("restore", "f/s/v1", "--to", back, "--overwrite", "always")
    assert list(outside.iterdir()) == []
    assert (back / "d/a").read_text() == "1"
    assert not (back / "d/a").is_symlink()


@pytest.mark.parametrize("inside", ["watched", "archive", "watched/f", "link"])
def test_the_watched_folder_and_the_archive_are_never_a_target(site: Site, inside: str) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    (site.root / "link").symlink_to(site.watch)
    assert (
        "where files are never restored"
        in site.run("restore", "f/s/v1", "--to", site.root / inside, code=2).stderr
    )


def test_only_some_materials(site: Site) -> None:
    for name in ("a.pdf", "d/b.pdf", "c.txt"):
        site.write(f"f/s/{name}", name)
    site.catch_up()
    site.run("restore", "f/s/v1", "--to", site.root / "back", "--path", "*.pdf")
    assert sorted(p for p in tree(site.root / "back")) == [b"a.pdf", b"d", b"d/b.pdf"]
    site.run("restore", "f/s/v1", "--to", site.root / "none", "--path", "*.xls", code=7)
    assert not (site.root / "none").exists()


def test_a_filing_as_it_was_at_a_time(site: Site) -> None:
    site.write("f/s/a", "1")
    site.write("f/top", "t")
    site.catch_up()
    time.sleep(0.01)
    between = site.json("log")[0]["captured_at"]
    site.write("f/s/a", "2")
    site.write("f/s2/b", "3")
    site.catch_up()
    site.run("restore", "f", "--at", between, "--to", site.root / "then")
    assert {p: d[0] for p, d in tree(site.root / "then").items()} == {b"s": None, b"s/a": b"1", b"top": b"t"}
    site.run("restore", "f", "--at", "2099-01-01", "--to", site.root / "now")
    assert tree(site.root / "now") == tree(site.watch / "f")
    site.run("restore", "f", "--at", "2001-01-01", "--to", site.root / "x", code=7)
    site.run("restore", "f", "--at", "soon", "--to", site.root / "x", code=2)


def test_a_restore_is_journalled(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("restore", "f/s/v1", "--to", site.root / "back")
    assert "restore f/s/v1" in site.git("log", "-1", "--format=%s", "journal").stdout


def test_large_files_need_little_memory(site: Site) -> None:
    size = 300_000_000
    with open(site.write("f/s/large", b""), "wb") as stream:
        for number in range(size // 1_000_000):
            stream.write(number.to_bytes(4, "big") * 250_000)
    for arguments in (
        ["run", "--once", "--settle", "0"],
        ["restore", "f/s/v1", "--to", os.fspath(site.root / "back")],
        ["verify"],
    ):
        peak = _peak_kilobytes(site, arguments)
        assert peak < 150_000, arguments
    assert filecmp.cmp(site.root / "back/large", site.watch / "f/s/large", shallow=False)


# In between, because a process inherits the peak of the one that starts it.
MEASURE = (
    "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True); "
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
)


def _peak_kilobytes(site: Site, arguments: list[str]) -> int:
    command = [sys.executable, "-I", "-c", MEASURE, COMMAND, "-q", "--config", site.config, *arguments]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])
