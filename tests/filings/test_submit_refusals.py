"""What must not be signed unseen: ``submit`` is refused, with the reason and exit 4, and journals nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from archiver import clock
from tests.support.site import COMMAND, Site

ON = ("--on", "2026-03-20")
#: Root reads everything; without these capabilities it is refused as anybody else is.
WITHOUT_OVERRIDE = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", "--inh-caps", "-dac_override,-dac_read_search"]  # fmt: skip


@pytest.fixture
def filed(site: Site) -> Site:
    site.set("watch", "settle_seconds", 0)
    site.write("推荐算法/首次/报告", "one")
    site.write("推荐算法/首次/附/名单", "two")
    site.write("别的/首次/x", "3")
    site.catch_up()
    return site


def events(site: Site) -> int:
    return int(site.git("rev-list", "--count", "journal").stdout)


def refused(site: Site, *more: object, name: str = "推荐算法/首次") -> str:
    """What a refused submit says; it leaves the journal as it was."""
    before = events(site)
    said = site.run("submit", name, *ON, *more, code=4).stderr
    assert "Nothing was recorded" in said
    assert events(site) == before
    return said


def last_submit(site: Site) -> dict[str, Any]:
    return site.events("submit")[-1]


def removed(site: Site) -> None:
    shutil.rmtree(site.watch)


def a_file(site: Site) -> None:
    shutil.rmtree(site.watch)
    site.watch.write_text("no folder")


def without_the_filing(site: Site) -> None:
    shutil.rmtree(site.watch / "推荐算法")


def without_the_submission(site: Site) -> None:
    shutil.rmtree(site.watch / "推荐算法/首次")


def submission_is_a_file(site: Site) -> None:
    without_the_submission(site)
    site.write("推荐算法/首次", "no folder")


def filing_is_a_link(site: Site) -> None:
    os.rename(site.watch / "推荐算法", site.root / "elsewhere")
    (site.watch / "推荐算法").symlink_to(site.root / "elsewhere")


def submission_is_an_empty_mount_point(site: Site) -> None:
    without_the_submission(site)
    (site.watch / "推荐算法/首次").mkdir()


@pytest.mark.parametrize(
    "lose",
    [
        *(removed, a_file, without_the_filing, without_the_submission, submission_is_a_file, filing_is_a_link),
        submission_is_an_empty_mount_point,
    ],
)
def test_what_is_not_there_is_not_signed(filed: Site, lose: Callable[[Site], None]) -> None:
    lose(filed)
    assert "--version N" in refused(filed)
    filed.run("submit", "推荐算法/首次", *ON, "--version", 1)
    assert "reason" not in last_submit(filed)["details"]
    assert sorted(filed.tags()) == ["别的/首次/v1", "推荐算法/首次/v1"]


def test_the_loose_files_of_the_watched_folder_are_missed_with_it(site: Site) -> None:
    site.set("watch", "settle_seconds", 0)
    site.write("loose", "1")
    site.catch_up()
    shutil.rmtree(site.watch)
    refused(site, name="_unfiled/_common")


@pytest.mark.needs("root", "mount")
def test_a_share_that_is_not_mounted_is_not_signed(bare_site: Site) -> None:
    """The share's mount point stays behind, with what a file manager leaves in it."""
    site = bare_site
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", site.watch], check=True)
    try:
        site.init()
        site.set("watch", "settle_seconds", 0)
        site.write("f/s/a", "1")
        site.catch_up()
    finally:
        subprocess.run(["umount", site.watch], check=True)
    assert "another folder is in its place" in refused(site, name="f/s")
    site.write(".DS_Store", "left behind")
    site.write("f/s/b", "not from the share")
    assert "another folder is in its place" in refused(site, name="f/s")


@pytest.mark.needs("root", "setpriv")
@pytest.mark.parametrize(
    "locked", ["推荐算法", "推荐算法/首次", "推荐算法/首次/附", "推荐算法/首次/报告", "推荐算法/首次/新"]
)
def test_what_cannot_be_read_is_not_signed(filed: Site, locked: str) -> None:
    filed.write("推荐算法/首次/新", "not archived yet")
    filed.write("别的/首次/x", "changed, and readable")
    (filed.watch / locked).chmod(0)

    def submit(name: str) -> subprocess.CompletedProcess[str]:
        command = [*WITHOUT_OVERRIDE, COMMAND, "--config", filed.config, "submit", name, *ON]
        return subprocess.run(command, capture_output=True, text=True)

    before = events(filed)
    done = submit("推荐算法/首次")
    assert done.returncode == 4, done.stderr
    assert "Cannot read " in done.stderr
    assert "Permission denied" in done.stderr
    assert events(filed) == before
    # One item's error stays that item's.
    assert submit("别的/首次").returncode == 0


