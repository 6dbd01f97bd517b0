"""The attack list: each attempt is refused, or found by ``verify`` with its number.

docs/threat-model.md has a row for each; a test keeps the two together.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from archiver.verify.findings import MEANING_BY_CODE
from tests.support.site import CHECKOUT, COMMAND, UNGUARDED, Site, tree

THREATS = CHECKOUT / "docs" / "threat-model.md"


@dataclass(frozen=True)
class Attack:
    """Refused, the attempt fails; ``found``: by the number that verify reports; ``harmless``: it changes nothing."""

    name: str
    attempt: Callable[[Site], int | None]
    found: str = ""
    harmless: bool = False


def git(*arguments: str) -> Callable[[Site], int]:
    return lambda site: site.git(*arguments, check=False).returncode


def unhooked(*arguments: str) -> Callable[[Site], int]:
    return git(*UNGUARDED, *arguments)


def archiver(*arguments: object) -> Callable[[Site], int]:
    return lambda site: site.run(*arguments, code=None).returncode


def objects(site: Site) -> list[Path]:
    return sorted(path for path in (site.repository / "lfs/objects").rglob("*") if path.is_file())


def push(*arguments: str) -> Callable[[Site], int]:
    def attempt(site: Site) -> int:
        clone = site.root / "clone"
        run = ["git", "-c", f"safe.directory={site.repository}", "-c", f"safe.directory={clone}"]
        env = {**os.environ, "GIT_LFS_SKIP_SMUDGE": "1", "GIT_LFS_SKIP_PUSH": "1"}
        subprocess.run([*run, "clone", "-q", "--mirror", site.repository, clone], check=True, env=env)
        in_clone = [*run, f"--git-dir={clone}"]
        for ref in ("refs/tags/f/s/v1", "refs/heads/filings/f/s"):
            subprocess.run([*in_clone, "update-ref", ref, "f/s/v2^{commit}"], check=True, env=env)
        return subprocess.run([*in_clone, "push", "-q", *arguments], capture_output=True, env=env).returncode

    return attempt


def links(site: Site) -> None:
    """What a stock git-lfs clone on the same filesystem makes, and a careless chmod of it."""
    second = site.root / "clone-object"
    os.link(objects(site)[0], second)
    second.chmod(0o644)
    second.write_bytes(b"changed")


def lfs_fsck(site: Site) -> None:
    overwrite(objects(site)[0], b"damaged")
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.fspath(site.root / "gitconfig")}
    for setting in (("safe.directory", "*"), ("safe.bareRepository", "all")):
        subprocess.run(["git", "config", "--global", "--add", *setting], cwd=site.root, env=env, check=True)
    subprocess.run(["git", "lfs", "fsck", "f/s/v2"], cwd=site.repository, env=env, capture_output=True)
    assert list((site.repository / "lfs").glob("bad/*")), "git-lfs did not do what it is known for"


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)
    path.chmod(0o444)


def cut_journal(site: Site) -> None:
    """The submission and the checkpoint after it cut off; of what made no ref, only a witness line can tell."""
    site.git(*UNGUARDED, "update-ref", "refs/heads/journal", "journal~2")


def swap_commit(site: Site) -> None:
    tree_ = site.git("rev-parse", "f/s/v2^{tree}").stdout.strip()
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    commit = site.git(*identity, "commit-tree", "-m", "x", tree_).stdout.strip()
    unhooked("update-ref", "refs/heads/filings/f/s", commit)(site)


ATTACKS = [
    Attack("git push --force", push("--force", "origin", "refs/heads/filings/f/s")),
    Attack("git push --delete", push("--delete", "origin", "f/s/v1")),
    Attack("git push --mirror", push("--mirror")),
    Attack("git tag -f", git("tag", "-f", "f/s/v1", "f/s/v2")),
    Attack("git tag -d", git("tag", "-d", "f/s/v1")),
    Attack("git branch -D", git("branch", "-D", "filings/f/s")),
    Attack("git gc --prune=now", git("gc", "--prune=now"), harmless=True),
    Attack("hooks bypassed: tag deleted", unhooked("tag", "-d", "f/s/v1"), "A020"),
    Attack("hooks bypassed: tag moved", unhooked("tag", "-f", "f/s/v1", "f/s/v2^{commit}"), "A021"),
    Attack(
        "hooks bypassed: branch rewound",
        unhooked("update-ref", "refs/heads/filings/f/s", "f/s/v1^{commit}"),
        "A021",
    ),
    Attack("hooks bypassed: commit replaced", swap_commit, "A021"),
    Attack("hooks bypassed: journal cut", cut_journal, "A022"),
    Attack("hooks removed", lambda site: shutil.rmtree(site.repository / "hooks"), "A002"),
    Attack("settings weakened", git("config", "gc.pruneExpire", "now"), "A001"),
    Attack("rm of one object", lambda site: objects(site)[0].unlink(), "A050"),
    Attack("one object altered", lambda site: overwrite(objects(site)[0], b"other"), "A051"),
    Attack("one object truncated", lambda site: overwrite(objects(site)[0], b""), "A051"),
    Attack("a file slipped in", lambda site: overwrite_new(site.repository / "lfs/objects/extra"), "A053"),
    Attack("chmod through a hard link", links, "A052"),
    Attack("git lfs fsck inside the archive", lfs_fsck, "A053"),
    Attack("permissions widened", lambda site: site.archive.chmod(0o777), "A061"),
    Attack(
        "years under 3 on the command line",
        archiver("init", "--archive", "x", "--watch", "watched", "--retention-years", "2"),
    ),
    Attack("dispose before retention has ended", archiver("dispose", "plan", "f/s/v1")),
    Attack("dispose without a plan", archiver("dispose", "run", "D1")),
    Attack("restore over the watched folder", archiver("restore", "f/s/v1", "--to", "watched")),
    Attack("restore into the archive", archiver("restore", "f/s/v1", "--to", "archive/archive.git")),
    Attack("an option for a tag", archiver("show", "--", "--upload-pack=touch injected")),
    Attack("an option for a filing", archiver("log", "--", "-c")),
]


def overwrite_new(path: Path) -> None:
    path.write_bytes(b"x")


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("attacks") / "site").init()
    for number in (1, 2):
        site.write("f/s/a", f"content {number}")
        site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-01")
    return site


@pytest.fixture
def victim(original: Site, tmp_path: Path) -> Site:
    shutil.copytree(original.root, tmp_path / "site", symlinks=True)
    site = Site(tmp_path / "site")
    site.config.write_text(original.config.read_text().replace(os.fspath(original.root), os.fspath(site.root)))
    return site


@pytest.mark.needs("git-lfs")
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_each_attack_is_refused_or_found(victim: Site, attack: Attack) -> None:
    before = tree(victim.watch)
    outcome = attack.attempt(victim)
    assert tree(victim.watch) == before
    assert not (victim.root / "injected").exists()
    if attack.found:
        assert attack.found in {each["code"] for each in victim.findings()}
        return
    assert attack.harmless or outcome not in (0, None), "it was not refused"
    victim.verified()
    victim.run("restore", "f/s/v1", "--to", victim.root / "back")
    assert (victim.root / "back/a").read_text() == "content 1"


@pytest.mark.needs("processes")
def test_reflogs_may_go_and_nothing_is_lost_by_it(victim: Site) -> None:
    """git expires them on command; nothing of the archive rests on reflogs."""
    victim.git("reflog", "expire", "--expire=now", "--all")
    victim.verified()
    victim.run("restore", "f/s/v1", "--to", victim.root / "back")


@pytest.mark.needs("processes")
@pytest.mark.parametrize("years", ["2", "0", "-3", "2.9", "3.5", "nan", "inf", '"three"', "true", "[3]", "1001"])
def test_no_other_years_in_the_configuration(victim: Site, years: str) -> None:
    victim.set("retention", "years", years)
    for arguments in (["run", "--once"], ["dispose", "plan"], ["log"]):
        assert "retention.years" in victim.run(*arguments, code=3).stderr


@pytest.mark.parametrize("years", ["2.5", "nan", "three", ""])
def test_no_other_years_on_the_command_line(bare_site: Site, years: str) -> None:
    place = ["--archive", bare_site.archive, "--watch", bare_site.watch]
    bare_site.run("init", *place, "--retention-years", years, code=2)
    assert not bare_site.archive.exists()


@pytest.mark.needs("processes")
@pytest.mark.parametrize("profiles", ['["cn-2"]', '["cn-algorithm-filing", 2]', "2"])
def test_no_profile_of_ones_own(victim: Site, profiles: str) -> None:
    victim.set("retention", "profiles", profiles)
    assert "retention.profiles" in victim.run("log", code=3).stderr


def test_a_shorter_period_after_the_capture_has_no_effect(site: Site) -> None:
    site.set("retention", "years", 10)
    site.write("f/s/a", "1")
    site.catch_up()
    before = site.json("explain", "f/s/v1")["keep_until"]
    site.run("retention", "accept")
    site.set("retention", "years", 3)
    site.set("retention", "hold_while_live", "false")
    site.catch_up()
    assert site.json("explain", "f/s/v1")["keep_until"] == before
    assert site.json("explain", "f/s/v1")["open"] == ["the filing is live"]


def test_names_that_look_like_options_are_names(site: Site) -> None:
    for filing in ("--upload-pack=touch injected", "-c", "--help", "$(touch injected)", "`touch injected`"):
        site.write(f"{filing}/--force/-rf", filing)
    site.catch_up()
    assert len(site.tags()) == 5
    for version in site.json("log"):
        site.run(
            "restore",
            version["tag"],
            "--to",
            site.root / f"back{version['filing'][:3].strip('-$`')}{len(version['tag'])}",
        )
        site.run("explain", "--", version["tag"])
    assert not list(site.root.rglob("injected"))
    site.verified()


@pytest.mark.needs("processes")
@pytest.mark.parametrize(
    "variables",
    [
        {"GIT_DIR": "/nonexistent"},
        {"GIT_OBJECT_DIRECTORY": "/tmp"},
        {"GIT_ALTERNATE_OBJECT_DIRECTORIES": "/tmp"},
        {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.hooksPath", "GIT_CONFIG_VALUE_0": "/dev/null"},
        {"GIT_CONFIG_PARAMETERS": "'core.bare=false'"},
        {"GIT_NAMESPACE": "elsewhere"},
        {
            "GIT_SSH_COMMAND": "touch injected",
            "GIT_EXTERNAL_DIFF": "touch injected",
            "GIT_PAGER": "touch injected",
        },
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_inherited_variables_change_nothing(victim: Site, variables: dict[str, str]) -> None:
    victim.write("f/s/b", "new")
    victim.run("run", "--once", "--settle", "0.05", env=variables)
    victim.run("verify", env=variables)
    assert victim.tags()[0] == "f/s/v3"
    victim.verified()


@pytest.mark.needs("processes")
def test_an_older_copy_of_the_whole_archive_is_caught_with_a_witness_line(victim: Site) -> None:
    shutil.copytree(victim.archive, victim.root / "older", symlinks=True)
    victim.write("f/s/a", "3")
    victim.catch_up()
    line = victim.run("checkpoint", "--print").stdout.strip()
    shutil.rmtree(victim.archive)
    (victim.root / "older").rename(victim.archive)
    victim.verified()
    assert "A046" in victim.run("verify", "--since", line, code=5).stdout


def test_every_attack_has_its_row_in_the_threat_model() -> None:
    text = THREATS.read_text(encoding="utf-8")
    for attack in ATTACKS:
        row = next((line for line in text.splitlines() if line.startswith(f"| {attack.name} |")), None)
        assert row, attack.name
        assert (attack.found or ("no effect" if attack.harmless else "refused")) in row, row


def test_every_number_that_the_threat_model_names_exists() -> None:
    assert set(re.findall(r"A0\d\d", THREATS.read_text(encoding="utf-8"))) <= MEANING_BY_CODE.keys()
    assert COMMAND.exists()
