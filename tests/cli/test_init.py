"""Making an archive is one transaction: killed or failing anywhere, the same command makes it after all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver.cli.main import main
from archiver.store.creation import new_archive
from tests.daemon.test_faults import Volume
from tests.support.git_three import IN_FILES
from tests.support.other_user import become_user
from tests.support.site import CHECKOUT, COMMAND, Site, open_the_way, tree

#: What a step of init begins with, as Python's audit events name it.
STEPS = (
    "os.link",
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.chmod",
    "subprocess.Popen",
    "fcntl.flock",
)


def entries(root: Path) -> list[str]:
    """Everything below ``root``, with modes; what the watched folder holds is of no interest."""
    found = [(os.fspath(path.relative_to(root)), path.lstat().st_mode) for path in root.rglob("*")]
    return [f"{name} {mode:o}" for name, mode in sorted(found)]


def words(site: Site, *more: str) -> list[str]:
    folders = ["--archive", os.fspath(site.archive), "--watch", os.fspath(site.watch)]
    return ["--config", os.fspath(site.config), "init", *folders, *more]


def attempt(line: list[str], at: int, act: Callable[[], object]) -> int:
    """Run a command in a process of its own that does something odd at one of its steps; returns how it ended.

    -1000: it has fewer steps.
    """
    child = os.fork()
    if child == 0:
        code, left = 70, at
        try:

            def hook(event: str, _: object) -> None:
                nonlocal left
                if event in STEPS:
                    left -= 1
                    if left == 0:
                        act()

            sys.addaudithook(hook)
            with open(os.environ.get("SAID", os.devnull), "a") as nothing:
                sys.stdout = sys.stderr = nothing
                code = main(line)
            code = 71 if code == 0 and left > 0 else code
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return -1000 if code == 71 else code


def each_step(line: list[str], act: Callable[[], object]) -> Iterator[int]:
    """Do that at the first step, the second, and so on: how each attempt ended, until one went through."""
    for at in range(1, 200):
        code = attempt(line, at, act)
        if code == -1000:
            assert at > 15, "the steps were not seen"
            return
        yield code


def is_as_new(site: Site) -> None:
    assert sorted(os.listdir(site.root)) == ["archive", "archiver.toml", "watched"]
    assert sorted({*os.listdir(site.archive)} - {"state.db"}) == [
        "archive.git",
        "index.db",
        "keys",
        "lock",
        "spool",
    ]
    assert oct(site.archive.stat().st_mode)[-4:] == "0700"
    commits = site.check_journal()
    # The first two are in every package, and the path of the watched folder is in none.
    places = [(commit.body["action"], commit.event["chain"]) for commit in commits]
    assert places == [
        ("init", "archive"),
        ("format", "archive"),
        ("watch-path", "house"),
        ("policy", "archive"),
    ]
    # One head covers the batch.
    assert [commit.head is None for commit in commits] == [True, True, True, False]


def events(site: Site) -> list[dict[str, str]]:
    archive = site.open()
    try:
        return [{"action": event.action} for event in archive.journal.events_since(None)]
    finally:
        archive.close()


def wipe(site: Site) -> None:
    site.config.unlink()
    shutil.rmtree(site.root / site.archive.relative_to(site.root).parts[0])


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_killed_at_any_step_the_same_command_makes_it(bare_site: Site) -> None:
    site = bare_site
    killed = 0
    for code in each_step(words(site), kill):
        assert code == -signal.SIGKILL
        killed += 1
        for _ in range(2):
            assert main(words(site)) == 0
            is_as_new(site)
        wipe(site)
    assert killed > 15
    is_as_new(site)
    site.write("f/s/a", "1")
    site.catch_up()
    site.verified()


@pytest.mark.parametrize("trouble", ["no space", "Ctrl-C"])
@pytest.mark.parametrize("place", ["new", "there", "deep"])
def test_after_a_failure_at_any_step_nothing_is_left(bare_site: Site, trouble: str, place: str) -> None:
    site = bare_site
    if place == "there":
        site.archive.mkdir(mode=0o755)
        (site.archive / "lost+found").mkdir()
    elif place == "deep":
        site.archive = site.root / "a" / "b" / "archive"
    before = entries(site.root)

    def act() -> None:
        if trouble == "Ctrl-C":
            raise KeyboardInterrupt
        raise OSError(28, "No space left on device")

    for code in each_step(words(site), act):
        if code == 0:
            # What failed was the removal of what nobody needs any more.
            assert (
                sorted(set(os.listdir(site.archive)) - {"lost+found", new_archive.WORKSPACE})[0] == "archive.git"
            )
            wipe(site)
            if place == "there":
                site.archive.mkdir(mode=0o755)
                (site.archive / "lost+found").mkdir()
            continue
        # 3: where the program git cannot be started.
        assert code in ((130,) if trouble == "Ctrl-C" else (3, 8))
        assert [each for each in entries(site.root) if not each.startswith("archive 4")] == [
            each for each in before if not each.startswith("archive 4")
        ]


def test_a_second_one_with_the_same_arguments_changes_nothing(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    before, changed = tree(site.root), entries(site.root)
    line = ["init", "--archive", site.archive, "--watch", site.watch, "--layout", site.layout]
    for more in ([], ["--retention-years", "3"]):
        assert "already exists. Nothing was changed." in site.run(*line, *more).stdout
    assert {path: data for path, (data, _) in tree(site.root).items()} == {p: d for p, (d, _) in before.items()}
    assert entries(site.root) == changed


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--retention-years", "6"], "its retention.years is 3, not 6"),
        (["--layout", "{filing}"], "its watch.layout is {filing}/{submission}, not {filing}"),
        (["--archive", "elsewhere"], "its archive.path is"),
        (["--watch", "archive/keys"], "its watch.path is"),
    ],
)
def test_a_second_one_with_other_arguments_is_refused(site: Site, more: list[str], said: str) -> None:
    before = entries(site.root)
    line = ["init", "--archive", site.archive, "--watch", site.watch, *more]
    assert said in site.run(*line, code=2).stderr
    assert entries(site.root) == before


def test_one_over_an_archive_of_another_layout_is_refused(site: Site) -> None:
    site.set("watch", "layout", '"{filing}"')
    done = site.run("init", "--archive", site.archive, "--watch", site.watch, "--layout", "{filing}", code=2)
    assert "was created with another --layout" in done.stderr


def test_a_configuration_that_is_ready_is_used_as_it_is(bare_site: Site) -> None:
    site = bare_site
    ready = f'[archive]\npath = "archive"\n[watch]\npath = "{site.watch}"\nlayout = "{{filing}}"\n'
    ready += '[retention]\nyears = 7\ntimezone = "Asia/Urumqi"\n# by the configuration management\n'
    site.config.write_text(ready, encoding="utf-8")
    site.run("init", "--archive", site.archive, "--watch", "watched")
    assert site.config.read_text(encoding="utf-8") == ready
    archive = site.open()
    first = archive.journal.first_event()
    assert first is not None
    assert (first.details["layout"], first.details["retention_years"]) == ("{filing}", 7)
    assert first.details["timezone"] == "Asia/Urumqi"
    archive.close()
    site.write("f/a", "1")
    site.catch_up()
    assert site.tags() == ["f/01/v1"]


def test_a_ready_one_of_another_person_is_not_used(bare_site: Site) -> None:
    site = bare_site
    site.config.write_text(f'[archive]\npath = "archive"\n[watch]\npath = "{site.watch}"\n', encoding="utf-8")
    os.chown(site.config, 64101, 64101)
    line = [COMMAND, "init", "--archive", site.archive, "--watch", site.watch]
    done = subprocess.run(line, cwd=site.root, capture_output=True, text=True)
    assert done.returncode == 3
    assert "it belongs to uid 64101" in done.stderr
    assert not site.archive.exists()


def test_a_failure_leaves_a_ready_configuration_alone(bare_site: Site) -> None:
    site = bare_site
    site.config.write_text(f'[archive]\npath = "archive"\n[watch]\npath = "{site.watch}"\n', encoding="utf-8")
    before = entries(site.root)
    path = site.root / "bin"
    path.mkdir()
    git = path / "git"
    git.write_text('#!/bin/sh\ncase "$*" in *"init "*) echo no room >&2; exit 1;; esac\nexec /usr/bin/git "$@"\n')
    git.chmod(0o755)
    done = site.run(*words(site)[2:], code=8, env={"PATH": f"{path}:{os.environ['PATH']}"})
    assert "no room" in done.stderr
    shutil.rmtree(path)
    assert entries(site.root) == before


@pytest.mark.needs("root", "loop device")
def test_an_archive_at_a_mount_point(bare_site: Site) -> None:
    """Nothing can be renamed over it, and the filesystem has put something of its own there."""
    site = bare_site
    volume = Volume(site.archive)
    try:
        (site.archive / "lost+found").mkdir()
        assert attempt(words(site), 12, kill) == -signal.SIGKILL
        site.run(*words(site)[2:])
        site.write("f/s/a", "1")
        site.catch_up()
        site.verified()
        assert new_archive.WORKSPACE not in os.listdir(site.archive)
        assert (site.archive / "lost+found").is_dir()
    finally:
        volume.end()


def test_two_at_once_do_not_disturb_each_other(bare_site: Site) -> None:
    site = bare_site
    line = [COMMAND, *words(site)]
    both = [subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in both]
    assert {process.returncode for process in both} <= {0, 2, 6, 8}, said
    site.run(*words(site)[2:])
    is_as_new(site)


def test_what_an_admin_put_there_is_never_removed(bare_site: Site) -> None:
    """A key's backup beside the rest of an init that was killed."""
    site = bare_site
    assert attempt(words(site), 9, kill) == -signal.SIGKILL
    (site.archive / "keys").mkdir()
    (site.archive / "keys" / "signing_key").write_text("kept for three years")
    site.run(*words(site)[2:], code=2)
    assert (site.archive / "keys" / "signing_key").read_text() == "kept for three years"


