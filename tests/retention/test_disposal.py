"""The end of the road: plan, two approvals, cooling-off, deletion, certificate, and what is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.forged import SignedBy, append, in_chain_of
from tests.support.other_user import become_user
from tests.support.site import (
    CHECKOUT,
    COMMAND,
    UNGUARDED,
    Site,
    open_the_way,
    run_forked,
    tree,
    wait_until,
)

pytestmark = pytest.mark.needs("root", "another user")

PLANNER, FIRST, SECOND, STRANGER = 65101, 65102, 65103, 65104
FOUR_YEARS = 4 * 366
GROUP = "nogroup"
GID = 65534


class Later:
    """The same site, as many days later, through the command or the daemon of that time."""

    def __init__(self, site: Site, days: float) -> None:
        self.site = site
        self.days = days

    def command(self, *arguments: object) -> list[str | bytes]:
        start = [
            sys.executable,
            "-m",
            "tests.support.later",
            str(self.days),
            "--config",
            os.fspath(self.site.config),
        ]
        return [*start, *map(str, arguments)]

    def run(self, *arguments: object, code: int = 0, uid: int | None = None) -> subprocess.CompletedProcess[str]:
        user = [] if uid is None else become_user(uid, GID)
        line = [COMMAND, "--config", self.site.config, *map(str, arguments)]
        # The process that forks commands is root.
        forked = None if user else run_forked(line, CHECKOUT, None, dict(os.environ), str(self.days))
        done = forked or subprocess.run(
            [*user, *self.command(*arguments)],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == code, f"{arguments}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def json(self, *arguments: object, code: int = 0, uid: int | None = None) -> Any:
        return json.loads(self.run(*arguments, "--json", code=code, uid=uid).stdout)

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(self.command("run"), cwd=CHECKOUT, stdout=subprocess.DEVNULL)
        wait_until(lambda: (self.site.archive / "socket").exists())
        return process


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A filing whose first submission was corrected and handed in again, and which has ended since."""
    open_the_way(tmp_path)
    site = Site(tmp_path / "site").init()
    site.configure(access={"read_group": GROUP, "act_group": GROUP})
    site.write("推荐/首次/自评估 报告", "first draft")
    site.write("推荐/首次/身份证", "scan")
    site.catch_up()
    site.run("submit", "推荐/首次", "--on", "2026-01-01")
    site.write("推荐/首次/自评估 报告", "second draft")
    site.write("推荐/首次/回执", "first draft of another paper")
    site.catch_up()
    site.write("活/首次/材料", "scan")
    site.catch_up()
    return site


def end(site: Site) -> None:
    site.run("filing", "end", "推荐", "--on", "2026-06-01", "--reason", "the service was closed")


class Served:
    """The daemon of a later time, and people who talk to it."""

    def __init__(self, site: Site, days: float) -> None:
        self.site, self.later = site, Later(site, days)

    def __enter__(self) -> Later:
        self.process = self.later.start()
        return self.later

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(timeout=30) == 0


