"""History and content on another git server: a real one, with the stock client on both sides."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.replica.gitserver import GitServer, serving

pytestmark = pytest.mark.needs("git-lfs")


def refs(repository: Path) -> str:
    words = ["git", "-C", repository, "for-each-ref"]
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def contents(site: Site) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in (site.repository / "lfs/objects").rglob("*") if path.is_file()
    }


def lying(site: Site) -> dict[Path, tuple[int, int, int]]:
    """Everything in the archive's repository, with what a link or a write would change."""
    found = {path: path.lstat() for path in site.repository.rglob("*")}
    return {path: (status.st_mode, status.st_nlink, status.st_mtime_ns) for path, status in found.items()}


@pytest.fixture
def filled(site: Site) -> Site:
    site.write("推荐/首次/自评估 报告", "first draft")
    site.write("推荐/首次/附件/扫描件", os.urandom(3_000_000))
    site.write("推荐/首次/空", b"")
    site.catch_up()
    site.write("推荐/首次/自评估 报告", "second draft")
    site.catch_up()
    return site


def clone(server: GitServer, folder: Path) -> dict[str, bytes]:
    """What a stranger gets with the stock client alone: every content that any tag names."""
    env = {"PATH": os.environ["PATH"], "HOME": os.fspath(folder), "GIT_LFS_SKIP_SMUDGE": "1"}
    folder.mkdir()
    for words in (
        ["git", "clone", "-q", "--mirror", server.address, folder / "mirror.git"],
        ["git", "-C", folder / "mirror.git", "lfs", "fetch", "--all"],
    ):
        done = subprocess.run(words, env=env, capture_output=True, text=True, errors="replace")
        assert done.returncode == 0, done.stderr
    found = (folder / "mirror.git/lfs/objects").rglob("*")
    return {path.name: path.read_bytes() for path in found if path.is_file()}


def test_content_goes_to_a_server_that_speaks_lfs(filled: Site, tmp_path: Path) -> None:
    before = lying(filled)
    with serving(tmp_path / "server") as server:
        done = filled.run("replica", "git-push", "--lfs", server.address)
        assert "It has 3 contents." in done.stdout
        assert refs(server.repository) == refs(filled.repository)
        assert server.contents() == contents(filled)
        assert clone(server, tmp_path / "stranger") == contents(filled)
        assert lying(filled) == before
        # Again, it sends what is new.
        filled.write("推荐/首次/又一份", "third")
        filled.catch_up()
        assert "It has 4 contents." in filled.run("replica", "git-push", "--lfs", server.address).stdout
        assert server.contents() == contents(filled)
    filled.verified()


def test_what_is_sensitive_stays(filled: Site, tmp_path: Path) -> None:
    text = filled.config.read_text("utf-8")
    filled.config.write_text(f'{text}\n[sensitive]\npatterns = ["*扫描件*"]\n', "utf-8")
    with serving(tmp_path / "server") as server:
        done = filled.run("replica", "git-push", "--lfs", server.address)
        assert "It has 2 contents." in done.stdout
        assert "Sensitive, and kept here: 1 contents." in done.stdout
        assert max(map(len, server.contents().values())) < 100


def test_a_server_without_lfs_gets_history_alone(filled: Site, tmp_path: Path) -> None:
    with serving(tmp_path / "server", "--without-lfs") as server:
        error = filled.run("replica", "git-push", "--lfs", server.address, code=8).stderr
        assert "see that the server speaks Git LFS" in error
        assert refs(server.repository) == ""
        assert "git-push --lfs" in filled.run("replica", "git-push", server.address).stdout
        assert refs(server.repository) == refs(filled.repository)


def test_passwords_come_from_netrc_and_are_never_shown(filled: Site, tmp_path: Path) -> None:
    with serving(tmp_path / "server", "--password", "pusher:geheim-wort") as server:
        open_address = server.address.replace("://", "://pusher:geheim-wrong@")
        for words in ([server.address], [open_address], ["--lfs", open_address]):
            done = filled.run("replica", "git-push", *words, code=8)
            assert "geheim" not in done.stdout + done.stderr
        netrc = tmp_path / ".netrc"
        netrc.write_text("machine 127.0.0.1 login pusher password geheim-wort\n")
        netrc.chmod(0o600)
        env = {"HOME": os.fspath(tmp_path)}
        filled.run("replica", "git-push", "--lfs", server.address, env=env)
        assert refs(server.repository) == refs(filled.repository)
        assert server.contents() == contents(filled)
        assert (
            "geheim"
            not in filled.run(
                "replica", "git-push", "--lfs", server.address.replace("://", "://pusher:geheim-wort@")
            ).stdout
        )


def test_a_repository_on_a_disk_gets_copies(filled: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.git"
    subprocess.run(["git", "init", "-q", "--bare", mirror], check=True)
    before = lying(filled)
    for name in (mirror, os.path.relpath(mirror, filled.root)):
        assert "It has 3 contents." in filled.run("replica", "git-push", "--lfs", name).stdout
        there = [path for path in (mirror / "lfs/objects").rglob("*") if path.is_file()]
        assert {path.name: path.read_bytes() for path in there} == contents(filled)
        assert all(path.stat().st_nlink == 1 for path in there)
    assert lying(filled) == before


def test_damage_is_not_spread(filled: Site, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.git"
    subprocess.run(["git", "init", "-q", "--bare", mirror], check=True)
    name = hashlib.sha256(b"first draft").hexdigest()
    damaged = filled.repository / "lfs/objects" / name[:2] / name[2:4] / name
    damaged.chmod(0o644)
    damaged.write_bytes(b"first graft")
    assert "damaged here" in filled.run("replica", "git-push", "--lfs", mirror, code=8).stderr
    assert name not in {path.name for path in mirror.rglob("*")}
    assert refs(mirror) == ""


def test_without_the_client_it_says_so(filled: Site, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "git").symlink_to("/usr/bin/git")
    done = filled.run(
        "replica", "git-push", "--lfs", "http://127.0.0.1:1/x", code=3, env={"PATH": os.fspath(tools)}
    )
    assert "git-lfs, which is not installed" in done.stderr
