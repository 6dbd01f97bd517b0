"""Refs that contradict the journal: reading goes on, nothing is written, and a person says how to go on."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from archiver.store.failpoints import Step
from archiver.store.git.repository import JOURNAL
from tests.support.killed import killed_at
from tests.support.loose_objects import unpack_all
from tests.support.site import Site, wait_until


@pytest.fixture
def kept(site: Site) -> Site:
    """Two versions, a submission and a hold: events with refs and without."""
    site.write("甲/首次/报告.md", "one")
    site.catch_up()
    site.run("submit", "甲/首次", "--on", "2026-01-05")
    site.write("甲/首次/报告.md", "two")
    site.catch_up()
    site.run("hold", "place", "审计", "甲", "--reason", "spot check")
    return site


def _ref(site: Site) -> Path:
    return site.repository / JOURNAL


def _lose(site: Site, spec: str) -> None:
    oid = site.git("rev-parse", spec).stdout.strip()
    unpack_all(site)
    (site.repository / "objects" / oid[:2] / oid[2:]).unlink()


def _truncate(site: Site) -> None:
    _ref(site).write_bytes(b"")


def _garble(site: Site) -> None:
    _ref(site).write_bytes(b"\0" * 41)


def _remove(site: Site) -> None:
    _ref(site).unlink()


def _point_nowhere(site: Site) -> None:
    _ref(site).write_text("12" * 20 + "\n")


def _lose_commit(site: Site) -> None:
    _lose(site, JOURNAL)


def _lose_event(site: Site) -> None:
    _lose(site, f"{JOURNAL}:event.json")


def _lose_body(site: Site) -> None:
    _lose(site, f"{JOURNAL}:body.json")


def _set_back(site: Site) -> None:
    # The event before the second capture: its version's refs go beyond it.
    _ref(site).write_text(site.git("rev-parse", f"{JOURNAL}~2").stdout)


def _set_back_without_log(site: Site) -> None:
    _set_back(site)
    shutil.rmtree(site.repository / "logs", ignore_errors=True)
    for name in ("index.db", "state.db"):
        (site.archive / name).unlink()


WAYS = [
    _truncate,
    _garble,
    _remove,
    _point_nowhere,
    _lose_commit,
    _lose_event,
    _lose_body,
    _set_back,
    _set_back_without_log,
]


def _events(site: Site) -> list[Any]:
    archive = site.open()
    try:
        return list(archive.journal.events_since(None))
    finally:
        archive.close()


def _index_head(site: Site) -> str:
    with closing(sqlite3.connect(site.archive / "index.db")) as index:
        return str(index.execute("select value from meta where key = 'head'").fetchone()[0])


@pytest.mark.parametrize("damage", WAYS)
def test_what_is_whole_can_be_read_and_nothing_is_written(kept: Site, tmp_path: Path, damage: Any) -> None:
    before = _index_head(kept)
    tags = kept.tags()
    damage(kept)
    has_index = (kept.archive / "index.db").exists()
    shown = kept.run("log", "--json")
    assert "reindex --accept" in shown.stderr
    if has_index:
        assert kept.tags() == tags
        assert _index_head(kept) == before
    kept.run("restore", "甲/首次/v1", "--to", tmp_path / "back")
    assert (tmp_path / "back" / "报告.md").read_text() == "one"
    ref = _ref(kept).read_bytes() if _ref(kept).exists() else None
    for command in (
        ["run", "--once"],
        ["hold", "place", "another", "甲", "--reason", "x"],
        ["submit", "甲/首次", "--on", "2026-01-06", "--version", "1"],
        ["reindex"],
    ):
        refused = kept.run(*command, code=8)
        assert "Nothing was changed" in refused.stderr
        assert "reindex --accept" in refused.stderr
    assert kept.run("status", "--check", code=9)
    assert kept.json("status")["journal_problem"]
    assert (_ref(kept).read_bytes() if _ref(kept).exists() else None) == ref
    if has_index:
        assert _index_head(kept) == before


@pytest.mark.parametrize("damage", WAYS)
def test_an_accepted_loss_is_journalled_and_the_archive_goes_on(kept: Site, damage: Any) -> None:
    objects = set(kept.repository.joinpath("lfs").rglob("*"))
    damage(kept)
    refused = kept.run("reindex", "--accept", code=2)
    assert "--yes" in refused.stderr
    assert kept.json("status")["journal_problem"]
    kept.run("reindex", "--accept", "--yes")
    event = _events(kept)[-1]
    assert event.action == "recover"
    assert event.details["last_event"] == event.seq - 1
    kept.write("甲/首次/报告.md", "three")
    kept.catch_up()
    kept.run("restore", "甲/首次/v3", "--to", kept.root / "back")
    assert kept.json("status")["journal_problem"] is None
    # What is left of an event without its file is reached by no ref, and is no finding.
    kept.verified()
    assert objects <= set(kept.repository.joinpath("lfs").rglob("*"))


def test_nothing_but_the_unreadable_event_is_lost(kept: Site) -> None:
    newest = _events(kept)[-1]
    _lose_event(kept)
    kept.run("reindex", "--accept", "--yes")
    event = _events(kept)[-1]
    assert newest.action == "hold"
    assert (event.seq, event.details["lost_events"]) == (newest.seq, 1)
    assert kept.json("hold", "list") == []


def test_versions_beyond_the_last_whole_event_are_kept_under_another_name(kept: Site) -> None:
    kept.write("甲/首次/报告.md", "three")
    kept.catch_up()
    lost = kept.git("rev-parse", "refs/tags/甲/首次/v3").stdout.strip()
    _lose_commit(kept)
    kept.run("reindex", "--accept", "--yes")
    event = _events(kept)[-1]
    assert [each["tag"] for each in event.details["lost_versions"]] == ["甲/首次/v3"]
    kept_as = event.details["lost_refs"]["refs/tags/甲/首次/v3"]
    assert kept.git("rev-parse", kept_as).stdout.strip() == lost
    kept.catch_up()
    # The folder still holds what the lost version held: it is archived again.
    kept.run("restore", "甲/首次/v3", "--to", kept.root / "back")
    assert (kept.root / "back" / "报告.md").read_text() == "three"
    kept.verified()


@pytest.mark.parametrize(
    "ref", ["refs/heads/filings/甲/首次", "refs/tags/甲/首次/v1", "refs/tags/甲/首次/submitted"]
)
def test_a_version_ref_that_is_empty_is_set_again_once_somebody_says_so(kept: Site, ref: str) -> None:
    (kept.repository / ref).write_bytes(b"")
    kept.write("甲/首次/报告.md", "three")
    refused = kept.run("run", "--once", code=8)
    assert ref in refused.stderr
    kept.run("reindex", "--accept", "--yes")
    assert _events(kept)[-1].details["restored_refs"] == [ref]
    kept.catch_up()
    assert kept.tags()[0] == "甲/首次/v3"
    kept.verified()


def test_a_tag_made_by_hand_does_not_stop_the_archive(kept: Site) -> None:
    kept.git("tag", "note", "refs/tags/甲/首次/v1")
    kept.write("甲/首次/报告.md", "three")
    kept.catch_up()
    assert kept.tags()[0] == "甲/首次/v3"


def test_an_archive_without_any_whole_event_says_so(kept: Site) -> None:
    shutil.rmtree(kept.repository / "objects/pack")
    (kept.archive / "index.db").unlink()
    refused = kept.run("log", code=8)
    assert "The journal has no complete event" in refused.stderr
    kept.run("reindex", "--accept", "--yes", code=8)


def test_there_is_nothing_to_accept_in_a_whole_archive(kept: Site) -> None:
    before = len(_events(kept))
    kept.run("reindex", "--accept", "--yes")
    assert len(_events(kept)) == before


def test_the_daemon_goes_on_when_the_journal_is_back(kept: Site, daemon: subprocess.Popen[str]) -> None:
    ref = _ref(kept).read_bytes()
    _truncate(kept)
    kept.write("甲/首次/报告.md", "three")
    wait_until(lambda: kept.json("status")["journal_problem"])
    os.replace(_written(kept.root / "ref", ref), _ref(kept))
    wait_until(lambda: kept.tags()[0] == "甲/首次/v3", 40)
    kept.verified()


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _packed(site: Site) -> Path:
    site.run("maintain")
    assert not _ref(site).exists()
    return site.repository / "packed-refs"


def _cut_packed(site: Site) -> None:
    path = _packed(site)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _garble_packed(site: Site) -> None:
    _packed(site).write_bytes(b"\0" * 700)


def _replace_packed(site: Site) -> None:
    path = _packed(site)
    path.unlink()
    path.mkdir()


def _put_files_below_the_ref(site: Site) -> None:
    _ref(site).unlink()
    _ref(site).mkdir()
    (_ref(site) / "lost+found").write_text("")


@pytest.mark.parametrize("damage", [_cut_packed, _garble_packed, _replace_packed, _put_files_below_the_ref])
def test_refs_that_git_does_not_read_at_all(kept: Site, tmp_path: Path, damage: Any) -> None:
    tags = kept.tags()
    damage(kept)
    assert kept.tags() == tags
    kept.run("restore", "甲/首次/v1", "--to", tmp_path / "back")
    for command in (["run", "--once"], ["hold", "place", "another", "甲", "--reason", "x"], ["reindex"]):
        assert "reindex --accept" in kept.run(*command, code=8).stderr
    assert kept.json("status")["journal_problem"]
    kept.run("reindex", "--accept", code=2)
    kept.run("reindex", "--accept", "--yes")
    assert _events(kept)[-1].details["lost_versions"] == []
    kept.write("甲/首次/报告.md", "three")
    kept.catch_up()
    assert kept.tags() == ["甲/首次/v3", *tags]
    kept.verified()


@pytest.mark.parametrize("ref", ["refs/heads/filings/甲/首次", "refs/tags/甲/首次/v9"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_a_ref_that_names_a_missing_object_is_removed(kept: Site, ref: str, is_packed: bool) -> None:
    if is_packed:
        packed = _packed(kept)
        lines = [line for line in packed.read_text().splitlines() if not line.endswith(f" {ref}")]
        # Without its first line, git does not take the others for sorted.
        packed.write_text("\n".join([f"{'12' * 20} {ref}", *lines[1:], ""]))
    else:
        (kept.repository / ref).write_text("12" * 20 + "\n")
    assert ref in kept.run("run", "--once", code=8).stderr
    kept.run("reindex", "--accept", "--yes")
    assert _events(kept)[-1].details["lost_refs"] == {ref: None}
    kept.write("甲/首次/报告.md", "three")
    kept.catch_up()
    kept.verified()


def test_an_empty_head_is_put_back(kept: Site) -> None:
    (kept.repository / "HEAD").write_bytes(b"")
    kept.write("甲/首次/报告.md", "three")
    assert "Restored repository settings: HEAD" in kept.catch_up().stderr
    assert kept.tags()[0] == "甲/首次/v3"


@pytest.mark.parametrize(("step", "nth"), [(Step.REFS_DURABLE, 1), (Step.REFS_DURABLE, 2), (Step.REFS_PACKED, 1)])
def test_an_acceptance_that_is_killed_is_finished_by_the_next(kept: Site, step: Step, nth: int) -> None:
    """The hold is known to the index alone: its event is gone, and it moved no other ref."""
    _lose_commit(kept)
    killed_at(kept, step, "reindex", "--accept", "--yes", nth=nth)
    kept.run("reindex", "--accept", "--yes")
    recovered = [event for event in _events(kept) if event.action == "recover"]
    assert [[each["object"] for each in event.details["lost_records"]] for event in recovered] == [["审计 甲"]]
    kept.catch_up()
    assert kept.json("status")["set_aside"] == 0
    kept.verified()


def test_what_only_the_index_knows_survives_a_kill_before_the_event(kept: Site) -> None:
    _lose_commit(kept)
    killed_at(kept, Step.GIT_OBJECTS_WRITTEN, "reindex", "--accept", "--yes")
    assert "Lost: hold 审计 甲" in kept.run("status").stdout
    kept.run("reindex", "--accept", "--yes")
    assert _events(kept)[-1].details["lost_records"]
    kept.verified()
