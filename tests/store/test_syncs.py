"""What is synced, and in which order: counted in the system calls of a real capture."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.site import COMMAND, Site

_CALL = re.compile(r"(fsync|fdatasync|syncfs|rename|renameat|renameat2|link)\((.*)\) += 0")


def _calls(site: Site, trace: Path) -> list[tuple[str, str]]:
    """The syncs and renames of one ``run --once``, with the paths of descriptors."""
    names = "trace=fsync,fdatasync,syncfs,rename,renameat,renameat2,link"
    strace = ["strace", "-f", "-qq", "-y", "-e", names, "-o", trace]
    subprocess.run(
        [*strace, COMMAND, "--config", site.config, "run", "--once", "--settle", "0"],
        check=True,
        capture_output=True,
    )
    return [(found[1], found[2]) for line in trace.read_text().splitlines() if (found := _CALL.search(line))]


@pytest.mark.needs("strace")
def test_of_all_refs_only_the_journal_is_synced_and_before_it_moves(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.write("f/s/a", "2")
    site.write("f/t/b", "1")
    calls = _calls(site, tmp_path / "trace")
    synced_refs = [path for name, path in calls if name in ("fsync", "fdatasync") and "archive.git/refs/" in path]
    assert synced_refs
    assert all("refs/heads/journal.lock" in path for path in synced_refs), synced_refs
    moves = [path for name, path in calls if name.startswith("rename") and ".lock" in path and "refs/" in path]
    first_move = next(
        index for index, (name, path) in enumerate(calls) if name.startswith("rename") and path in moves
    )
    assert "journal.lock" in calls[first_move][1], "the journal moves first"
    before = calls[:first_move]
    assert any(name in ("fsync", "fdatasync") and "journal.lock" in path for name, path in before)
    assert any(name == "syncfs" for name, _ in before), "objects have their names before a ref points to them"
    assert any(name == "syncfs" for name, _ in calls[first_move:]), (
        "the refs are durable before the version counts"
    )


@pytest.mark.needs("strace")
def test_what_will_be_signed_is_noted_durably_before_anything_counts(site: Site, tmp_path: Path) -> None:
    """The file and its name: in an archive of an earlier release there is none yet."""
    site.write("f/s/a", "1")
    site.catch_up()
    (site.archive / "spool/signing").unlink()
    site.write("f/s/a", "2")
    calls = _calls(site, tmp_path / "trace")
    noted = next(index for index, (_, path) in enumerate(calls) if path.endswith("/spool/signing>"))
    named = next(index for index, (_, path) in enumerate(calls) if path.endswith("/archive/spool>"))
    moved = next(
        index for index, (name, path) in enumerate(calls) if name.startswith("rename") and "journal" in path
    )
    assert calls[noted][0] == "fdatasync"
    assert noted < named < moved


@pytest.mark.needs("strace")
def test_packed_refs_are_synced_before_the_single_refs_go(site: Site, tmp_path: Path) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    trace = tmp_path / "trace"
    strace = ["strace", "-f", "-qq", "-y", "-e", "trace=fsync,syncfs,rename,unlink,unlinkat", "-o", trace]
    subprocess.run([*strace, COMMAND, "--config", site.config, "maintain"], check=True, capture_output=True)
    lines = trace.read_text().splitlines()
    synced = next(index for index, line in enumerate(lines) if "fsync" in line and "packed-refs" in line)
    renamed = next(index for index, line in enumerate(lines) if "rename" in line and "packed-refs.new" in line)
    removed = next(index for index, line in enumerate(lines) if "unlink" in line and '/f/s/v1"' in line)
    assert synced < renamed < removed
    assert any("syncfs" in line for line in lines[renamed:removed]), "its name is durable, too"
