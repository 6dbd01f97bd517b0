from __future__ import annotations

import json
import os
import shutil
import signal
import stat
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.store import permissions
from tests.support.git_three import IN_FILES
from tests.support.other_user import become_user
from tests.support.site import COMMAND, Site, open_the_way, wait_until

#: A group that nobody has.
STAFF = 65432


def modes(root: Path) -> dict[str, int]:
    return {
        os.fspath(path.relative_to(root)): stat.S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")]
    }


def test_a_new_archive_is_nobody_elses(bare_site: Site) -> None:
    before = os.umask(0)
    try:
        bare_site.init()
        bare_site.write("f/s/a", "1")
        bare_site.catch_up()
        bare_site.run("submit", "f/s", "--on", "2026-01-01")
    finally:
        os.umask(before)
    found = modes(bare_site.archive)
    assert {mode for name, mode in found.items() if (bare_site.archive / name).is_dir()} == {0o700}
    assert found["keys/signing_key"] == 0o600
    # Content objects are made 0444; nobody else gets as far as them.
    others = {name for name, mode in found.items() if mode & 0o007 and "lfs/objects/" not in name}
    assert others <= {"keys/allowed_signers", "socket"}, others
    bare_site.verified()


@pytest.mark.needs("root")
def test_an_archive_that_was_open_to_all_is_closed_at_the_next_start(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    group = 65534
    for path in [site.archive, *site.archive.rglob("*")]:
        if "keys" not in path.parts:
            path.chmod(0o755 if path.is_dir() else 0o644 if "lfs" not in path.parts else 0o444)
    assert {each["code"] for each in site.findings()} >= {"A061"}
    site.configure(access={"read_group": "nogroup"})
    site.repository.joinpath("hooks/reference-transaction").chmod(0o755)
    site.repository.joinpath("hooks/pre-receive").chmod(0o755)
    site.catch_up()
    assert all(path.stat().st_gid == group for path in site.repository.rglob("*"))
    assert site.archive.joinpath("keys/signing_key").stat().st_gid != group
    site.verified()
    assert permissions.has_expected_access(site.archive, group)


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Path]:
    """A folder as a Samba server has them: what is made in it belongs to a group too, whatever the umask."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        listed = [
            "-m",
            f"g:{STAFF}:rwx",
            "-m",
            f"d:g:{STAFF}:rwx",
            "-m",
            "d:u::rwx",
            "-m",
            "d:g::rwx",
            "-m",
            "d:o::rx",
        ]
        subprocess.run(["setfacl", *listed, folder], check=True)
        os.chmod(folder, 0o775)
        yield Path(folder)


def lists(root: Path) -> list[Path]:
    return [
        path for path in [root, *root.rglob("*")] if not path.is_socket() and permissions.has_acl(os.fspath(path))
    ]


def as_member(*command: str | Path) -> int:
    """The exit code of a command of somebody who is of the group only."""
    return subprocess.run([*become_user(65531, STAFF), *command], capture_output=True).returncode


@pytest.mark.needs("root", "another user", "setfacl")
def test_below_a_folder_with_a_default_list_the_archive_is_still_nobody_elses(shared: Path) -> None:
    site = Site(shared / "site").init()
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("submit", "f/s", "--on", "2026-01-01")
    assert lists(site.archive) == []
    [content] = [path for path in (site.repository / "lfs/objects").rglob("*") if path.is_file()]
    assert as_member("rm", "-f", content) != 0
    assert as_member("cat", site.repository / "config") != 0
    assert not [path for path in modes(site.archive).values() if path & 0o022]
    site.verified()
    copy = shared / "copy"
    copy.mkdir()
    shutil.copytree(site.archive / "keys", copy / "keys")
    subprocess.run(
        ["git", *IN_FILES, "clone", "-q", "--mirror", site.repository, copy / "archive.git"], check=True
    )
    shutil.copytree(site.repository / "lfs", copy / "archive.git/lfs")
    other = Site(shared / "other")
    other.archive = copy
    other.repository = copy / "archive.git"
    other.init("--adopt")
    other.verified()
    assert lists(copy) == []
    assert modes(copy)["keys/signing_key"] == 0o600


@pytest.mark.needs("root", "another user", "setfacl")
def test_an_archive_of_before_is_closed_by_the_daemon_which_says_so(shared: Path) -> None:
    site = Site(shared / "site").init()
    site.write("f/s/a", "1")
    site.catch_up()
    subprocess.run(["setfacl", "-R", "-m", f"g:{STAFF}:rwx", "-m", f"d:g:{STAFF}:rwx", site.archive], check=True)
    assert as_member("cat", site.repository / "config") == 0
    assert {each["code"] for each in site.findings()} >= {"A061"}
    assert any("other users can read or change" in problem for problem in site.json("status")["problems"])
    out = site.catch_up().stdout
    assert "The permissions of" in out
    # Nobody gets to what stays in the spool, which is its owner's alone.
    noted = site.archive / "spool/signing"
    assert [path for path in lists(site.archive) if path != noted] == []
    for path in (site.repository / "config", noted):
        assert as_member("cat", path) != 0
    assert not any("other users can" in problem for problem in site.json("status")["problems"])
    site.verified()
    assert "The permissions of" not in site.catch_up().stdout


@pytest.mark.needs("root", "another user")
def test_without_a_reading_group_the_owners_own_group_does_not_read(site: Site) -> None:
    """On a NAS everybody is of one primary group; archives were 2750 before."""
    site.write("f/s/a", "1")
    site.catch_up()
    for path in [site.archive, *site.archive.rglob("*")]:
        if path.is_dir():
            path.chmod(0o2750)
        os.chown(path, -1, STAFF)
    open_the_way(site.root)
    assert as_member("ls", site.archive) == 0
    assert any("other users can read or change" in problem for problem in site.json("status")["problems"])
    assert "The permissions of" in site.catch_up().stdout
    assert as_member("ls", site.archive) != 0
    site.write("f/s/b", "2")
    site.catch_up()
    assert {mode for name, mode in modes(site.archive).items() if (site.archive / name).is_dir()} == {0o700}


@pytest.mark.needs("root")
@pytest.mark.parametrize("group", [False, True])
@pytest.mark.parametrize(
    ("place", "mode"),
    [
        (".", 0o755),
        ("keys", 0o770),
        ("keys/signing_key", 0o640),
        ("archive.git/refs/heads", 0o777),
        ("archive.git/lfs/objects", 0o770),
        ("archive.git/lfs/objects/*", 0o2775),
        ("archive.git/lfs/objects/*/*/*", 0o664),
        ("archive.git/config", 0o660),
        ("spool", 0o770),
        ("index.db", 0o666),
    ],
)
def test_status_sees_what_others_could_read_or_change_and_the_start_closes_it(
    site: Site, place: str, mode: int, group: bool
) -> None:
    if group:
        site.configure(access={"read_group": "nogroup"})
    site.write("f/s/a", "1")
    site.catch_up()
    assert not any("other users can" in problem for problem in site.json("status")["problems"])
    for path in site.archive.glob(place) if place != "." else [site.archive]:
        path.chmod(mode)
    [problem] = [problem for problem in site.json("status")["problems"] if "other users can" in problem]
    assert f"archive/{place.split('*')[0]}".rstrip("/.") in problem
    assert "other users can" in site.run("status", "--check", code=9).stderr
    site.catch_up()
    assert not any("other users can" in problem for problem in site.json("status")["problems"])
    site.verified()


@pytest.mark.needs("root")
def test_a_group_that_comes_later_reads_what_was_made_before(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    site.run("maintain")
    site.configure(access={"read_group": "nogroup"})
    site.write("f/s/b", "2")
    site.catch_up()
    for path in site.repository.rglob("*"):
        # Content objects may be read by all who get as far as them.
        assert path.stat().st_mode & (0o004 if path.parent.parent.parent.name == "objects" else 0o040), path
    site.configure(access={"read_group": ""})
    site.catch_up()
    assert stat.S_IMODE(site.archive.stat().st_mode) == 0o700


@pytest.mark.needs("root")
def test_a_group_reads_databases_that_are_made_anew(site: Site) -> None:
    """After a restore from a backup, for example; ``status`` and ``audit`` need them."""
    site.write("f/s/a")
    site.configure(access={"read_group": "daemon"})
    site.catch_up()
    for command in (("run", "--once"), ("submit", "f/s", "--on", "2026-03-02"), ("reindex",)):
        for name in ("index.db", "state.db"):
            (site.archive / name).unlink()
        before = os.umask(0o077)
        try:
            site.run(*command)
        finally:
            os.umask(before)
        made = [path for path in site.archive.glob("*.db") if stat.S_IMODE(path.stat().st_mode) != 0o640]
        assert not made, command
        site.catch_up()


@pytest.mark.parametrize("umask", [0o002, 0o077])
def test_files_for_others_have_the_modes_that_these_need(site: Site, umask: int) -> None:
    metrics = site.root / "metrics"
    metrics.mkdir()
    site.configure(metrics={"textfile": metrics / "archiver.prom"})
    site.write("f/s/a", "1")
    before = os.umask(umask)
    try:
        daemon = site.start("--settle", "0.1")
        wait_until(lambda: (metrics / "archiver.prom").exists() and site.tags())
        daemon.send_signal(signal.SIGINT)
        daemon.communicate(timeout=30)
        site.run("restore", "f/s/v1", "--to", site.root / "back")
    finally:
        os.umask(before)
    assert stat.S_IMODE((metrics / "archiver.prom").stat().st_mode) == 0o644
    assert os.listdir(metrics) == ["archiver.prom"]
    # Whoever restores decides with their own umask, and not the archive.
    assert stat.S_IMODE((site.root / "back/a").stat().st_mode) == 0o666 & ~umask
    assert not {name for name, mode in modes(site.archive).items() if mode & 0o022 and name != "socket"}


@pytest.mark.parametrize("how", ["folder", "inner", "file", "owner", "link"])
@pytest.mark.needs("root")
def test_a_cache_that_others_could_write_is_thrown_away(site: Site, how: str) -> None:
    for text in ("one\n", "two\n"):
        site.write("f/s/a.txt", text)
        site.catch_up()
    before = os.umask(0o002)
    try:
        honest = site.run("diff", "f/s/v1", "f/s/v2", "--text").stdout
    finally:
        os.umask(before)
    cache = site.archive / "documents"
    folders = [cache, *(path for path in cache.iterdir() if path.is_dir())]
    assert {path.stat().st_mode & 0o777 for path in folders} == {0o700}
    kept = sorted(path for path in cache.rglob("*") if path.is_file() and path.parent != cache)
    assert len(kept) == 2
    for path in kept:
        document = json.loads(zlib.decompress(path.read_bytes()))
        path.write_bytes(zlib.compress(json.dumps({**document, "text": "forged\n"}).encode()))
    if how == "folder":
        cache.chmod(0o775)
    elif how == "link":
        cache.rename(site.root / "elsewhere")
        cache.symlink_to(site.root / "elsewhere")
    else:
        for path in kept:
            if how == "inner":
                path.parent.chmod(0o770)
            elif how == "file":
                path.chmod(0o660)
            else:
                os.chown(path, 65534, -1)
    assert site.run("diff", "f/s/v1", "f/s/v2", "--text").stdout == honest
    assert "forged" not in site.run("diff", "f/s/v1", "f/s/v2", "--text").stdout
    assert not cache.is_symlink()
    assert cache.stat().st_mode & 0o777 == 0o700
    site.verified()


@pytest.mark.parametrize("how", ["root", "keys", "key", "refs", "owner"])
@pytest.mark.needs("root")
def test_permissions_that_were_widened_are_found(site: Site, how: str) -> None:
    if how == "root":
        site.archive.chmod(0o755)
    elif how == "keys":
        (site.archive / "keys").chmod(0o755)
    elif how == "key":
        (site.archive / "keys/signing_key").chmod(0o640)
    elif how == "refs":
        (site.repository / "refs/heads/journal").chmod(0o666)
    else:
        os.chown(site.repository / "HEAD", 65534, -1)
    assert {each["code"] for each in site.findings()} == {"A061"}


@pytest.mark.needs("root", "chattr")
def test_immutable_content_cannot_even_be_removed_by_root(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    assert site.json("status")["protection"] == "permissions"
    out = site.run("protect").stdout
    [content] = [path for path in (site.repository / "lfs/objects").rglob("*") if path.is_file()]
    try:
        assert "1 object is immutable (1 newly set)" in out
        assert "i" in subprocess.run(["lsattr", content], capture_output=True, text=True).stdout.split()[0]
        assert site.json("status")["protection"] == "immutable"
        for attempt in (
            content.unlink,
            lambda: content.write_text("x"),
            lambda: os.link(content, site.root / "x"),
        ):
            with pytest.raises(PermissionError):
                attempt()
        assert subprocess.run(["rm", "-f", content], capture_output=True).returncode != 0
        site.verified()
        site.write("f/s/b", "2")
        site.catch_up()
        assert site.json("status")["protection"] == "permissions", "not everything is, any more"
        assert json.loads(site.git("log", "-1", "--format=%B", "journal").stdout.split()[0]) > 0
    finally:
        site.run("protect", "--off")
    assert site.json("status")["protection"] == "permissions"
    content.unlink()


@pytest.mark.needs("root", "setpriv", "chattr")
def test_without_the_capability_it_says_so(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    command = ["setpriv", "--bounding-set", "-linux_immutable", "--inh-caps", "-linux_immutable", COMMAND]
    done = subprocess.run(
        [*command, "--config", site.config, "protect"], capture_output=True, text=True, cwd=site.root
    )
    assert done.returncode == 8, done.stdout + done.stderr
    assert "CAP_LINUX_IMMUTABLE" in done.stderr
    site.verified()


def test_threads_that_write_at_the_same_time_leave_the_mask_as_it_was() -> None:
    before = os.umask(0o022)
    try:
        first, second = permissions.archive_umask(), permissions.archive_umask()
        first.__enter__()
        second.__enter__()
        # Whoever came first leaves first.
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert os.umask(0o022) == 0o022
    finally:
        os.umask(before)
