"""After a crash or a power cut, the journal makes the other refs again; without one, nothing is repaired unasked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from archiver.errors import JournalDamaged
from archiver.store.git.repository import JOURNAL
from archiver.store.repair import ref_completion
from tests.support.loose_objects import unpack_all
from tests.support.site import Site

BRANCH, TAG, SUBMITTED = "refs/heads/filings/f/s", "refs/tags/f/s/v2", "refs/tags/f/s/submitted"


@pytest.fixture
def two(site: Site) -> Site:
    """Two versions, the second one submitted."""
    for text in ("one", "two"):
        site.write("f/s/a.txt", text)
        site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-01")
    return site


def crash(site: Site) -> None:
    """Leave the lock as a writer that was killed leaves it."""
    (site.archive / "lock").write_text("4711 (archiver run)")


def refs(site: Site) -> dict[str, str]:
    lines = site.git("for-each-ref", "--format=%(refname) %(objectname)").stdout.splitlines()
    return dict(line.split() for line in lines)


def empty_all_but_the_journal(site: Site) -> None:
    """What a power cut leaves of refs that were not synced, on xfs."""
    for path in (site.repository / "refs").rglob("*"):
        if path.is_file() and os.fspath(path.relative_to(site.repository)) != JOURNAL:
            path.write_bytes(b"")


def half_an_object_id(site: Site) -> None:
    (site.repository / TAG).write_text((site.repository / TAG).read_text()[:20])


def remove_tags(site: Site) -> None:
    for ref in (TAG, SUBMITTED):
        (site.repository / ref).unlink()


def set_branch_back(site: Site) -> None:
    (site.repository / BRANCH).write_text(site.git("rev-parse", "f/s/v1^{commit}").stdout)


def leave_locks(site: Site) -> None:
    for name in (f"{BRANCH}.lock", f"{TAG}.lock", "packed-refs.lock"):
        (site.repository / name).write_text("")


def cut_packed_refs(site: Site) -> None:
    """Its last line is cut, and the journal has a file of its own again."""
    tip = site.git("rev-parse", JOURNAL).stdout
    site.git("pack-refs", "--all")
    packed = site.repository / "packed-refs"
    packed.write_bytes(packed.read_bytes()[:-10])
    path = site.repository / JOURNAL
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(tip)


def empty_packed_refs(site: Site) -> None:
    cut_packed_refs(site)
    (site.repository / "packed-refs").write_bytes(b"")


DAMAGES = [
    empty_all_but_the_journal,
    half_an_object_id,
    remove_tags,
    set_branch_back,
    leave_locks,
    cut_packed_refs,
    empty_packed_refs,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_the_next_writer_completes_the_refs(two: Site, damage: Callable[[Site], None]) -> None:
    before = refs(two)
    damage(two)
    crash(two)
    two.catch_up()
    assert refs(two).items() >= {ref: oid for ref, oid in before.items() if ref != JOURNAL}.items()
    two.verified()
    two.write("f/s/a.txt", "three")
    two.catch_up()
    assert two.tags()[0] == "f/s/v3"
    two.verified()


def test_status_does_not_call_it_damage_before_the_next_writer(two: Site) -> None:
    remove_tags(two)
    assert two.json("status")["journal_problem"]
    crash(two)
    assert two.json("status")["journal_problem"] is None


@pytest.mark.parametrize("damage", [remove_tags, set_branch_back, empty_all_but_the_journal])
def test_without_a_crash_a_person_is_asked(two: Site, damage: Callable[[Site], None]) -> None:
    damage(two)
    assert "reindex --accept" in two.run("run", "--once", code=8).stderr
    # The refusal itself is no crash, after which everything would be repaired.
    assert "reindex --accept" in two.run("run", "--once", code=8).stderr


def test_what_a_crash_does_not_explain_is_left_to_a_person(two: Site) -> None:
    person = ("-c", "user.name=x", "-c", "user.email=x@localhost")
    other = two.git(*person, "commit-tree", "-m", "x", "f/s/v1^{tree}").stdout
    (two.repository / BRANCH).write_text(other)
    crash(two)
    assert "reindex --accept" in two.run("run", "--once", code=8).stderr
    assert (two.repository / BRANCH).read_text() == other


def test_an_empty_journal_is_never_replaced_by_its_former_value(two: Site) -> None:
    two.git("pack-refs", "--all")
    two.write("f/s/a.txt", "three")
    two.catch_up()
    (two.repository / JOURNAL).write_bytes(b"")
    crash(two)
    done = two.run("run", "--once", code=8)
    assert "reindex --accept" in done.stderr
    assert (two.repository / JOURNAL).read_bytes() == b""
    # The event that is named is the newest one, which the databases know.
    assert two.json("status")["journal_problem"]


def test_a_ref_whose_object_is_missing_is_not_made(two: Site, tmp_path: Path) -> None:
    oid = two.git("rev-parse", TAG).stdout.strip()
    unpack_all(two)
    path = two.repository / "objects" / oid[:2] / oid[2:]
    path.rename(tmp_path / "kept")
    (two.repository / TAG).unlink()
    crash(two)
    assert "reindex --accept" in two.run("run", "--once", code=8).stderr
    (tmp_path / "kept").rename(path)
    crash(two)
    two.catch_up()
    two.verified()


def test_what_no_crash_explains_is_left_to_a_person(two: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every restart of the machine looks like a crash: a tag that somebody deleted long ago stays deleted."""
    monkeypatch.setattr(ref_completion, "_LAST_TRANSACTION_EVENTS", 1)
    (two.repository / "refs/tags/f/s/v1").unlink()
    crash(two)
    archive = two.open()
    with pytest.raises(JournalDamaged), archive.writing(5):
        pass
    archive.close()
    assert not (two.repository / "refs/tags/f/s/v1").exists()


