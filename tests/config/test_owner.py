"""An archiver.toml that lies in the current folder: whose it must be, and when it is refused."""

from __future__ import annotations

import grp
import os
import pwd
import re
import struct
import subprocess
from pathlib import Path

import pytest

from archiver.config import loader
from archiver.errors import ConfigError
from tests.support.site import COMMAND, Site

pytestmark = pytest.mark.needs("root")

ALICE, BOB, SERVICE, SHARED = 64101, 64102, 64103, 64200
#: Who has a name here, and the members of groups beside those whose primary group it is.
USERS = {0: "root", ALICE: "alice", BOB: "bob", SERVICE: "service"}
GROUPS = {0: ("root", []), ALICE: ("alice", []), BOB: ("bob", ["alice"]), SERVICE: ("service", ["service"])}
GROUPS[SHARED] = ("shared", ["alice"])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that everybody may write, an archive of the service's, and made-up users."""

    def user(key: int | str) -> pwd.struct_passwd:
        uid = next((uid for uid, name in USERS.items() if key in (uid, name)), None)
        if uid is None:
            raise KeyError(key)
        return pwd.struct_passwd((USERS[uid], "x", uid, uid, "", "/", "/bin/sh"))

    def group(gid: int) -> grp.struct_group:
        name, members = GROUPS[gid]
        return grp.struct_group((name, "x", gid, members))

    monkeypatch.setattr(pwd, "getpwall", lambda: [user(uid) for uid in USERS])
    monkeypatch.setattr(pwd, "getpwnam", user)
    monkeypatch.setattr(pwd, "getpwuid", user)
    monkeypatch.setattr(grp, "getgrgid", group)
    folder = tmp_path / "here"
    folder.mkdir()
    folder.chmod(0o1777)
    for name in ("archive", "watched"):
        (folder / name).mkdir()
    os.chown(folder / "archive", SERVICE, SERVICE)
    monkeypatch.chdir(folder)
    return folder


def plant(path: Path, owner: int = 0, group: int = 0, mode: int = 0o644) -> Path:
    path.write_text('[archive]\npath = "archive"\n[watch]\npath = "watched"\n', encoding="utf-8")
    os.chown(path, owner, group)
    path.chmod(mode)
    return path


