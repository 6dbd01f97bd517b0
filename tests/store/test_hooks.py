"""git in the hands of a careless user: refused, and nothing changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from archiver.errors import ArchiverError
from archiver.store.git import hooks, lfs_additions, restore_settings
from archiver.store.git.repository import Repository
from tests.support.git_three import IN_FILES
from tests.support.other_user import become_user
from tests.support.site import CHECKOUT, UNGUARDED, Site, open_the_way, tree, wait_until


@pytest.fixture
def two(site: Site) -> Site:
    for text in ("one", "two"):
        site.write("f/s/a.txt", text)
        site.catch_up()
    return site


def refs(site: Site) -> str:
    return site.git("for-each-ref").stdout


ATTEMPTS = [
    ["tag", "-d", "f/s/v1"],
    ["tag", "-f", "f/s/v1", "f/s/v2"],
    ["branch", "-D", "filings/f/s"],
    ["branch", "-f", "filings/f/s", "f/s/v1"],
    ["update-ref", "-d", "refs/heads/filings/f/s"],
    ["update-ref", "-d", "refs/tags/f/s/v1"],
    ["update-ref", "refs/heads/filings/f/s", "f/s/v1^{commit}"],
    ["update-ref", "refs/heads/journal", "journal~1"],
    ["update-ref", "-d", "refs/heads/journal"],
]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("attempt", ATTEMPTS, ids=" ".join)
def test_deleting_and_moving_back_are_refused(two: Site, attempt: list[str], packed: bool) -> None:
    if packed:
        two.git("pack-refs", "--all")
    before = refs(two)
    done = two.git(*attempt, check=False)
    assert done.returncode != 0
    assert "refused" in done.stderr or "used by worktree" in done.stderr
    assert refs(two) == before
    two.verified()


def test_packing_refs_is_allowed(two: Site) -> None:
    before = refs(two)
    two.git("pack-refs", "--all", "--prune")
    assert (two.repository / "packed-refs").exists()
    assert not (two.repository / "refs/tags/f/s/v1").exists()
    assert refs(two) == before
    two.verified()
    two.write("f/s/a.txt", "three")
    two.catch_up()
    assert two.tags()[0] == "f/s/v3"
    two.verified()


@pytest.mark.parametrize(
    "refspec", [":refs/tags/f/s/v1", "+f/s/v1^{commit}:refs/heads/filings/f/s", "f/s/v1:refs/tags/x"]
)
def test_pushes_are_refused(two: Site, refspec: str) -> None:
    clone = two.root / "clone.git"
    subprocess.run(
        ["git", *IN_FILES, "clone", "-q", "--mirror", two.repository, clone], check=True, capture_output=True
    )
    before = refs(two)
    push = ["git", f"--git-dir={clone}", "push", two.repository, refspec]
    done = subprocess.run(push, capture_output=True, text=True)
    assert done.returncode != 0
    assert "archiver: pushes into the archive are refused" in done.stderr
    assert refs(two) == before
    two.verified()


@pytest.mark.parametrize(
    "attempt", [["gc", "--prune=now"], ["prune", "--expire=now"], ["repack", "-a", "-d", "-q"]]
)
def test_nothing_is_pruned(two: Site, attempt: list[str]) -> None:
    two.git("hash-object", "-w", "--stdin", check=False)
    two.git(*attempt, check=False)
    two.verified()
    assert two.git("cat-file", "-t", "f/s/v1").stdout == "tag\n"


def test_a_refusal_by_the_hook_is_journalled_by_the_daemon(two: Site, daemon: subprocess.Popen[str]) -> None:
    two.git("tag", "-d", "f/s/v1", check=False)
    wait_until(lambda: "refuse git" in two.git("log", "--format=%s", "journal").stdout)
    assert not (two.archive / "spool" / "refused").exists()


def test_bypassing_every_hook_is_found(two: Site) -> None:
    two.git(*UNGUARDED, "tag", "-d", "f/s/v1")
    assert {("A020", "refs/tags/f/s/v1")} == {(f["code"], f["object"]) for f in two.findings()}


# --- settings and hooks that are not ours


def planted(site: Site, *lines: str) -> Path:
    """Settings that make git run a program for an object that is missing; returns the file it would make."""
    trace = site.root / "it-ran"
    program = site.root / "program"
    program.write_text(f'#!/bin/sh\ntouch "{trace}"\nexit 1\n')
    program.chmod(0o755)
    text = (site.repository / "config").read_text()
    added = [line.format(program=program) for line in lines]
    (site.repository / "config").write_text("\n".join([text, *added, ""]))
    return trace


PROMISOR = (
    '[remote "origin"]\n\turl = ssh://x/y\n\tpromisor = true\n\tpartialclonefilter = blob:none',
    "[core]\n\trepositoryformatversion = 1\n\tsshCommand = {program}",
    "[extensions]\n\tpartialClone = origin",
)


def lose_newest_event(site: Site) -> None:
    """Make git miss an object that every command asks for."""
    for path in (site.repository / "objects").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            path.unlink()


def events(site: Site, action: str) -> list[dict[str, Any]]:
    """The details of the events of that kind, oldest first."""
    return [event["details"] for event in site.events(action)]


def as_before(site: Site) -> None:
    """The settings as the release before wrote them."""
    text = hooks.CONFIG.replace("[lfs]\n\tpruneverifyremotealways = true\n", "")
    text = text[: text.index("[hook")].replace("logAllRefUpdates = false", "logAllRefUpdates = always")
    assert hashlib.sha256(text.encode()).hexdigest() in hooks._EARLIER_DIGESTS["config"]
    (site.repository / "config").write_text(text)


def test_a_program_in_the_archives_settings_is_not_run(two: Site) -> None:
    trace = planted(two, *PROMISOR)
    lose_newest_event(two)
    assert (
        subprocess.run(
            ["git", "-c", "safe.directory=*", f"--git-dir={two.repository}", "fsck"], capture_output=True
        ).returncode
        != 0
    )
    two.git("cat-file", "-e", "journal^{tree}", check=False)
    assert trace.exists(), "this git would have run it"
    trace.unlink()
    for command in (["status"], ["log"], ["verify"], ["restore", "f/s/v1", "--to", two.root / "back"]):
        two.run(*command, code=None)
        assert not trace.exists(), command


def test_a_program_is_not_run_by_any_command_of_ours(two: Site) -> None:
    """What root is protected by: git reads no settings of the archive."""
    trace = planted(two, *PROMISOR, "[core]\n\thooksPath = {program}\n\tfsmonitor = {program}")
    lose_newest_event(two)
    repository = Repository(two.repository)
    for ask in (lambda: repository.resolve("refs/heads/journal"), repository.fsck, repository.refs):
        with contextlib.suppress(ArchiverError):
            ask()
    repository.close()
    assert not trace.exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("config", lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))),
        ("config", lambda path: path.write_bytes(b"")),
        ("config", lambda path: path.write_bytes(path.read_bytes() + b"[include]\n\tpath = /tmp/x\n")),
        ("config", lambda path: (path.rename(f"{path}.real"), path.symlink_to("config.real"))),
        ("config", lambda path: (path.unlink(), os.mkfifo(path))),
        ("config", lambda path: (path.unlink(), path.mkdir())),
        ("config", lambda path: path.write_bytes(path.read_bytes() + b"#" * (1 << 20))),
        ("HEAD", lambda path: (path.rename(f"{path}.real"), path.symlink_to("HEAD.real"))),
        ("hooks/pre-receive", lambda path: path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))),
        ("hooks/reference-transaction", lambda path: path.write_text("#!/bin/sh\nexit 0\n")),
        ("hooks/pre-push", lambda path: path.write_text("#!/bin/sh\ngit lfs pre-push\n")),
        ("hooks/post-index-change", lambda path: path.symlink_to("/bin/true")),
        ("hooks", lambda path: (path.rename(f"{path}.real"), path.symlink_to("hooks.real"))),
    ],
)
def test_settings_and_hooks_that_nobody_knows_are_reported_and_stop_nothing(
    two: Site, name: str, change: Callable[[Path], object]
) -> None:
    change(two.repository / name)
    two.write("f/s/a.txt", "three")
    two.catch_up()
    assert two.tags()[0] == "f/s/v3"
    assert two.json("status")["protection"] == "detect-only"
    two.run("status", "--check", code=9)
    assert two.findings()
    two.run("maintain", "--restore-settings")
    # What led elsewhere is gone; the files it led to are left to whoever made them.
    for stray in two.repository.glob("*.real"):
        stray.unlink() if stray.is_file() else shutil.rmtree(stray)
    [details] = events(two, "repository-settings")
    assert details["replaced"] == [name]
    assert details["reason"] == "foreign"
    assert len(list((two.archive / "set-aside").iterdir())) == 1
    assert (two.archive / "set-aside").stat().st_mode & 0o777 == 0o700
    two.verified()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("commondir", "/tmp/elsewhere\n"),
        ("objects/info/alternates", "/x\n"),
        ("objects/info/http-alternates", "/x\n"),
        ("shallow", f"{'1' * 40}\n"),
        ("info/grafts", f"{'1' * 40}\n"),
        ("config", "[core]\n\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = sha256\n"),
        ("config", "[core]\n\trepositoryformatversion = 2\n"),
    ],
)
def test_what_gives_objects_another_meaning_is_refused_before_git_runs(two: Site, name: str, text: str) -> None:
    path = two.repository / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    for command in (["status", "--check"], ["run", "--once"], ["log"]):
        done = two.run(*command, code=8)
        assert "Nothing was changed" in done.stderr
        command = done.stderr.strip().rpartition(": ")[2]
        assert command == "archiver maintain --restore-settings"
    assert json.loads(two.run("verify", "--json", code=8).stdout)["findings"]
    two.run("maintain", "--restore-settings")
    [details] = events(two, "repository-settings")
    assert details["replaced"] == [name]
    two.verified()


def test_what_stood_there_is_kept_and_named_in_the_journal(two: Site) -> None:
    trace = planted(two, *PROMISOR)
    before = (two.repository / "config").read_bytes()
    two.run("maintain", "--restore-settings")
    [kept] = (two.archive / "set-aside").iterdir()
    assert kept.read_bytes() == before
    assert events(two, "repository-settings")[0]["found"] == {"config": hashlib.sha256(before).hexdigest()}
    assert not trace.exists()
    assert "has archiver's own settings and hooks" in two.run("maintain", "--restore-settings").stdout
    assert len(events(two, "repository-settings")) == 1
    two.verified()


def test_settings_of_an_earlier_release_are_read_and_replaced_by_the_next_writing(two: Site) -> None:
    as_before(two)
    two.verified()
    assert two.json("status")["protection"] == "permissions"
    assert "earlier release" in two.run("verify").stdout
    two.catch_up()
    assert events(two, "repository-settings") == [
        {"replaced": ["config"], "reason": "earlier release", "found": {"config": ANY}}
    ]
    assert (two.repository / "config").read_text() == hooks.CONFIG
    two.catch_up()
    assert len(events(two, "repository-settings")) == 1
    assert "earlier release" not in two.run("verify").stdout


@pytest.mark.needs("root", "another user")
def test_others_read_on_and_change_nothing(tmp_path: Path) -> None:
    open_the_way(tmp_path)
    site = Site(tmp_path / "site").init()
    site.configure(access={"read_group": "nogroup"})
    site.write("f/s/a.txt", "one")
    site.catch_up()
    as_before(site)
    before = (site.repository / "config").read_bytes()
    run = [*become_user(65533), sys.executable, "-m", "archiver", "--config", site.config]
    for command in (["log"], ["verify"]):
        done = subprocess.run([*run, *command], cwd=CHECKOUT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert (site.repository / "config").read_bytes() == before
    trace = planted(site, *PROMISOR)
    for command, code in ((["log"], 0), (["verify"], 5), (["maintain", "--restore-settings"], 8)):
        done = subprocess.run([*run, *command], cwd=CHECKOUT, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
    assert not trace.exists()
    assert not (site.archive / "set-aside").exists()


@pytest.mark.needs("git-lfs")
@pytest.mark.parametrize("old", [False, True])
def test_what_git_lfs_adds_by_itself_is_known(two: Site, old: bool) -> None:
    if old:
        as_before(two)
    for command in (["lfs", "ls-files", "f/s/v1"], ["lfs", "fsck", "--dry-run", "f/s/v1"], ["lfs", "update"]):
        two.git(*command)
    assert (two.repository / "hooks/post-merge").exists()
    two.verified()
    assert "git-lfs ran in the archive" in two.run("verify").stdout
    two.write("f/s/a.txt", "three")
    two.catch_up()
    assert two.tags()[0] == "f/s/v3"
    [details] = events(two, "repository-settings")
    assert details["reason"] == "git-lfs"
    of_git_lfs = [f"hooks/{name}" for name in ("post-checkout", "post-commit", "post-merge", "pre-push")]
    assert details["replaced"] == ["config", *of_git_lfs]
    assert sorted(os.listdir(two.repository / "hooks")) == ["pre-receive", "reference-transaction"]
    assert two.git("config", "lfs.pruneverifyremotealways").stdout == "true\n"
    two.verified()


def test_every_release_of_git_lfs_is_known() -> None:
    assert len(lfs_additions.hook_texts("post-merge")) == 4
    assert len(lfs_additions.hook_texts("pre-push")) == 9
    assert lfs_additions.hook_texts("reference-transaction") == set()
    for hook in ("post-checkout", "pre-push"):
        for text in lfs_additions.hook_texts(hook):
            assert text.startswith(b"#!/bin/sh\n")
            assert f" {hook} ".encode() in text or b" push " in text


@pytest.mark.parametrize("loss", ["hook", "hooks", "bit", "config", "head"])
def test_a_guard_rail_that_is_gone_is_found_and_put_back(two: Site, loss: str) -> None:
    repository = two.repository
    if loss == "hooks":
        shutil.rmtree(repository / "hooks")
    elif loss == "bit":
        (repository / "hooks/pre-receive").chmod(0o644)
    elif loss == "head":
        (repository / "HEAD").write_bytes(b"ref: refs/heads/journal\r\n")
    else:
        (repository / {"hook": "hooks/pre-receive", "config": "config"}[loss]).unlink()
    code = {"config": "A001", "head": "A003"}.get(loss, "A002")
    assert {each["code"] for each in two.findings()} == {code}
    assert two.json("status")["protection"] == "detect-only"
    two.catch_up()
    two.verified()
    assert len(events(two, "repository-settings")) == 1
    assert two.json("status")["protection"] == "permissions"


def test_the_running_daemon_notices_and_goes_on_after_the_command(
    two: Site, daemon: subprocess.Popen[str]
) -> None:
    alternates = two.repository / "objects/info/alternates"
    alternates.parent.mkdir(exist_ok=True)
    alternates.write_text("/x\n")
    two.write("f/s/a.txt", "three")
    two.run("status", "--check", code=8)
    time.sleep(1)
    two.run("maintain", "--restore-settings")
    wait_until(lambda: two.tags()[0] == "f/s/v3", 40)
    two.verified()


def test_an_archive_that_comes_back_altered_is_reported(two: Site) -> None:
    process = two.start("--settle", "0.3")
    wait_until(lambda: two.json("status")["daemon"])
    away = two.root / "away"
    two.archive.rename(away)
    # The service looks again every second.
    time.sleep(3)
    (away / "archive.git/commondir").write_text("/tmp/elsewhere\n")
    away.rename(two.archive)
    time.sleep(3)
    process.send_signal(signal.SIGINT)
    out = process.communicate(timeout=30)[0]
    assert "is missing. No archived data was lost" in out
    assert "commondir in" in out
    assert "another history" in out


def test_a_kill_between_replacing_and_journalling_loses_no_event(two: Site) -> None:
    as_before(two)
    restore_settings.put_back(two.archive, foreign=False)
    assert hooks.deviations(two.repository) == []
    two.run("reindex")
    assert [each["replaced"] for each in events(two, "repository-settings")] == [["config"]]
    assert not (two.archive / "settings.replaced").exists()


def test_a_clones_own_settings_are_not_obeyed_when_it_is_adopted(two: Site) -> None:
    fresh = Site(two.root / "fresh")
    fresh.archive.mkdir()
    shutil.copytree(two.archive / "keys", fresh.archive / "keys")
    subprocess.run(["git", *IN_FILES, "clone", "-q", "--mirror", two.repository, fresh.repository], check=True)
    shutil.copytree(two.repository / "lfs", fresh.repository / "lfs")
    trace = planted(fresh, PROMISOR[1], "[core]\n\thooksPath = {program}\n\tfsmonitor = {program}")
    fresh.init("--adopt")
    assert not trace.exists()
    fresh.verified()


def test_nor_when_it_is_refused(two: Site) -> None:
    """Objects are missing from a partial clone, which git would fetch by a command that its settings name."""
    fresh = Site(two.root / "fresh")
    fresh.archive.mkdir()
    shutil.copytree(two.archive / "keys", fresh.archive / "keys")
    subprocess.run(["git", *IN_FILES, "clone", "-q", "--mirror", two.repository, fresh.repository], check=True)
    trace = planted(fresh, *PROMISOR)
    before = tree(fresh.archive)
    words = ("init", "--archive", fresh.archive, "--watch", fresh.watch, "--adopt")
    assert "made with --filter or --depth" in fresh.run(*words, code=8).stderr
    assert tree(fresh.archive) == before
    assert not trace.exists()
