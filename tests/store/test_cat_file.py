"""Objects asked of git ahead, and the index that lives on them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from archiver.errors import StorageError
from archiver.store.index.queries import Index
from tests.support.site import CHECKOUT, Site

sys.path.insert(0, str(CHECKOUT / "benchmarks"))


def test_many_objects_in_their_order_also_large_ones(site: Site) -> None:
    for number in range(3):
        site.write("f/s/材料", f"{number}" * 100)
        site.catch_up()
    archive = site.open()
    commits = list(archive.repository.history("refs/heads/journal"))
    specs = [f"{commit}:event.json" for commit in commits] * 60
    assert len(specs) > 200
    read = list(archive.repository.read_many(specs))
    assert read[: len(commits)] == [archive.repository.read(spec) for spec in specs[: len(commits)]]
    assert read == read[: len(commits)] * 60
    large = site.root / "large"
    large.write_bytes(b"x" * 3_000_000)
    oid = site.git("hash-object", "-w", str(large)).stdout.strip()
    sizes = [len(data) for data in archive.repository.read_many([oid, specs[0], oid])]
    assert sizes == [3_000_000, len(read[0]), 3_000_000]
    archive.close()


def test_one_that_is_missing_is_named_and_the_reader_goes_on(site: Site) -> None:
    archive = site.open()
    (commit,) = list(archive.repository.history("refs/heads/journal"))[:1]
    good, missing = f"{commit}:event.json", "0" * 40
    with pytest.raises(KeyError):
        list(archive.repository.read_many([good, missing, good]))
    assert list(archive.repository.read_many([good])) == [archive.repository.read(good)]
    archive.close()


def test_events_before_a_damaged_one_are_in_the_index(site: Site) -> None:
    for number in range(3):
        site.write("f/s/材料", f"{number}")
        site.catch_up()
    archive = site.open()
    commits = list(archive.repository.history("refs/heads/journal"))
    assert len(archive.index.versions()) == 3
    events = archive.journal.events_with_changes_since(None)

    def broken() -> object:
        for count, pair in enumerate(events):
            if count == len(commits) - 1:
                raise StorageError("x")
            yield pair

    archive.index.close()
    (site.archive / "index.db").unlink()
    archive._index = None
    index = Index(site.archive / "index.db")
    with pytest.raises(StorageError):
        index.apply_events(broken())  # type: ignore[arg-type]
    assert len(index.versions()) == 2
    assert index.head_commit == commits[-2]
    index.close()
    archive.close()


@pytest.mark.needs("processes")
def test_a_synthetic_archive_is_one_but_for_its_content(tmp_path: Path) -> None:
    """The generator of the benchmarks makes what ``verify`` accepts."""
    import synthetic

    site = Site(tmp_path / "site")
    synthetic.make(site.archive, 300, 30, 120, site.watch).close()
    site.config.write_text(f'[archive]\npath = "{site.archive}"\n[watch]\npath = "{site.watch}"\n')
    site.run("reindex")
    assert len(site.json("log")) == 120
    assert {each["code"] for each in site.findings()} == {"A050"}
    assert (
        subprocess.run(
            ["git", f"--git-dir={site.repository}", "rev-list", "--count", "journal"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        == "123\n"
    )


def test_refs_that_were_packed_twice_within_a_second_are_seen(site: Site) -> None:
    """Git compares size, inode and whole seconds of the packed refs; here only the journal's object id differs."""
    archive = site.open()
    with archive.writing(0):
        archive.repository.pack_refs()
    newest = archive.repository.resolve("refs/heads/journal")
    assert newest is not None
    packed = site.repository / "packed-refs"
    before = site.git("rev-parse", f"{newest}^").stdout.strip()
    for old, oid in [(newest, before), (before, newest)] * 2:
        packed.write_text(packed.read_text().replace(old, oid))
        assert archive.repository.resolve("refs/heads/journal") == oid
    archive.close()