def clone(site: Site) -> None:
    """The server is lost: what is left is a mirror and a backup of the keys."""
    lost = site.archive.rename(site.root / "lost")
    site.config.unlink()
    subprocess.run(
        ["git", *IN_FILES, "clone", "-q", "--mirror", lost / "archive.git", site.repository], check=True
    )
    shutil.copytree(lost / "archive.git" / "lfs", site.repository / "lfs")
    shutil.copytree(lost / "keys", site.archive / "keys")


def test_an_adoption_that_was_killed_is_done_once_more(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    clone(site)
    shutil.copytree(site.archive, site.root / "clone")
    line = words(site, "--adopt")
    for code in each_step(line, kill):
        assert code == -signal.SIGKILL
        assert main(line) == 0
        assert [event["action"] for event in events(site)].count("adopt") == 1
        assert main(line) == 0
        assert [event["action"] for event in events(site)].count("adopt") == 1
        assert new_archive.WORKSPACE not in os.listdir(site.archive)
        wipe(site)
        shutil.copytree(site.root / "clone", site.archive)
    site.catch_up()
    site.verified()


@pytest.mark.needs("root", "another user")
def test_a_folder_that_the_service_was_given_is_enough(bare_site: Site) -> None:
    """Its parent is root's: nothing can be made beside it."""
    site = bare_site
    site.archive.mkdir(mode=0o700)
    os.chown(site.archive, 64103, 64103)
    settings = site.root / "settings"
    settings.mkdir()
    os.chown(settings, 64103, 64103)
    open_the_way(site.root)
    open_the_way(settings)
    line = [sys.executable, "-m", "archiver", "--config", settings / "a.toml", *words(site)[2:]]
    subprocess.run([*become_user(64103, 64103), *line], cwd=CHECKOUT, check=True)
    assert site.archive.stat().st_uid == 64103
    assert (site.repository / "HEAD").is_file()
