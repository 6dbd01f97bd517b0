"""What a stranger does with stock git and git-lfs, without this program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.restore.test_restoration import NAMES
from tests.support import git_three
from tests.support.other_user import become_user
from tests.support.site import CHECKOUT, SAMPLES, Site, free_port, listens, open_the_way, tree, wait_until

pytestmark = pytest.mark.needs("root", "mount", "another user", "git-lfs", "sshd", "rsync")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """Another filesystem: stock git-lfs hard-links objects on the same one."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


#: A member of the reading group, who owns nothing of the archive.
READER = become_user(65533)


def objects(site: Site) -> dict[str, tuple[int, int, int]]:
    found = {}
    for path in sorted(site.repository.rglob("*")):
        status = path.lstat()
        found[os.fspath(path)] = (status.st_mode, status.st_nlink, status.st_mtime_ns)
    return found


def run(*command: str | Path, cwd: Path, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": os.fspath(home), "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, errors="surrogateescape", check=False
    )


@pytest.fixture(params=[False, True], ids=["git", "git-3"])
def each_git(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The git that is here, and the same with the defaults of git 3."""
    open_the_way(tmp_path)
    if request.param:
        git_three.take_defaults(tmp_path / "git-3", monkeypatch)


@pytest.fixture
def open_site() -> Iterator[Site]:
    """A site that a group of other users may read."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        site = Site(Path(folder) / "site").init()
        site.configure(access={"read_group": "nogroup"})
        yield site


@pytest.mark.usefixtures("each_git")
def test_a_stock_clone_checks_out_every_tag(open_site: Site, elsewhere: Path) -> None:
    site = open_site
    for filing in SAMPLES.iterdir():
        shutil.copytree(filing, site.watch / filing.name)
    for name in NAMES:
        site.write(b"g/s/" + name, name)
    site.write("g/s/empty", b"")
    site.write("g/s/nested/.git/config", "[core]")
    site.catch_up()
    site.write(b"g/s/" + NAMES[0], b"changed")
    (site.watch / "g/s/empty").unlink()
    site.catch_up()
    site.run("submit", "g/s", "--on", "2026-03-20")
    before = objects(site)
    run("git", "lfs", "install", cwd=elsewhere, home=elsewhere)
    run("git", "config", "--global", "safe.bareRepository", "all", cwd=elsewhere, home=elsewhere)
    done = run("git", "clone", site.repository, "clone", cwd=elsewhere, home=elsewhere)
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    clone = elsewhere / "clone"
    head = run("git", "symbolic-ref", "HEAD", cwd=clone, home=elsewhere).stdout.strip()
    assert head == "refs/heads/journal"
    assert (clone / "event.json").is_file()
    tags = run("git", "tag", "-l", cwd=clone, home=elsewhere).stdout.split("\n")[:-1]
    assert sorted(tags) == sorted([*site.tags(), "g/s/submitted"])
    for tag in tags:
        done = run("git", "checkout", "-q", tag, cwd=clone, home=elsewhere)
        assert (done.returncode, done.stderr) == (0, ""), tag
        assert run("git", "status", "--porcelain", cwd=clone, home=elsewhere).stdout == ""
        site.run("restore", tag, "--to", site.root / "back" / tag.replace("/", "_"))
        _same_materials(clone / "materials", site.root / "back" / tag.replace("/", "_"))
    for arguments in (["git", "fsck", "--full", "--strict"], ["git", "lfs", "fsck", "--dry-run"]):
        done = run(*arguments, cwd=clone, home=elsewhere)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "error" not in (done.stdout + done.stderr).lower()
    assert site.git("fsck", "--full", "--strict").stdout == ""
    archive = ["git", "-c", f"safe.directory={site.repository}", f"--git-dir={site.repository}"]
    fsck = run(*READER, *archive, "lfs", "fsck", "--dry-run", cwd=Path("/"), home=Path("/nonexistent"))
    assert fsck.returncode == 0, fsck.stdout + fsck.stderr
    after = objects(site)
    assert {path: after[path] for path in before if "/lfs/objects/" in path} == {
        path: status for path, status in before.items() if "/lfs/objects/" in path
    }
    site.verified()


def _same_materials(checked_out: Path, restored: Path) -> None:
    from archiver.store.names import path_from_tree

    ours = {path: data for path, (data, _) in tree(restored).items() if data is not None}
    theirs = {path_from_tree(path): data for path, (data, _) in tree(checked_out).items() if data is not None}
    assert theirs == ours


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[str]:
    """An ssh server on loopback that knows nothing of Git LFS; the command that reaches it."""
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True)
    port = free_port()
    settings = {
        "ListenAddress": f"127.0.0.1:{port}",
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "user.pub",
        "PermitRootLogin": "prohibit-password",
        "StrictModes": "no",
        "PidFile": "none",
    }
    (tmp_path / "sshd").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    Path("/run/sshd").mkdir(exist_ok=True)
    server = subprocess.Popen(
        [shutil.which("sshd") or "sshd", "-D", "-e", "-f", tmp_path / "sshd"], stderr=subprocess.DEVNULL
    )
    wait_until(lambda: listens(port))
    yield f"ssh -i {tmp_path / 'user'} -p {port} -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -q"
    server.terminate()
    server.wait()


