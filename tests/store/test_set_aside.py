"""A repository put back from a backup beside newer databases: these are not believed, and capture goes on."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from archiver import clock
from tests.support.site import Site, wait_until


def _back_up(site: Site, *names: str) -> Callable[[], None]:
    backup = site.root / "backup"
    shutil.copytree(
        site.archive, backup, symlinks=True, ignore=shutil.ignore_patterns("socket", "tmp_*", "*.lock")
    )

    def restore() -> None:
        for name in names:
            target = site.archive / name
            if target.is_dir():
                shutil.rmtree(target)
                shutil.copytree(backup / name, target)
            else:
                shutil.copy2(backup / name, target)

    return restore


@pytest.fixture
def monday(site: Site) -> Site:
    site.write("甲/首次/报告.md", "monday")
    site.catch_up()
    return site


def _tuesday(site: Site) -> None:
    site.write("甲/首次/报告.md", "tuesday")
    site.write("甲/首次/新材料.md", "new")
    site.write("乙/首次/附件.md", "other")
    site.catch_up()


def _newest(site: Site, folder: Path) -> dict[str, str]:
    for tag in ("甲/首次/v2", "乙/首次/v1"):
        site.run("restore", tag, "--to", folder)
    return {path.name: path.read_text() for path in folder.iterdir()}


TUESDAY = {"报告.md": "tuesday", "新材料.md": "new", "附件.md": "other"}


@pytest.mark.parametrize("index_too", [False, True])
def test_today_is_archived_again_and_what_was_lost_is_listed(
    monday: Site, tmp_path: Path, index_too: bool
) -> None:
    restore = _back_up(monday, "archive.git")
    _tuesday(monday)
    commits = {version["tag"]: version["commit"] for version in monday.json("log")}
    restore()
    # In the same second the same content makes the same commit, and nothing would be lost.
    time.sleep(1.1)
    if index_too:
        for path in monday.archive.glob("index.db*"):
            path.unlink()
    monday.catch_up()
    assert _newest(monday, tmp_path / "back") == TUESDAY
    monday.verified()

    status = monday.json("status")
    assert status["set_aside"] == (1 if index_too else 2)
    assert [each["tag"] for each in status["lost_versions"]] == ["乙/首次/v1", "甲/首次/v2"]
    assert "reindex --accept" in monday.run("status", "--check", code=9).stderr
    monday.run("reindex", "--accept", code=2)
    assert "甲/首次/v2" in monday.run("reindex", "--accept", "--yes").stdout
    after = monday.json("status")
    assert (after["set_aside"], after["lost_versions"]) == (0, [])
    monday.catch_up()
    assert monday.json("status")["set_aside"] == 0
    monday.verified()
    assert {version["tag"]: version["commit"] for version in monday.json("log")} != commits


def test_a_submission_captures_what_the_restored_repository_lacks(monday: Site, tmp_path: Path) -> None:
    restore = _back_up(monday, "archive.git")
    _tuesday(monday)
    restore()
    monday.set("watch", "settle_seconds", 0)
    sealed = monday.run("submit", "甲/首次", "--on", str(clock.today(ZoneInfo("Asia/Shanghai")))).stdout
    assert "甲/首次/v2" in sealed
    monday.run("restore", "甲/首次/submitted", "--to", tmp_path / "back")
    assert (tmp_path / "back" / "新材料.md").read_text() == "new"


def test_a_database_older_than_the_journal_catches_up(monday: Site, tmp_path: Path) -> None:
    restore = _back_up(monday, "index.db", "state.db")
    _tuesday(monday)
    restore()
    monday.catch_up()
    assert _newest(monday, tmp_path / "back") == TUESDAY
    assert [version["tag"] for version in monday.json("log")].count("甲/首次/v2") == 1
    assert monday.json("status")["set_aside"] == 0


def test_databases_of_another_archive_are_set_aside(monday: Site, tmp_path: Path) -> None:
    other = Site(tmp_path / "other").init()
    other.write("丙/首次/文件.md", "theirs")
    other.catch_up()
    for name in ("index.db", "state.db"):
        shutil.copy2(other.archive / name, monday.archive / name)
    assert monday.tags() == ["甲/首次/v1"]
    monday.write("甲/首次/报告.md", "later")
    monday.catch_up()
    assert monday.tags() == ["甲/首次/v2", "甲/首次/v1"]
    assert monday.json("status")["set_aside"] == 2


def test_a_repository_put_back_under_a_running_daemon_is_completed(
    monday: Site, daemon: subprocess.Popen[str], tmp_path: Path
) -> None:
    restore = _back_up(monday, "archive.git")
    monday.write("甲/首次/报告.md", "tuesday")
    wait_until(lambda: monday.tags()[0] == "甲/首次/v2")
    restore()
    # Whatever is written next makes the daemon look.
    monday.write("甲/首次/新材料.md", "new")
    wait_until(lambda: monday.tags()[:1] == ["甲/首次/v2"], 40)
    monday.run("restore", monday.tags()[0], "--to", tmp_path / "back")
    wait_until(lambda: monday.json("status")["pending_count"] == 0, 40)
    newest = monday.tags()[0]
    monday.run("restore", newest, "--to", tmp_path / "newest")
    assert {path.name: path.read_text() for path in (tmp_path / "newest").iterdir()} == {
        "报告.md": "tuesday",
        "新材料.md": "new",
    }


def test_what_is_written_after_a_restore_stays_in_force(monday: Site) -> None:
    """The ref of the journal comes from a backup; the packed refs still name a later event, of the lost history."""
    ref = monday.repository / "refs/heads/journal"
    of_backup = ref.read_bytes()
    monday.run("hold", "place", "旧一", "甲", "--reason", "lost")
    monday.run("hold", "place", "旧二", "甲", "--reason", "lost")
    monday.run("maintain")
    ref.write_bytes(of_backup)
    monday.run("hold", "place", "新", "甲", "--reason", "placed after the restore")
    accepted = monday.run("reindex", "--accept", "--yes").stdout
    assert "Lost: hold 旧二 甲" in accepted
    assert "Lost: hold 新 甲" not in accepted
    archive = monday.open()
    assert [hold.name for hold in archive.index.holds()] == ["新"]
    archive.close()
    monday.run("verify")


def test_a_lost_hold_and_a_lost_handing_in_are_listed_and_nothing_is_disposed_of(monday: Site) -> None:
    restore = _back_up(monday, "archive.git")
    monday.run("submit", "甲/首次", "--on", "2026-01-05")
    monday.run("hold", "place", "审计", "甲", "--reason", "spot check")
    restore()
    monday.catch_up()
    status = monday.run("status").stdout
    assert "Lost: hold 审计 甲" in status
    assert "Lost: submit 甲" in status
    lost = monday.json("status")["lost_records"]
    assert [(each["action"], each["object"]) for each in lost] == [("hold", "审计 甲"), ("submit", "甲")]
    assert "a hold may be lost" in monday.run("dispose", "plan", code=4).stderr
    assert "Lost: hold 审计 甲" in monday.run("reindex", "--accept", "--yes").stdout
    archive = monday.open()
    event = list(archive.journal.events_since(None))[-1]
    archive.close()
    shown = [{key: value for key, value in each.items() if key != "object_name"} for each in lost]
    assert event.details["lost_records"] == shown
    assert monday.json("status")["lost_records"] == []
    assert "a hold may be lost" not in monday.run("dispose", "plan", code=4).stderr


def test_a_lost_restriction_is_listed(monday: Site) -> None:
    """Otherwise nobody is told that a file captured by mistake is in the next package again."""
    restore = _back_up(monday, "archive.git")
    monday.run("restrict", "甲/首次/v1:报告.md", "--reason", "payroll")
    restore()
    monday.catch_up()
    assert [each["object"] for each in monday.json("status")["lost_records"] if each["action"] == "restrict"] == [
        "甲"
    ]
    assert "Lost: restrict 甲" in monday.run("reindex", "--accept", "--yes").stdout
    assert monday.json("status")["restricted"] == []


@pytest.mark.parametrize("longer", ["before", "since"])
def test_of_two_histories_in_one_repository_the_longer_one_goes_on(
    site: Site, tmp_path: Path, longer: str
) -> None:
    """First an old backup is restored, and work goes on; then a newer backup is copied over the repository."""
    site.write("甲/首次/a", "1")
    site.catch_up()
    shutil.copytree(site.archive, tmp_path / "old")
    for number in range(4 if longer == "before" else 1):
        site.write("乙/首次/b", f"before {number}")
        site.catch_up()
    shutil.copytree(site.repository, tmp_path / "newer")
    shutil.rmtree(site.archive)
    shutil.copytree(tmp_path / "old", site.archive)
    # In the same second the same content makes the same commit, and nothing would be lost.
    site.write("乙/首次/b", "since")
    for number in range(2):
        site.write("丙/首次/c", f"since {number}")
        site.catch_up()
    shutil.copytree(tmp_path / "newer", site.repository, dirs_exist_ok=True)
    assert "reindex --accept" in site.run("run", "--once", code=8).stderr
    accepted = site.run("reindex", "--accept", "--yes").stdout
    lost = {each["tag"] for each in site.events("recover")[-1]["details"]["lost_versions"]}
    # Both histories have a version of this name.
    assert lost == {"乙/首次/v1"} | ({"丙/首次/v1", "丙/首次/v2"} if longer == "before" else set())
    assert all(tag in accepted for tag in lost)
    assert site.git("for-each-ref", "refs/lost").stdout
    # What was lost is in the folder, and archived again.
    site.catch_up()
    newest = {f"{each['filing']}/{each['submission']}" for each in site.json("log")}
    assert newest == {"甲/首次", "乙/首次", "丙/首次"}
    site.verified()