@pytest.mark.needs("strace")
@pytest.mark.parametrize("error", ["EIO", "ENOKEY"])
def test_a_file_that_fails_while_it_is_read_is_not_signed(filed: Site, error: str) -> None:
    bad = filed.write("推荐算法/首次/新", "1")
    before = events(filed)
    call = "readv" if error == "EIO" else "openat"
    inject = ["-e", f"trace={call}", "-e", f"inject={call}:error={error}:when=1+"]
    # A file is opened by its name in its folder, and read by its descriptor, which strace knows by the path.
    where = ["-P", bad, "-P", bad.name]
    command = ["strace", "-qq", "-f", "-o", os.devnull, *where, *inject, COMMAND, "--config", filed.config]
    done = subprocess.run([*command, "submit", "推荐算法/首次", *ON], capture_output=True, text=True)
    assert done.returncode == 4, done.stderr
    assert "首次/新" in done.stderr
    assert events(filed) == before


def test_a_deletion_on_record_is_not_handed_in_by_mistake(filed: Site) -> None:
    shutil.rmtree(filed.watch / "推荐算法")
    filed.catch_up()
    assert filed.json("log", "推荐算法/首次")[0]["files"] == 0
    # By the end of the day, the newest version is the deletion.
    today = ("--on", clock.today(ZoneInfo("Asia/Shanghai")))
    assert "submit '推荐算法/首次' --version 1" in refused(filed, *today)
    assert "--version 2 --reason TEXT" in refused(filed, "--version", 2)
    assert "contains no files" in refused(filed, *today, "--reason", "the newest is not named")
    filed.run("submit", "推荐算法/首次", *ON, "--version", 2, "--reason", "deregistered: everything withdrawn")
    details = last_submit(filed)["details"]
    assert (details["version"], details["reason"]) == ("推荐算法/首次/v2", "deregistered: everything withdrawn")
    filed.verified()


def _gone(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.chmod(0o600)
    os.truncate(path, path.stat().st_size - 1)


def _flipped(path: Path) -> None:
    path.chmod(0o600)
    path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])


@pytest.mark.parametrize("damage", [_gone, _cut, _flipped])
def test_content_that_the_archive_has_lost_is_not_signed(filed: Site, damage: Callable[[Path], None]) -> None:
    sha256 = next(
        m["sha256"] for m in filed.json("show", "推荐算法/首次/v1")["materials"] if m["path"] == "附/名单"
    )
    damage(filed.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256)
    assert "附/名单" in refused(filed)
    assert "附/名单" in refused(filed, "--version", 1)
    assert "附/名单" in refused(filed, "--version", 1, "--reason", "  ")
    filed.run("submit", "推荐算法/首次", *ON, "--version", 1, "--reason", "the paper copy was handed in")
    filed.run("submit", "别的/首次", *ON)


def test_the_reason_is_kept_and_shown(filed: Site) -> None:
    """Also one that nobody had to give: what was typed is never dropped."""
    filed.run("submit", "推荐算法/首次", *ON, "--version", 1, "--reason", "as agreed by phone")
    assert last_submit(filed)["details"]["reason"] == "as agreed by phone"
    filed.run("submit", "别的/首次", *ON, "--reason", "early")
    told = {each["tag"]: each["submitted"] for each in filed.json("log")}
    assert told["推荐算法/首次/v1"][0]["reason"] == "as agreed by phone"
    assert told["别的/首次/v1"][0]["reason"] == "early"
    assert "as agreed by phone" in filed.run("show", "推荐算法/首次/submitted").stdout
    assert filed.json("show", "别的/首次/v1")["submit_reasons"] == {"别的/首次/submitted": "early"}
    package = filed.root / "package"
    filed.run("audit", "--to", package)
    texts = "".join(p.read_text("utf-8") for p in package.rglob("*.json"))
    assert "as agreed by phone" in texts
    filed.run("reindex")
    assert {each["tag"]: each["submitted"] for each in filed.json("log")} == told
    filed.verified()


def test_a_number_of_another_form_keeps_its_reason_where_it_was(filed: Site) -> None:
    filed.run("submit", "别的/首次", *ON, "--number", "沪备 2", "--force", "--reason", "moved")
    assert last_submit(filed)["details"]["forced"] == "moved"


@pytest.mark.needs("root", "setpriv")
def test_a_version_that_may_lack_what_cannot_be_read_needs_a_reason(filed: Site) -> None:
    """The file was never archived: version 1 is whole by itself, and lacks it all the same."""
    filed.write("推荐算法/首次/新", "not archived yet").chmod(0)

    def submit(*more: str) -> subprocess.CompletedProcess[str]:
        command = [*WITHOUT_OVERRIDE, COMMAND, "--config", filed.config, "submit", "推荐算法/首次"]
        return subprocess.run([*command, *ON, "--version", "1", *more], capture_output=True, text=True)

    done = submit()
    assert (done.returncode, "--version N --reason TEXT" in done.stderr) == (4, True), done.stderr
    done = submit("--reason", "the list was not handed in")
    assert done.returncode == 0, done.stderr
    assert last_submit(filed)["details"]["reason"] == "the list was not handed in"