def console_block(document: str, heading: str) -> str:
    """The first commands below a heading of the documentation, without prompts."""
    chapter = (CHECKOUT / document).read_text("utf-8").partition(f"## {heading}\n")[2]
    block = re.search(r"```console\n(.*?)```", chapter, re.DOTALL)
    assert block is not None
    return re.sub(r"^\$ ", "", block[1], flags=re.MULTILINE)


def mirroring(site: Site) -> list[str]:
    """The manual's commands for a mirror, for a server at hand."""
    text = console_block("docs/operations.md", "Disaster recovery from a clone")
    return text.replace("server:/var/lib/archiver/archive/", f"127.0.0.1:{site.archive}/").splitlines()


@pytest.mark.usefixtures("each_git")
def test_stock_tools_send_the_history_to_another_server(open_site: Site, elsewhere: Path) -> None:
    """The commands of docs/offsite.md, into a repository on a disk; it takes nothing that would rewind it."""
    site = open_site
    elsewhere.chmod(0o777)
    shutil.copytree(SAMPLES, site.watch, dirs_exist_ok=True)
    site.catch_up()
    other = elsewhere / "other.git"
    run(*READER, "git", "init", "-q", "--bare", "--object-format=sha1", other, cwd=elsewhere, home=elsewhere)
    text = console_block("docs/offsite.md", "The history on another git server")
    script = "set -e\n" + text.replace("/path/to/archive", os.fspath(site.archive)).replace(
        "URL", f"file://{other}"
    )
    done = run(*READER, "sh", "-c", script, cwd=elsewhere, home=Path("/nonexistent"))
    assert done.returncode == 0, done.stdout + done.stderr
    refs = run("git", f"--git-dir={other}", "for-each-ref", cwd=elsewhere, home=elsewhere).stdout
    assert refs == site.git("for-each-ref").stdout
    sent = {path.name: path.read_bytes() for path in (other / "lfs/objects").rglob("*") if path.is_file()}
    assert sent == {
        path.name: path.read_bytes() for path in (site.repository / "lfs/objects").rglob("*") if path.is_file()
    }
    forged = ["-c", "user.name=x", "-c", "user.email=x@x", "commit-tree", "journal^{tree}", "-m", "forged"]
    commit = run("git", f"--git-dir={other}", *forged, cwd=elsewhere, home=elsewhere)
    ref = ["update-ref", "refs/heads/journal", commit.stdout.strip()]
    assert run("git", f"--git-dir={other}", *ref, cwd=elsewhere, home=elsewhere).returncode == 0
    line = text.splitlines()[-1].replace("URL", f"file://{other}")
    again = run(*READER, "sh", "-c", f"cd mirror && {line}", cwd=elsewhere, home=elsewhere)
    assert again.returncode != 0
    assert "rejected" in again.stderr