def read(caller: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why the file is not used; empty: it is."""
    monkeypatch.setattr(os, "geteuid", lambda: caller)
    try:
        loader.find_and_load_config(None, {})
    except ConfigError as problem:
        return str(problem)
    return ""


@pytest.mark.parametrize(
    ("caller", "owner", "group", "mode", "reason"),
    [
        (0, 0, 0, 0o644, ""),
        (0, 0, 0, 0o664, ""),
        (0, 0, ALICE, 0o644, ""),
        (0, ALICE, ALICE, 0o644, "belongs to alice"),
        (0, SERVICE, SERVICE, 0o600, "belongs to service"),
        (0, 64999, 0, 0o600, "belongs to uid 64999"),
        (0, 0, ALICE, 0o664, "the group alice can write to it"),
        (0, 0, SHARED, 0o664, "the group shared can write to it"),
        (0, 0, 0, 0o646, "everyone can write to it"),
        (ALICE, ALICE, ALICE, 0o600, ""),
        (ALICE, ALICE, ALICE, 0o664, ""),
        (ALICE, ALICE, SERVICE, 0o664, ""),
        (ALICE, 0, 0, 0o644, ""),
        (ALICE, SERVICE, SERVICE, 0o664, ""),
        (ALICE, BOB, BOB, 0o644, "belongs to bob"),
        (ALICE, ALICE, SHARED, 0o664, "the group shared can write to it"),
        (ALICE, ALICE, SHARED, 0o644, ""),
        (ALICE, ALICE, BOB, 0o664, "the group bob can write to it"),
        (ALICE, 0, BOB, 0o664, "the group bob can write to it"),
        (ALICE, ALICE, ALICE, 0o666, "everyone can write to it"),
    ],
)
def test_whose_it_must_be(
    here: Path, monkeypatch: pytest.MonkeyPatch, caller: int, owner: int, group: int, mode: int, reason: str
) -> None:
    plant(here / "archiver.toml", owner, group, mode)
    said = read(caller, monkeypatch)
    assert reason in said
    assert bool(said) == bool(reason)


@pytest.mark.parametrize("caller", [0, ALICE])
def test_a_link_has_to_belong_to_somebody_trusted_too(
    here: Path, monkeypatch: pytest.MonkeyPatch, caller: int
) -> None:
    """Root's own file for another archive, under the name that root's command looks for."""
    elsewhere = plant(here / "other.toml")
    link = here / "archiver.toml"
    link.symlink_to(elsewhere)
    assert read(caller, monkeypatch) == ""
    os.chown(link, BOB, BOB, follow_symlinks=False)
    assert "it is a link that belongs to bob" in read(caller, monkeypatch)
    os.chown(link, 0, 0, follow_symlinks=False)
    os.chown(elsewhere, BOB, BOB)
    assert "it belongs to bob" in read(caller, monkeypatch)


def test_a_second_name_counts_where_others_may_have_given_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.link(plant(here / "other.toml"), here / "archiver.toml")
    assert "it is a hard link" in read(0, monkeypatch)
    here.chmod(0o755)
    assert read(0, monkeypatch) == ""
    os.chown(here, BOB, BOB)
    assert "it is a hard link" in read(0, monkeypatch)


def test_an_acl_that_lets_another_write_is_seen(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group's bits of such a file are the mask of all."""
    path = plant(here / "archiver.toml")
    entries = [(1, 6, -1), (2, 6, BOB), (4, 4, -1), (16, 6, -1), (32, 4, -1)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", acl)
    assert oct(path.stat().st_mode)[-3:] == "664"
    assert "can write to it" in read(0, monkeypatch)


@pytest.mark.parametrize("owner", [0, ALICE])
def test_a_group_that_is_another_users_primary_one_is_not_private(
    here: Path, monkeypatch: pytest.MonkeyPatch, owner: int
) -> None:
    """Such a user stands in no list of members."""
    plant(here / "archiver.toml", owner, owner, 0o664)
    guest = pwd.struct_passwd(("guest", "x", 64301, owner, "", "/", "/bin/sh"))
    everybody = [*pwd.getpwall(), guest]
    monkeypatch.setattr(pwd, "getpwall", lambda: everybody)
    assert f"the group {USERS[owner]} can write to it" in read(owner, monkeypatch)


def test_a_folder_of_that_name_is_no_configuration(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "archiver.toml").mkdir()
    assert "it is not a regular file" in read(0, monkeypatch)


def test_what_is_no_file_is_not_waited_for(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(here / "archiver.toml")
    assert "it is not a regular file" in read(0, monkeypatch)


@pytest.fixture
def planted(site: Site) -> Site:
    """Somebody else's settings, in the folder where root types a command."""
    site.write("f/s/a", "1")
    os.chown(site.config, ALICE, ALICE)
    return site


def run(site: Site, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *words], cwd=site.root, env={**os.environ, **environment}, capture_output=True, text=True
    )


def test_a_planted_file_is_refused_by_every_command_with_the_reason(planted: Site) -> None:
    before = sorted(planted.root.rglob("*"))
    for words in (["run", "--once"], ["status"], ["log"], ["hold", "list"], ["service", "install", "--print"]):
        done = run(planted, *words)
        assert done.returncode == 3, words
        assert re.search(rf"{planted.config} was not used: it belongs to uid {ALICE}\. Nothing was", done.stderr)
    assert sorted(planted.root.rglob("*")) == before


def test_one_that_is_named_is_used_whoever_owns_it(planted: Site) -> None:
    assert run(planted, "--config", "archiver.toml", "log").returncode == 0
    assert run(planted, "log", ARCHIVER_CONFIG="archiver.toml").returncode == 0


def test_completion_does_not_use_it_and_says_nothing(planted: Site) -> None:
    planted.catch_up()
    asked = {"_ARCHIVER_COMPLETE": "bash_complete", "COMP_WORDS": "archiver log ", "COMP_CWORD": "2"}
    assert run(planted, **asked).stdout.strip() == ""
    os.chown(planted.config, 0, 0)
    assert "f/s/v1" in run(planted, **asked).stdout


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_init_writes_one_that_is_used_whatever_the_umask(bare_site: Site, umask: int) -> None:
    site = bare_site
    words = ["init", "--archive", os.fspath(site.archive), "--watch", os.fspath(site.watch)]
    subprocess.run([COMMAND, *words], cwd=site.root, check=True, umask=umask, stdout=subprocess.DEVNULL)
    assert oct(site.config.stat().st_mode)[-3:] == "644"
    assert run(site, "log").returncode == 0