@pytest.mark.needs("ssh-keygen", "git-lfs")
def test_a_full_life(site: Site, tmp_path: Path) -> None:
    before = tree(site.watch)
    assert ", longer while the filing is live" in Later(site, FOUR_YEARS).run("dispose", "plan", code=4).stderr
    end(site)
    Later(site, 3 * 365).run("dispose", "plan", code=4)
    with Served(site, FOUR_YEARS) as later:
        plan = later.json("dispose", "plan", uid=PLANNER)
        assert [each["tag"] for each in plan["going"]] == ["推荐/首次/v1"]
        assert {each["tag"]: each["open"] for each in plan["staying"]} == {
            "推荐/首次/v2": ["the version is the latest of its submission folder"],
            "活/首次/v1": ["the filing is live"],
        }
        # "scan" stays, because two other versions hold it.
        assert (plan["objects"], plan["bytes"], plan["shared_objects"]) == (1, len("first draft"), 1)
        name = plan["plan"]
        assert plan["plans"] == [name], "one plan for each filing that something is deleted of"
        later.run("dispose", "run", name, code=4, uid=FIRST)
        assert (
            "created disposal plan"
            in later.run("dispose", "approve", name, "--reason", "r", code=4, uid=PLANNER).stderr
        )
        later.run("dispose", "approve", name, "--reason", "period over", uid=FIRST)
        assert "already" in later.run("dispose", "approve", name, "--reason", "r", code=4, uid=FIRST).stderr
        later.run("dispose", "run", name, code=4, uid=FIRST)
        later.run("dispose", "approve", name, "--reason", "legal agrees", uid=SECOND)
        assert "cooling-off period" in later.run("dispose", "run", name, code=4, uid=SECOND).stderr
        assert site.verified_notes() == []
    with Served(site, FOUR_YEARS + 6.9) as later:
        later.run("dispose", "run", name, code=4, uid=SECOND)
    with Served(site, FOUR_YEARS + 7.1) as later:
        later.run("dispose", "run", name, uid=SECOND)
        assert "already completed" in later.run("dispose", "run", name, code=4, uid=SECOND).stderr
        later.run("dispose", "approve", name, "--reason", "late", code=4, uid=STRANGER)
        [listed] = later.json("dispose", "list")
        assert [each["uid"] for each in listed["approvals"]] == [FIRST, SECOND]
        assert listed["planned_by"]["uid"] == PLANNER
    assert tree(site.watch) == before
    check_what_is_left(site, name, tmp_path)