def test_a_lost_ref_that_somebody_removed_stays_away(two: Site) -> None:
    tag = two.git("rev-parse", "f/s/v2").stdout.strip()
    two.git("update-ref", "refs/lost/3/tags/f/s/v9", tag)
    two.git("update-ref", "-d", "refs/lost/3/tags/f/s/v9")
    crash(two)
    two.catch_up()
    assert not any(ref.startswith("refs/lost/") for ref in refs(two))


def test_what_git_leaves_of_packing_does_not_stop_packing(two: Site) -> None:
    """A kill leaves packed-refs.new, and git fails as long as it is there."""
    (two.repository / "packed-refs.new").write_text("half")
    crash(two)
    two.run("maintain")
    assert (two.repository / "packed-refs").exists()
    two.verified()


@pytest.mark.parametrize("name", ["refs/tags/f/s/stray", "refs/tags/f/odd"])
def test_a_link_or_another_text_among_the_refs_stops_nothing_and_stays(two: Site, name: str) -> None:
    path = two.repository / name
    if name.endswith("odd"):
        path.write_text("ref: refs/heads/journal\n")
    else:
        path.symlink_to("/nonexistent")
    crash(two)
    two.write("f/s/a.txt", "three")
    two.catch_up()
    assert "f/s/v3" in two.tags()
    assert os.path.lexists(path)


def test_a_damaged_file_of_packed_refs_is_kept_and_named(two: Site) -> None:
    cut_packed_refs(two)
    damaged = (two.repository / "packed-refs").read_bytes()
    crash(two)
    two.write("f/s/a.txt", "three")
    done = two.catch_up()
    assert "Rebuilt packed-refs" in done.stdout + done.stderr
    assert damaged in [path.read_bytes() for path in (two.archive / "set-aside").iterdir() if path.is_file()]


@pytest.mark.parametrize("name", ["archive.git/packed-refs", "lock", "daemon.lock"])
def test_a_pipe_is_not_waited_for(two: Site, name: str) -> None:
    """Root, who looks at somebody else's archive, would wait for ever."""
    path = two.archive / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    two.run("status", code=None)
    two.run("log", code=None)
