"""core.hooksPath in somebody's own git settings takes the guard away from what they type; ``status`` names it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.support.git_three import IN_FILES
from tests.support.site import Site


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home with a space"
    folder.mkdir()
    monkeypatch.setenv("HOME", os.fspath(folder))
    return folder


#: Otherwise git 2.55 runs the guard that the repository's settings name, wherever it looks for hooks in files.
GUARD_SWITCHED_OFF = '[hook "guard"]\n\tenabled = false\n'


def settings(home: Path, hooks: object) -> Path:
    file = home / ".gitconfig"
    file.write_text(f'{GUARD_SWITCHED_OFF}[core]\n\thooksPath = "{hooks}"\n', encoding="utf-8")
    return file


def test_without_such_a_setting_status_says_nothing(site: Site, home: Path) -> None:
    assert site.json("status")["hooks_path"] is None
    assert "core.hooksPath" not in site.run("status").stdout


def test_a_setting_of_the_caller_is_named_with_its_file(site: Site, home: Path) -> None:
    file = settings(home, "/company/hooks")
    assert site.json("status")["hooks_path"] == {"value": "/company/hooks", "origin": str(file)}
    line = next(line for line in site.run("status").stdout.splitlines() if "core.hooksPath to" in line)
    assert str(file) in line
    assert "/company/hooks" in line
    assert f"git -c core.hooksPath='{site.repository}/hooks'" in line or f"={site.repository}/hooks" in line


def test_a_git_that_runs_the_guard_by_configuration_is_left_alone(site: Site, home: Path) -> None:
    settings(home, "/company/hooks")
    switched_off = site.json("status")["hooks_path"]
    (home / ".gitconfig").write_text('[core]\n\thooksPath = "/company/hooks"\n', encoding="utf-8")
    assert site.json("status")["hooks_path"] == (None if has_hooks_by_configuration(home) else switched_off)


def test_an_included_file_counts(site: Site, home: Path) -> None:
    included = home / "included"
    included.write_text("[core]\n\thooksPath = ~/hooks\n")
    (home / ".gitconfig").write_text(
        f'{GUARD_SWITCHED_OFF}[includeIf "gitdir:{site.archive}/"]\n\tpath = {included.name}\n'
    )
    found = site.json("status")["hooks_path"]
    assert found == {"value": str(home / "hooks"), "origin": str(included)}


def test_whoever_points_it_at_the_archive_is_left_alone(site: Site, home: Path) -> None:
    for ours in (site.repository / "hooks", "hooks"):
        settings(home, ours)
        assert site.json("status")["hooks_path"] is None


def test_settings_that_git_cannot_read_are_passed_by(site: Site, home: Path) -> None:
    (home / ".gitconfig").write_text("[core\n")
    assert site.json("status")["hooks_path"] is None


def has_hooks_by_configuration(folder: Path) -> bool:
    """Whether this git runs hooks that its settings name."""
    repository = folder / "try.git"
    subprocess.run(["git", *IN_FILES, "init", "-q", "--bare", repository], check=True)
    refusing = ["-c", "hook.try.event=reference-transaction", "-c", "hook.try.command=false"]
    git = ["git", f"--git-dir={repository}", "-c", "user.name=x", "-c", "user.email=x@localhost"]
    tree = subprocess.run([*git, "mktree"], check=True, capture_output=True, text=True, input="").stdout.strip()
    commit = subprocess.run([*git, "commit-tree", "-m", "x", tree], check=True, capture_output=True, text=True)
    move = [*git, *refusing, "update-ref", "refs/heads/x", commit.stdout.strip()]
    return subprocess.run(move, capture_output=True).returncode != 0


def test_git_by_hand_is_not_refused_but_the_archive_goes_on(site: Site, home: Path) -> None:
    """What the threat model says of it: the deletion succeeds, verify names it, and capture keeps its guard."""
    hooks = home / "hooks"
    hooks.mkdir()
    trap = hooks / "reference-transaction"
    trap.write_text(f"#!/bin/sh\ntouch '{home}/ran'\nexit 1\n")
    trap.chmod(0o755)
    (home / ".gitconfig").write_text(f'[core]\n\thooksPath = "{hooks}"\n', encoding="utf-8")
    site.write("f/s/a.txt", "one")
    site.catch_up()
    assert not (home / "ran").exists()
    site.verified()
    trap.unlink()
    done = site.git("tag", "-d", "f/s/v1", check=False)
    if has_hooks_by_configuration(home):
        assert "is refused" in done.stderr
        site.verified()
    else:
        assert done.returncode == 0
        assert "A020" in {finding["code"] for finding in site.findings()}


def test_the_protection_is_no_worse_for_it(site: Site, home: Path) -> None:
    """No alarm: it is somebody's own setting, often the company's, and harms nothing that is archived."""
    before = site.json("status")
    settings(home, "/company/hooks")
    after = site.json("status")
    assert (after["protection"], after["problems"]) == (before["protection"], before["problems"])