def check_what_is_left(site: Site, name: str, tmp_path: Path) -> None:
    assert site.verified_notes() == [
        {
            "object": name,
            "message": f"1 object was deleted in disposal {name}, with a certificate of destruction",
            "code": "note.disposed",
        }
    ]
    assert site.git("fsck", "--full", "--strict").stderr == ""
    assert f"certificate {name}" in site.run("restore", "推荐/首次/v1", "--to", tmp_path / "gone", code=7).stderr
    assert not (tmp_path / "gone").exists()
    site.run("restore", "推荐/首次/submitted", "--to", tmp_path / "gone", code=7)
    site.run("restore", "推荐/首次/v2", "--to", tmp_path / "v2")
    assert (tmp_path / "v2/自评估 报告").read_text() == "second draft"
    assert (tmp_path / "v2/身份证").read_text() == "scan"
    site.run("restore", "活/首次/v1", "--to", tmp_path / "live")
    assert "Disposed of in disposal" in site.run("show", "推荐/首次/v1").stdout
    site.run("audit", "--to", tmp_path / "package")
    verifier = [sys.executable, "-I", "-S", "verify.py", "--lang", "en"]
    checked = subprocess.run(verifier, cwd=tmp_path / "package", capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout
    assert "files deleted in disposals, as certified: 2" in checked.stdout
    check_certificate(site, name, tmp_path / "certificate")
    check_clone(site, tmp_path)
    site.run("reindex")
    site.run("restore", "推荐/首次/v1", "--to", tmp_path / "gone", code=7)


def check_certificate(site: Site, name: str, folder: Path) -> None:
    site.run("dispose", "certificate", name, "--to", folder)
    document = json.loads((folder / "certificate.json").read_text())
    assert [each["uid"] for each in document["approved"]] == [FIRST, SECOND]
    assert [each["destroyed"] for each in document["objects"]] == [True]
    assert "legal agrees" in (folder / "certificate.html").read_text()
    with open(folder / "certificate.json", "rb") as stdin:
        signers, signature = site.archive / "keys/allowed_signers", folder / "certificate.json.sig"
        verify = ["ssh-keygen", "-Y", "verify", "-f", signers, "-I", "archiver@localhost", "-n", "git"]
        subprocess.run([*verify, "-s", signature], stdin=stdin, check=True, capture_output=True)


def check_clone(site: Site, tmp_path: Path) -> None:
    env = {**os.environ, "HOME": os.fspath(tmp_path), "GIT_LFS_SKIP_SMUDGE": "0"}

    def git(*arguments: str, cwd: Path = tmp_path) -> None:
        subprocess.run(["git", *arguments], cwd=cwd, env=env, check=True, capture_output=True)

    git("config", "--global", "--add", "safe.directory", os.fspath(site.repository))
    git("config", "--global", "safe.bareRepository", "all")
    git("lfs", "install", "--skip-repo")
    git("-c", "lfs.skipdownloaderrors=true", "clone", "--no-checkout", os.fspath(site.repository), "clone")
    git("-c", "lfs.skipdownloaderrors=true", "checkout", "推荐/首次/v1", cwd=tmp_path / "clone")
    materials = tmp_path / "clone/materials"
    assert (materials / "自评估 报告").read_text().startswith("version https://git-lfs"), (
        "the pointer is the marker"
    )
    assert (materials / "身份证").read_text() == "scan"
    git("-c", "lfs.skipdownloaderrors=true", "checkout", "推荐/首次/v2", cwd=tmp_path / "clone")
    assert (materials / "自评估 报告").read_text() == "second draft"


def approved(site: Site) -> tuple[str, float]:
    """An approved plan, and a time at which it may run."""
    end(site)
    with Served(site, FOUR_YEARS) as later:
        name = later.json("dispose", "plan", uid=PLANNER)["plan"]
        for uid in (FIRST, SECOND):
            later.run("dispose", "approve", name, "--reason", "period over", uid=uid)
    return name, FOUR_YEARS + 8


@pytest.mark.parametrize("change", ["hold", "same content again", "submit"])
def test_a_plan_that_does_not_fit_the_archive_any_more_is_refused(site: Site, change: str) -> None:
    name, days = approved(site)
    later = Later(site, days)
    if change == "hold":
        later.run("hold", "place", "audit-2030", "推荐/首次", "--reason", "inspection")
    elif change == "submit":
        later.run("submit", "推荐/首次", "--version", "1", "--on", "2026-07-01")
    else:
        site.write("活/首次/新", "first draft")
        later.run("run", "--once", "--settle", "0.05")
    with Served(site, days) as served:
        assert "changed" in served.run("dispose", "approve", name, "--reason", "r", code=4, uid=STRANGER).stderr
    refused = later.run("dispose", "run", name, code=4).stderr
    assert "changed" in refused
    assert site.events()[-1]["action"] == "refuse"
    site.verified()
    site.run("restore", "推荐/首次/v1", "--to", site.root / "back")
    again = site.git("log", "--oneline", "--grep=dispose-begin", "journal").stdout
    assert again == ""


def killed_at(site: Site, step: str, days: float, name: str) -> None:
    """Kill the run of a plan at a step."""
    killer = (
        "import os, signal, sys\n"
        "def listen(event, arguments):\n"
        f"    if event == 'archiver.step' and arguments[0] == {step!r}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "sys.addaudithook(listen)\n"
        "from tests.support.later import shift\n"
        "from archiver.cli.main import main\n"
        f"shift({days})\n"
        f"main(['--config', {os.fspath(site.config)!r}, 'dispose', 'run', {name!r}])\n"
    )
    killed = subprocess.run([sys.executable, "-c", killer], cwd=CHECKOUT, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.mark.parametrize("step", ["index updated", "content destroyed"])
def test_an_interrupted_disposal_is_finished_by_running_it_again(site: Site, step: str) -> None:
    name, days = approved(site)
    killed_at(site, step, days, name)
    assert {each["code"] for each in site.findings()} == {"A054"}
    site.run("restore", "推荐/首次/v1", "--to", site.root / "gone", code=7)
    # Meanwhile the same bytes came in again: now they are needed.
    if step == "index updated":
        site.write("活/首次/新", "first draft")
        Later(site, days).run("run", "--once", "--settle", "0.05")
    done = Later(site, days).run("dispose", "run", name).stdout
    notes = site.verified_notes()
    if step == "index updated":
        assert "needed again" in done
        site.run("restore", "活/首次", "--path", "新", "--to", site.root / "new", code=7)
        site.run("restore", "活/首次/v2", "--path", "新", "--to", site.root / "new")
        assert notes == []
    else:
        assert len(notes) == 1


def test_without_a_journal_nothing_is_deleted(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    name, days = approved(site)
    objects = set((site.repository / "lfs/objects").rglob("*"))
    wrapper = site.root / "bin" / "git"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\ncase "$*" in *update-ref*) exit 1 ;; esac\nexec {shutil.which("git")} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{wrapper.parent}:{os.environ['PATH']}")
    Later(site, days).run("dispose", "run", name, code=8)
    monkeypatch.undo()
    assert set((site.repository / "lfs/objects").rglob("*")) == objects
    site.verified()


@pytest.mark.parametrize("key", ["lost", "another"])
def test_without_the_key_nothing_is_deleted(site: Site, tmp_path: Path, key: str) -> None:
    """The certificate would be missing, or be signed by nobody that the journal names, for ever."""
    name, days = approved(site)
    signing_key = site.archive / "keys/signing_key"
    kept = signing_key.read_bytes()
    if key == "lost":
        signing_key.unlink()
    else:
        other = Site(tmp_path / "other").init()
        signing_key.write_bytes((other.archive / "keys/signing_key").read_bytes())
    before = site.events()
    refused = Later(site, days).run("dispose", "run", name, code=8).stderr
    assert "Nothing was recorded" in refused
    assert site.events() == before
    signing_key.write_bytes(kept)
    signing_key.chmod(0o600)
    site.run("restore", "推荐/首次/v1", "--to", site.root / "back")
    Later(site, days).run("dispose", "run", name)
    assert len(site.verified_notes()) == 1


def forge_approval(site: Site, name: str) -> int:
    """Append the second approval with plain git, as somebody with write access and without the key."""
    newest = site.events()[-1]
    first = next(event for event in reversed(site.events()) if event["action"] == "dispose-approve")
    change = in_chain_of(site, "推荐", "dispose-approve", **first["details"])

    def as_another(event: dict[str, Any]) -> None:
        change(event)
        # The clock does not go back, even if the service has journalled something since the first approval.
        event.update(object=name, actor={"uid": SECOND, "user": "second"}, clock=newest["clock"])

    return append(site, as_another)


def test_an_approval_that_nobody_signed_counts_for_nothing(site: Site) -> None:
    end(site)
    with Served(site, FOUR_YEARS) as later:
        name = later.json("dispose", "plan", uid=PLANNER)["plan"]
        later.run("dispose", "approve", name, "--reason", "period over", uid=FIRST)
    seq = forge_approval(site, name)
    later = Later(site, FOUR_YEARS + 8)
    # What is written next is signed, and its head covers the forged event.
    later.run("checkpoint")
    refused = later.run("dispose", "run", name, code=4).stderr
    assert f"(journal event {seq}) was written without a signature" in refused
    assert "dispose-begin" not in [event["action"] for event in site.events()]
    site.run("restore", "推荐/首次/v1", "--to", site.root / "back")


def test_a_disposal_with_an_approval_that_nobody_signed_is_a_finding(site: Site) -> None:
    """As a program would have run it that does not ask for the signature."""
    end(site)
    with Served(site, FOUR_YEARS) as later:
        plan = later.json("dispose", "plan", uid=PLANNER)
        later.run("dispose", "approve", plan["plan"], "--reason", "period over", uid=FIRST)
    seq = forge_approval(site, plan["plan"])
    approval = next(event for event in site.events() if event["action"] == "dispose-approve")["details"]
    versions = [each["tag"] for each in plan["going"]]
    begun = {"plan_sha256": approval["plan_sha256"], "of_filing": approval["of_filing"], "versions": versions}
    change = in_chain_of(site, "推荐", "dispose-begin", **begun)
    append(
        site,
        lambda event: (change(event), event.update(object=plan["plan"])),
        head=SignedBy(site.archive / "keys"),
    )
    details = [
        each["message"] for each in site.findings() if (each["code"], each["object"]) == ("A055", plan["plan"])
    ]
    assert any(f"its approval in event {seq} was written without a signature" in each for each in details)


def test_without_the_key_nothing_is_approved(site: Site) -> None:
    end(site)
    with Served(site, FOUR_YEARS) as later:
        name = later.json("dispose", "plan", uid=PLANNER)["plan"]
        signing_key = site.archive / "keys/signing_key"
        kept = signing_key.rename(site.root / "signing_key")
        assert (
            "Nothing was recorded"
            in later.run("dispose", "approve", name, "--reason", "r", code=8, uid=FIRST).stderr
        )
        kept.rename(signing_key)
        later.run("dispose", "approve", name, "--reason", "r", uid=FIRST)


def test_a_disposal_that_lost_its_key_halfway_is_finished_with_a_key(site: Site, tmp_path: Path) -> None:
    name, days = approved(site)
    killed_at(site, "content destroyed", days, name)
    signing_key = site.archive / "keys/signing_key"
    kept = signing_key.read_bytes()
    other = Site(tmp_path / "other").init()
    signing_key.write_bytes((other.archive / "keys/signing_key").read_bytes())
    before = site.events()
    assert "Nothing was recorded" in Later(site, days).run("dispose", "run", name, code=8).stderr
    assert site.events() == before
    signing_key.write_bytes(kept)
    Later(site, days).run("dispose", "run", name)
    assert len(site.verified_notes()) == 1


def test_nothing_is_deleted_from_a_damaged_archive(site: Site) -> None:
    name, days = approved(site)
    site.git("tag", "stray", "refs/tags/推荐/首次/v2")
    refused = Later(site, days).run("dispose", "run", name, code=4).stderr
    assert "A022" in refused
    newest = site.events()[-1]
    assert newest["action"] == "refuse"
    # Where a ref is missing nothing is written at all, not even that.
    site.git(*UNGUARDED, "tag", "-d", "推荐/首次/v2")
    assert "A020" in Later(site, days).run("dispose", "run", name, code=4).stderr
    assert site.events()[-1] == newest


def test_content_that_comes_in_again_after_a_disposal_is_archived_again(site: Site) -> None:
    name, days = approved(site)
    later = Later(site, days)
    later.run("dispose", "run", name)
    site.write("活/首次/新", "first draft")
    later.run("run", "--once", "--settle", "0.05")
    assert site.verified_notes() == []
    later.run("restore", "活/首次/v2", "--to", site.root / "back")
    assert (site.root / "back/新").read_text() == "first draft"


def test_content_whose_last_open_place_is_disposed_of_is_closed(site: Site) -> None:
    """The service may not start again for months, and until then the next disposal would be refused for A059."""
    site.write("活/首次/工资表", "first draft")
    site.catch_up()
    site.run("restrict", "活/首次/v2:工资表", "--reason", "payroll")
    name, days = approved(site)
    [listed] = [each for each in site.json("show", "活/首次/v2")["materials"] if each["path"] == "工资表"]
    sha256 = listed["sha256"]
    content = site.repository / "lfs/objects" / sha256[:2] / sha256[2:4] / sha256
    assert content.stat().st_mode & 0o777 == 0o444, "another filing has it, without a restriction"
    Later(site, days).run("dispose", "run", name)
    assert content.stat().st_mode & 0o777 == 0o400
    site.verified()


def test_a_live_filing_and_a_short_time_are_refused_and_journalled(site: Site) -> None:
    for arguments in (["dispose", "plan"], ["dispose", "plan", "推荐/首次/v1"], ["dispose", "run", "D1"]):
        site.run(*arguments, code=4)
        event = site.events()[-1]
        assert (event["action"], event["object"]) == ("refuse", " ".join(arguments[:2]))
    site.run("dispose", "approve", "D1", "--reason", "r", code=7)
    assert site.json("dispose", "list") == []
    site.run("dispose", "certificate", "D1", "--to", "x", code=7)


def test_a_submit_makes_an_ended_filing_live_again(site: Site) -> None:
    end(site)
    assert site.json("explain", "推荐/首次/v1")["open"] == []
    assert site.json("explain", "推荐/首次/v2")["open"] == ["the version is the latest of its submission folder"]
    time.sleep(0.01)
    site.run("submit", "推荐/首次", "--on", "2026-07-01")
    explained = site.json("explain", "推荐/首次/v1")
    assert explained["open"] == ["the filing is live"]
    assert [each["rule"] for each in explained["reasons"]] == ["captured", "submitted", "superseded", "ended"]
    site.run("filing", "end", "nobody", "--on", "2026-06-01", "--reason", "r", code=7)
    site.run("filing", "end", "推荐", "--on", "2026-06-01", "--reason", " ", code=2)
