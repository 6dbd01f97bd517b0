"""``archiver demo`` shows what it says, under whatever settings of git."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from archiver.cli.console import Console
from archiver.cli.demo import DemoFailed, _Demo
from tests.support import git_three
from tests.support.site import COMMAND, SAMPLES, Site


@pytest.fixture
def one(site: Site) -> Site:
    site.write("f/s/a.txt", "one")
    site.catch_up()
    return site


@pytest.fixture
def git_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings of the user's own, which git obeys."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", os.fspath(home))
    return home / ".gitconfig"


def refuse(site: Site) -> None:
    """The demo's step: try to delete what is archived."""
    session = cast(Any, SimpleNamespace(console=Console("en")))
    _Demo(session, SAMPLES, site.root)._try_to_delete_tag("f/s/v1")


def test_the_guard_refuses(one: Site, capfd: pytest.CaptureFixture[str]) -> None:
    refuse(one)
    shown = capfd.readouterr().out
    assert "$ git --git-dir=archive/archive.git tag -d f/s/v1" in shown
    assert "archiver: deletion of refs/tags/f/s/v1 is refused" in shown
    assert "hooksPath" not in shown


def test_a_git_that_fails_for_another_reason_shows_nothing(one: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'for word; do [ "$word" != tag ] || { echo "fatal: no" >&2; exit 128; }; done; exec "$GIT" "$@"'
    git_three.put_first(one.root / "bin", script, monkeypatch)
    with pytest.raises(DemoFailed, match="not because the archive's hook refused the deletion: fatal: no"):
        refuse(one)


def test_a_git_that_deletes_is_told_of(one: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    script = 'for word; do [ "$word" != tag ] || exit 0; done; exec "$GIT" "$@"'
    git_three.put_first(one.root / "bin", script, monkeypatch)
    with pytest.raises(DemoFailed, match="deleted a tag"):
        refuse(one)


def test_hooks_elsewhere_are_named_and_overruled(
    one: Site, git_settings: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    git_settings.write_text("[core]\n\thooksPath = /usr/share/我的 hooks\n", "utf-8")
    refuse(one)
    shown = capfd.readouterr().out
    has_hooks_by_configuration = one.git("hook", "list", "reference-transaction", check=False).returncode == 0
    assert ("core.hooksPath to /usr/share/我的 hooks," in shown) != has_hooks_by_configuration
    assert (f"$ git -c core.hooksPath={one.repository}/hooks --git-dir" in shown) != has_hooks_by_configuration
    assert one.tags() == ["f/s/v1"]
    # What the sentence says: without it, the guard refuses the deletion.
    done = one.git("tag", "-d", "f/s/v1", check=False)
    assert (done.returncode == 0) != has_hooks_by_configuration


@pytest.mark.needs("processes")
def test_the_whole_demo_under_such_settings_and_those_of_git_3(
    tmp_path: Path, git_settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_settings.write_text("[core]\n\thooksPath = /nonexistent\n")
    git_three.take_defaults(tmp_path / "git-3", monkeypatch)
    words = [COMMAND, "demo", "--materials", SAMPLES, "--to", tmp_path / "demo"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "archiver: deletion of refs/tags/" in done.stdout
