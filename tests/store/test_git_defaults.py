"""The defaults of git 3, and repositories of another format than the archive's: see tests/support/git_three.py."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from archiver.errors import StorageError
from archiver.filings import change_detection
from archiver.store.git.repository import Repository
from tests.support import git_three
from tests.support.site import CHECKOUT, SAMPLES, Site, wait_until

#: Made by the program beside it, with a newer git than every machine has.
REFTABLE = CHECKOUT / "tests/reftable/clone.tar.gz"


@pytest.fixture
def git_3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git_three.take_defaults(tmp_path / "git-3", monkeypatch)


def listing(root: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything below ``root`` with its mode, inode, time and bytes."""
    found = {}
    for path in sorted([root, *root.rglob("*")]):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[os.fspath(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, data)
    return found


# --- the whole job under the defaults of git 3


@pytest.mark.usefixtures("git_3")
def test_everything_works_with_the_defaults_of_git_3(bare_site: Site) -> None:
    site = bare_site.init()
    assert "refs/heads/journal" in site.git("for-each-ref").stdout
    assert site.git("rev-parse", "--show-object-format").stdout == "sha1\n"
    shutil.copytree(SAMPLES, site.watch, dirs_exist_ok=True)
    site.catch_up()
    name = site.tags()[0].rpartition("/")[0]
    site.run("submit", name, "--on", "2026-03-20")
    site.write(f"{name}/新增.txt", "1")
    daemon = site.start("--settle", "0.1")
    wait_until(lambda: f"{name}/v2" in site.tags())
    daemon.send_signal(signal.SIGINT)
    out, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, out
    log = site.json("log")
    (site.archive / "index.db").unlink()
    site.run("reindex")
    assert site.json("log") == log
    site.run("maintain")
    site.run("checkpoint")
    site.run("diff", f"{name}/v1", f"{name}/v2")
    site.run("restore", f"{name}/v2", "--to", site.root / "back")
    assert (site.root / "back/新增.txt").read_text() == "1"
    site.run("drill")
    site.run("audit", "--to", "package")
    subprocess.run(
        ["git", "bundle", "list-heads", "package/data/repository/archive.bundle"], cwd=site.root, check=True
    )
    site.verified()


@pytest.mark.usefixtures("git_3")
def test_a_mirror_becomes_an_archive_again(site: Site, tmp_path: Path) -> None:
    """With the clone command of the manual, whatever format git prefers by itself."""
    site.write("推荐/首次/材料", "1")
    site.catch_up()
    manual = (CHECKOUT / "docs/operations.md").read_text("utf-8").partition("## Disaster recovery from a clone")[2]
    command = next(line for line in manual.splitlines() if "clone --mirror" in line)
    command = command.removeprefix("$ ").replace("server:/var/lib/archiver/archive/", f"{site.archive}/")
    new = mirrored(site, tmp_path / "new", command)
    new.init("--adopt")
    assert new.json("log") == site.json("log")
    new.verified()


def mirrored(site: Site, root: Path, command: str) -> Site:
    """A place with a clone made by ``command``, with the contents and keys."""
    new = Site(root)
    new.archive.mkdir()
    subprocess.run(["bash", "-c", command], cwd=new.archive, check=True)
    (new.repository / "lfs").mkdir(exist_ok=True)
    shutil.copytree(site.repository / "lfs", new.repository / "lfs", dirs_exist_ok=True)
    shutil.copytree(site.archive / "keys", new.archive / "keys")
    shutil.copytree(site.watch, new.watch, dirs_exist_ok=True)
    return new


# --- what git made is looked at before anything is written over it

WRONG = {
    "reftable": r"printf '[extensions]\n\trefstorage = reftable\n' >> config",
    "sha256": r"printf '[extensions]\n\tobjectformat = sha256\n' >> config",
    "version": r"printf '[core]\n\trepositoryformatversion = 2\n' >> config",
    "unknown": r"printf '[extensions]\n\tcolour = blue\n' >> config",
    "head": "echo 'ref: refs/heads/.invalid' > HEAD",
    "nothing": "rm HEAD",
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_a_repository_of_another_format_is_refused_and_removed(
    bare_site: Site, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    git_three.change_what_is_made(bare_site.root / "bin", change, monkeypatch)
    before = listing(bare_site.root)
    arguments = ["init", "--archive", bare_site.archive, "--watch", bare_site.watch]
    done = bare_site.run(*arguments, code=8)
    assert "another format" in done.stderr
    assert str(bare_site.archive) in done.stderr
    after = listing(bare_site.root)
    assert after.keys() == before.keys()


@pytest.mark.needs("processes")
@pytest.mark.parametrize("change", [WRONG["reftable"], "exit 1"], ids=["wrong", "failed"])
def test_no_half_made_repository_stays(tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    git_three.change_what_is_made(tmp_path / "bin", change, monkeypatch)
    with pytest.raises(StorageError):
        Repository.create_without_hooks(tmp_path / "archive.git")
    assert os.listdir(tmp_path) == ["bin"]


# --- clones of another format


@pytest.fixture
def clone(site: Site, tmp_path: Path) -> Site:
    """A mirror clone with its keys and contents, as docs/operations.md has it."""
    site.write("推荐/首次/材料", "1")
    site.catch_up()
    return mirrored(
        site,
        tmp_path / "new",
        f"git -c init.defaultRefFormat=files clone -q --mirror {site.repository} archive.git",
    )


def append(text: str) -> Callable[[Path], object]:
    return lambda path: (path / "config").write_text((path / "config").read_text() + text)


def refused(new: Site) -> str:
    """Take the clone in, which is refused without a change; returns what was said."""
    before = listing(new.root)
    arguments = ["init", "--archive", new.archive, "--watch", new.watch, "--adopt"]
    done = new.run(*arguments, code=8)
    assert "Nothing was changed" in done.stderr
    assert listing(new.root) == {**before, os.fspath(new.root): listing(new.root)[os.fspath(new.root)]}
    return done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (append("[extensions]\n\trefStorage = reftable\n"), "refs migrate --ref-format=files"),
        (append("[extensions]\n\tobjectFormat = sha256\n"), "extensions.objectformat=sha256"),
        (append("[extensions]\n\tcompatObjectFormat = sha256\n"), "extensions.compatobjectformat=sha256"),
        (append("[extensions]\n\tcolour\n"), "extensions.colour=true"),
        (append("[extensions]\n\tcolour =\n"), "extensions.colour="),
        (append("[core]\n\trepositoryFormatVersion = 2\n"), "core.repositoryformatversion=2"),
        (append("[core]\n\trepositoryFormatVersion = one\n"), "core.repositoryformatversion=one"),
        (append("[extensions]\n\tpartialClone = origin\n"), "--filter"),
        (append('[remote "origin"]\n\tpromisor = true\n'), "--filter"),
        (lambda path: (path / "shallow").write_text("0" * 40 + "\n"), "--depth"),
        (append("[extensions\n"), "config"),
        (lambda path: ((path / "config").unlink(), os.mkfifo(path / "config")), "config"),
        (lambda path: ((path / "config").rename(path / "real"), (path / "config").symlink_to("real")), "config"),
        (append("#" * (1 << 20)), "config"),
    ],
    ids=[
        *(
            "reftable",
            "sha256",
            "compat",
            "unknown",
            "unknown-empty",
            "version-2",
            "version-one",
            "partial",
            "promisor",
            "shallow",
        ),
        *("broken", "pipe", "link", "endless"),
    ],
)
def test_a_clone_of_another_format_is_refused_unchanged(
    clone: Site, change: Callable[[Path], object], said: str
) -> None:
    change(clone.repository)
    assert said in refused(clone)


@pytest.mark.parametrize(
    "change",
    [
        append("[extensions]\n\tpreciousObjects = true\n\tworktreeConfig = true\n\tnoop\n"),
        append(
            "[core]\n\trepositoryFormatVersion = 1\n[extensions]\n\trefStorage = files\n\tobjectFormat = sha1\n"
        ),
        append("[include]\n\tpath = /nonexistent/config\n"),
        append('[remote "origin"]\n\tpromisor = false\n'),
        lambda path: (path / "config").unlink(),
    ],
    ids=["harmless", "said", "include", "no-promisor", "missing"],
)
def test_a_clone_of_a_known_format_is_taken_in(clone: Site, change: Callable[[Path], object]) -> None:
    change(clone.repository)
    clone.init("--adopt")
    clone.verified()


def test_no_setting_of_a_clone_is_obeyed_while_it_is_looked_at(clone: Site, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    text = f"[core]\n\tfsmonitor = touch {trace}\n\tpager = touch {trace}\n[alias]\n\tconfig = !touch {trace}\n"
    append(text + "[extensions]\n\tcolour = blue\n")(clone.repository)
    refused(clone)
    assert not trace.exists()


# --- a real clone that a newer git keeps in another format


@pytest.fixture
def reftable(tmp_path: Path) -> Site:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    subprocess.run(["tar", "-C", folder, "-xpzf", REFTABLE, "--no-same-owner"], check=True)
    new = Site(folder)
    new.watch.rmdir()
    new.watch = folder / "materials"
    return new


def can_migrate() -> bool:
    """Whether this git has what the message asks for."""
    done = subprocess.run(["git", "refs", "migrate", "-h"], cwd="/", capture_output=True, text=True)
    return "--ref-format" in done.stdout + done.stderr


@pytest.mark.needs("processes")
def test_a_reftable_clone_is_refused_unchanged_and_becomes_an_archive_when_converted(reftable: Site) -> None:
    said = refused(reftable)
    assert "reftable" in said
    command = said.strip().rpartition(": ")[2]
    assert command == f"git --git-dir={reftable.repository} refs migrate --ref-format=files"
    if not can_migrate():
        return
    subprocess.run(["bash", "-c", command], check=True)
    reftable.init("--adopt")
    assert reftable.json("log") == json.loads((reftable.root / "log.json").read_text("utf-8"))
    reftable.verified()


@pytest.mark.needs("processes")
def test_the_command_is_quoted(reftable: Site) -> None:
    moved = reftable.root / "it's 档案; $(touch ran)"
    reftable.archive.rename(moved)
    done = reftable.run("init", "--archive", moved, "--watch", reftable.watch, "--adopt", code=8)
    command = done.stderr.strip().rpartition(": ")[2]
    assert shlex.split(command)[1] == f"--git-dir={moved}/archive.git"


def test_an_archive_whose_refs_somebody_moved_into_tables_keeps_them(site: Site, reftable: Site) -> None:
    """With an archive's settings over its own, git would find no ref there any more."""
    shutil.rmtree(site.repository)
    reftable.repository.rename(site.repository)
    before = listing(site.repository)
    for command in (["status"], ["maintain", "--restore-settings"]):
        done = site.run(*command, code=8)
        assert "Nothing was changed" in done.stderr
    assert "refs migrate --ref-format=files" in done.stderr
    assert listing(site.repository) == before
    assert not (site.archive / "set-aside").exists()


# --- other commands that meet repositories


@pytest.mark.needs("processes")
@pytest.mark.usefixtures("git_3")
def test_the_tags_of_a_bare_repository_are_a_signal(tmp_path: Path) -> None:
    bare = tmp_path / "code.git"
    subprocess.run(["git", "init", "-q", "--bare", bare], check=True)

    def git(*arguments: str) -> str:
        who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
        words = ["git", *who, f"--git-dir={bare}", *arguments]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("tag", "v1.0", git("commit-tree", "-m", "1", git("mktree")))
    assert (change_detection._read_signal(f"git:{bare}") or "").endswith(" v1.0")