@pytest.mark.usefixtures("each_git")
def test_a_clone_becomes_an_archive_again(open_site: Site, elsewhere: Path, ssh: str) -> None:
    """The server is gone; a mirror and a copy of the keys are left (docs/operations.md)."""
    site = open_site
    shutil.copytree(SAMPLES, site.watch, dirs_exist_ok=True)
    site.catch_up()
    name = "/".join(site.tags()[0].split("/")[:2])
    site.run("submit", name, "--on", "2026-03-20")
    log, manifest = site.json("log"), site.json("show", f"{name}/v1")
    new = Site(elsewhere / "new")
    new.archive.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": os.fspath(elsewhere), "GIT_SSH_COMMAND": ssh, "RSYNC_RSH": ssh}
    for command in (*mirroring(site), f"cp -a {site.archive / 'keys'} keys"):
        done = subprocess.run(["sh", "-c", command], cwd=new.archive, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    shutil.rmtree(site.archive)
    shutil.copytree(site.watch, new.watch, dirs_exist_ok=True)
    new.init("--adopt")
    assert new.verified()["checked"]["versions"] == len(log)
    assert new.json("log") == log
    assert new.json("show", f"{name}/v1") == manifest
    new.catch_up()
    assert new.json("log") == log, "the same input twice makes no second version"
    new.write(f"{name}/neu", "1")
    new.catch_up()
    new.run("submit", name, "--on", "2026-03-21", "--version", 2)
    new.verified()
    new.run("restore", f"{name}/v1", "--to", elsewhere / "back")


def test_what_is_no_clone_is_not_taken_in(bare_site: Site) -> None:
    site = bare_site
    for _ in range(2):
        done = site.run("init", "--archive", site.archive, "--watch", site.watch, "--adopt", code=8)
        assert "clone --mirror" in done.stderr
        assert not site.config.exists()
        # Now something is there, but no repository.
        site.repository.mkdir(parents=True, exist_ok=True)
        (site.repository / "HEAD").touch()


def checking(site: Site, readme: str, tag: str) -> list[str]:
    """The README's commands for whoever checks without this program."""
    text = (CHECKOUT / readme).read_text("utf-8")
    [block] = re.findall(r"```console\n(\$ export HOME=.*?)```", text, re.DOTALL)
    lines = [line.removeprefix("$ ") for line in block.replace("/path/to/archive", str(site.archive)).splitlines()]
    return [f"tag={tag}" if line.startswith("tag=") else line for line in lines]


@pytest.fixture
def three(open_site: Site, elsewhere: Path) -> Site:
    """A version of three materials, one of them empty, and room for whoever may read it."""
    open_site.write("推荐/首次/材料 一", "1")
    open_site.write("推荐/首次/\n二", "2")
    open_site.write("推荐/首次/空", b"")
    open_site.catch_up()
    elsewhere.chmod(0o777)
    return open_site


@pytest.mark.usefixtures("each_git")
@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"], ids=["en", "zh"])
def test_a_member_of_the_reading_group_checks_without_this_program(
    three: Site, elsewhere: Path, readme: str
) -> None:
    lines = "\n".join(checking(three, readme, "推荐/首次/v1"))
    done = run(*READER, "bash", "-c", f"set -e\n{lines}", cwd=elsewhere, home=Path("/nonexistent"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Git LFS fsck OK" in done.stdout
    assert re.findall(r"\d+", done.stdout.splitlines()[-1]) == ["3", "3"]


def test_a_check_of_too_little_fails(
    three: Site, elsewhere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Line by line, as pasted into a shell: what failed must not be covered by what passes over nothing."""
    open_the_way(tmp_path)
    git_three.take_defaults(tmp_path / "git-3", monkeypatch)
    lines = [line for line in checking(three, "README.md", "推荐/首次/v1") if "safe.bareRepository" not in line]
    done = run(*READER, "bash", "-c", "\n".join(lines), cwd=elsewhere, home=Path("/nonexistent"))
    assert done.returncode != 0
    assert "Git LFS fsck OK" not in done.stdout
    # The empty one is no pointer, and comes without git-lfs.
    assert done.stdout.splitlines()[-1] == "1 of 3 materials are here"


def test_a_check_of_nothing_fails(open_site: Site, elsewhere: Path) -> None:
    """Without a clone each command fails, and so must the last, which is what a person looks at."""
    lines = [line for line in checking(open_site, "README.md", "推荐/首次/v1") if "clone" not in line]
    done = run("bash", "-c", "\n".join(lines), cwd=elsewhere, home=elsewhere)
    assert done.returncode != 0
    assert done.stdout.splitlines()[-1] == "0 of 0 materials are here"
