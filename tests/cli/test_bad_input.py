"""Bad input: one clear sentence, the right exit code, nothing lost."""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import sqlite3
import subprocess
import unicodedata
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.other_user import become_user
from tests.support.site import COMMAND, Site, tree


@dataclass(frozen=True)
class Case:
    name: str
    arguments: list[str]
    code: int
    said: list[str]
    arrange: Callable[[Site], object] = field(default=lambda site: None)


def _config(text: str) -> Callable[[Site], object]:
    return lambda site: site.config.write_text(site.config.read_text() + text)


def _damage_index(site: Site) -> None:
    for file in site.archive.glob("index.db*"):
        file.write_bytes(b"this is no database" * 500)


def damage_index_inside(site: Site, table: str = "versions") -> None:
    """Damage one table: the index can be opened, and a command fails when it reads the table."""
    path = site.archive / "index.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("pragma wal_checkpoint(truncate)")
        (page,) = database.execute("select rootpage from sqlite_master where name = ?", (table,)).fetchone()
        (page_size,) = database.execute("pragma page_size").fetchone()
    with open(path, "r+b") as stream:
        stream.seek((page - 1) * page_size)
        stream.write(b"\xff" * 16)


def _block_rebuild(site: Site) -> None:
    """A damaged index, and a folder where the rebuild makes the new one: not even root can replace that."""
    damage_index_inside(site)
    (site.archive / "index.db.new").mkdir()


CASES = [
    Case("no configuration", ["--config", "", "log"], 3, ["Cannot find archiver.toml"],
         lambda s: s.config.rename("x.toml")),
    Case("named configuration is missing", ["--config", "nowhere.toml", "log"], 2, ["nowhere.toml", "does not exist"]),
    Case("unknown section", ["log"], 3, ["wach", "not a known setting", "watch"], _config("[wach]\n")),
    Case("unknown key", ["log"], 3, ["retention.yaers", "did you mean retention.years"], _config("yaers = 3\n")),
    Case("wrong type", ["log"], 3, ["watch.settle_seconds"], lambda s: s.set("watch", "settle_seconds", "'soon'")),
    Case("not TOML", ["log"], 3, ["not valid TOML"], _config("= =\n")),
    Case("not UTF-8", ["log"], 3, ["UTF-8"], lambda s: s.config.write_bytes(b"\xb1\xb8 = 1")),
    Case("under three years", ["run", "--once"], 3, ["at least 3 years"], lambda s: s.set("retention", "years", 2)),
    Case("archive inside the watched folder", ["run", "--once"], 3, ["one contains the other"],
         lambda s: s.set("archive", "path", f'"{s.watch}/archive"')),
    Case("watched folder inside the archive", ["run", "--once"], 3, ["one contains the other"],
         lambda s: s.set("watch", "path", f'"{s.archive}/w"')),
    Case("no archive there", ["log"], 3, ["There is no archive at"],
         lambda s: s.set("archive", "path", f'"{s.root}/nowhere"')),
    Case("watched folder is missing", ["run", "--once"], 8, ["is missing", "No archived data was lost"],
         lambda s: s.set("watch", "path", f'"{s.root}/nowhere"')),
    Case("unknown tag", ["show", "f/s/v9"], 7, ["Version f/s/v9 does not exist", "Did you mean: f/s/v"]),
    Case("unknown tag, nothing near", ["show", "zzz"], 7, ["archiver log"]),
    Case("unknown filing", ["log", "g"], 7, ["Filing g does not exist"]),
    Case("unknown submission", ["submit", "f/t", "--on", "2026-01-01"], 7,
         ["Submission folder f/t does not exist", "Did you mean: f/s"]),
    Case("unknown version to submit", ["submit", "f/s", "--version", "9", "--on", "2026-01-01"], 7, ["f/s/v9"]),
    Case("unknown material", ["explain", "f/s/v1:nope"], 7, ["contains no file nope"]),
    Case("date in the future", ["submit", "f/s", "--on", "2999-01-01"], 2, ["in the future"]),
    Case("no date", ["submit", "f/s"], 2, ["--on"]),
    Case("a date that is none", ["submit", "f/s", "--on", "soon"], 2, ["soon"]),
    Case("number that fits no form", ["submit", "f/s", "--on", "2026-01-01", "--number", "12"], 2, ["21 digits"]),
    Case("receipt is missing", ["submit", "f/s", "--on", "2026-01-01", "--receipt", "no.pdf"], 2, ["no.pdf"]),
    Case("receipt is empty", ["submit", "f/s", "--on", "2026-01-01", "--receipt", "e.pdf"], 2,
         ["e.pdf is empty", "Nothing was recorded"], lambda s: (s.root / "e.pdf").write_bytes(b"")),
    Case("kind that is none", ["submit", "f/s", "--on", "2026-01-01", "--kind", "odd"], 2, ["odd"]),
    Case("restore of an unknown tag", ["restore", "f/s/v7", "--to", "back"], 7, ["f/s/v7"]),
    Case("restore onto differing files", ["restore", "f/s/v1", "--to", "back"], 2,
         ["differs from the archive: a", "Nothing was changed"],
         lambda s: ((s.root / "back").mkdir(), (s.root / "back/a").write_text("mine"))),
    Case("restore onto a file", ["restore", "f/s/v1", "--to", "back"], 2, ["Cannot use", "as a folder"],
         lambda s: (s.root / "back").write_text("x")),
    Case("audit onto a full folder", ["audit", "--to", "pkg"], 2, ["already exists"],
         lambda s: ((s.root / "pkg").mkdir(), (s.root / "pkg/x").write_text("mine"))),
    Case("audit of an unknown filing", ["audit", "--to", "pkg", "--filing", "g"], 7, ["Filing g does not exist"]),
    Case("audit of nothing", ["audit", "--to", "pkg", "--until", "2001-01-01"], 7, ["No version matches"]),
    Case("disposal", ["dispose", "plan", "f/s/v1"], 4,
         ["Cannot dispose of f/s/v1", "retained at least through", "Nothing was deleted"]),
    Case("disposal of everything", ["dispose", "plan"], 4, ["Cannot dispose of"]),
    Case("disposal without a plan", ["dispose", "run", "P1"], 4,
         ["Disposal plan P1 does not exist"]),
    Case("disposal of a version", ["dispose", "run", "f/s/v1"], 4, ["retained at least through"]),
    Case("approval of an unknown plan", ["dispose", "approve", "P1", "--reason", "x"], 7,
         ["Disposal plan P1 does not exist"]),
    Case("unknown command", ["lgo"], 2, ["lgo"]),
    Case("unknown option", ["log", "--jsno"], 2, ["--jsno"]),
    Case("init over an archive", ["--config", "new.toml", "init", "--archive", "archive", "--watch", "watched"], 2,
         ["already exists"]),
    Case("init under three years", ["--config", "new.toml", "init", "--archive", "n", "--watch", "watched",
         "--retention-years", "2"], 3, ["2 years is out of range", "the minimum is 3", "Nothing was changed"]),
    Case("init with years as text", ["--config", "new.toml", "init", "--archive", "n", "--watch", "watched",
         "--retention-years", "3.5"], 2, ["3.5"]),
    Case("init without a watched folder", ["--config", "new.toml", "init", "--archive", "n", "--watch", "gone"], 2,
         ["does not exist"]),
    Case("init inside the watched folder", ["--config", "new.toml", "init", "--archive", "watched/n", "--watch",
         "watched"], 3, ["one contains the other"]),
    Case("init over a configuration", ["init", "--archive", "n", "--watch", "watched"], 2, ["already exists"]),
    Case("damaged index", ["log"], 0, ["Cannot use the index", "Rebuilding it"], _damage_index),
    Case("index damaged inside", ["reindex"], 0, ["Cannot use the index", "index.db (", "Rebuilding it"],
         damage_index_inside),
    Case("index damaged inside, read only", ["log"], 0, ["The index is damaged", "Rebuilding it"], damage_index_inside),
    Case("index that cannot be rebuilt", ["log"], 8, ["Rebuilding it", "index.db.new", "No archived data was lost"],
         _block_rebuild),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input(site: Site, case: Case) -> None:
    for number in (1, 2):
        site.write("f/s/a", f"content {number}")
        site.catch_up()
    before, good = tree(site.watch), site.config.read_bytes()
    case.arrange(site)
    arguments = case.arguments if case.arguments[0] == "--config" else ["--config", site.config, *case.arguments]
    arguments = arguments[2:] if arguments[1] == "" else arguments
    done = subprocess.run([COMMAND, *arguments], cwd=site.root, capture_output=True, text=True)
    assert done.returncode == case.code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    for fragment in case.said:
        assert fragment in done.stderr
    assert tree(site.watch) == before
    site.config.write_bytes(good)
    if case.arrange is _block_rebuild:
        (site.archive / "index.db.new").rmdir()
    assert site.tags() == ["f/s/v2", "f/s/v1"]
    site.verified()
    assert not (site.root / "n").exists()


def test_a_full_disk_during_the_rebuild_is_named(site: Site) -> None:
    """A file cannot grow beyond the limit, which is less than the new index needs: SQLite fails, as on a full disk."""
    site.write("f/s/a", "1")
    site.catch_up()
    damage_index_inside(site)
    done = subprocess.run(
        [COMMAND, "--config", site.config, "log"],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10)),
    )
    assert done.returncode == 8, done.stderr
    assert "Traceback" not in done.stderr
    assert f"{site.archive}: " in done.stderr
    assert site.tags() == ["f/s/v1"]
    site.verified()


def test_a_database_error_without_settings_is_named(bare_site: Site) -> None:
    """``init`` has no settings to read yet; the limit is less than the index needs."""
    done = subprocess.run(
        [COMMAND, "init", "--archive", bare_site.archive, "--watch", bare_site.watch],
        cwd=bare_site.root,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 10, 64 << 10)),
    )
    assert done.returncode == 8, done.stderr
    assert "Traceback" not in done.stderr
    assert "No archived data was lost" in done.stderr


UNUSUAL = [
    "材料".encode("gbk"), b"new\nline", b"quo\"te'", b"-leading", b"x" * 255, b"dot.", b".gitignore", b".gitattributes",
    b".git", b"Case", b"cASE", unicodedata.normalize("NFC", "é").encode(), unicodedata.normalize("NFD", "é").encode(),
]  # fmt: skip


def test_unusual_files_all_at_once(site: Site) -> None:
    """What can be archived is, what cannot is named, and one does not keep back the other."""
    for name in UNUSUAL:
        site.write(b"f/s/" + name, name)
    site.write("f/s/repo/.git/HEAD", "ref: refs/heads/x")
    site.write("f/s/repo/.gitignore", "*")
    site.write("f/s/repo/ignored-by-git", "kept all the same")
    os.mkfifo(site.watch / "f/s/fifo")
    for name, target in (
        ("outside", "/etc/passwd"),
        ("dangling", "nowhere"),
        ("loop", "loop"),
        ("folder", "/etc"),
    ):
        (site.watch / "f/s" / name).symlink_to(target)
    with socket.socket(socket.AF_UNIX) as server:
        folder = os.open(site.watch / "f/s", os.O_RDONLY)
        server.bind(f"/proc/self/fd/{folder}/socket")
        os.close(folder)
        site.catch_up()
    skipped = {item["path"]: item["reason"] for item in site.json("status")["skipped"]}
    assert set(skipped) == {f"f/s/{name}" for name in ("fifo", "socket", "outside", "dangling", "loop", "folder")}
    site.run("restore", "f/s/v1", "--to", site.root / "back")
    links = {b"folder": (None, 0)}
    assert tree(site.root / "back") | links == tree(site.watch / "f/s")
    site.verified()
    assert len(site.run("status").stdout.splitlines()) > 6


@pytest.mark.needs("root", "another user")
def test_a_file_without_read_permission_is_named_and_archived_later(tmp_path: Path) -> None:
    import shutil
    import tempfile

    root = Path(tempfile.mkdtemp())
    try:
        os.chmod(root, 0o755)
        site = Site(root / "site")
        site.write("f/s/secret", "1").chmod(0)
        site.write("f/s/open", "2")
        for path in [root, *root.rglob("*")]:
            os.chown(path, 65534, 65534, follow_symlinks=False)
        os.chown(site.watch / "f/s/secret", 0, 0)

        def run(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
            command = [*become_user(65534), COMMAND, "--config", site.config, *map(str, arguments)]
            done = subprocess.run(command, cwd=site.root, capture_output=True, text=True)
            assert done.returncode == code, done.stdout + done.stderr
            return done

        run("init", "--archive", site.archive, "--watch", site.watch)
        out = run("run", "--once", "--settle", "0", code=9).stderr
        assert "Not archived: f/s/secret" in out
        assert "Permission denied" in run("status").stdout
        assert "secret" not in run("show", "f/s/v1").stdout
        (site.watch / "f/s/secret").chmod(0o644)
        run("run", "--once", "--settle", "0")
        assert "secret" in run("show", "f/s/v2").stdout
        assert "Skipped" not in run("status").stdout
        run("verify")
    finally:
        shutil.rmtree(root)


def test_an_archive_that_another_process_writes_to(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    with open(site.archive / "lock", "r+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        held.truncate()
        held.write("4711 (another writer)")
        held.flush()
        done = site.run("submit", "f/s", "--on", "2026-01-01", "--wait", "0.2", code=6)
        assert "4711 (another writer)" in done.stderr
        assert site.json("log")[0]["submitted"] == []
        site.run("restore", "f/s/v1", "--to", site.root / "back", "--wait", "0.2")
        site.run("show", "f/s/v1")
    site.run("submit", "f/s", "--on", "2026-01-01")
    site.verified()


def test_inherited_git_variables_have_no_effect(site: Site) -> None:
    site.write("f/s/a", "1")
    env = {
        "GIT_DIR": "/nonexistent",
        "GIT_OBJECT_DIRECTORY": "/nonexistent",
        "GIT_INDEX_FILE": "/nonexistent",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "core.autocrlf",
        "GIT_CONFIG_VALUE_0": "true",
        "GIT_PYTHON_GIT_EXECUTABLE": "/nonexistent",
    }
    site.run("run", "--once", "--settle", "0", env=env)
    site.run("verify", env=env)
    assert site.tags() == ["f/s/v1"]


def test_global_options_go_before_and_after_the_command(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    for arguments in (
        ["--config", site.config, "-q", "log", "--json"],
        ["log", "--json", "-q", "--config", site.config],
    ):
        done = subprocess.run([COMMAND, *map(str, arguments)], capture_output=True, text=True, check=True, cwd="/")
        assert "f/s/v1" in done.stdout


def test_a_closed_pipe_is_no_error(site: Site) -> None:
    site.write("f/s/a", "1")
    site.catch_up()
    pipe = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {COMMAND} --config {site.config} log --json | true"], capture_output=True
    )
    assert pipe.stderr == b""


def test_an_unexpected_error_leaves_a_log(site: Site, tmp_path: Path) -> None:
    code = "import archiver.store.archive as a; a.Archive.__init__ = lambda *x, **y: 1 / 0; "
    code += "from archiver.cli.main import main; import sys; sys.exit(main())"
    import sys

    done = subprocess.run(
        [sys.executable, "-c", code, "--config", site.config, "log"],
        capture_output=True,
        text=True,
        env={**os.environ, "TMPDIR": os.fspath(tmp_path)},
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    log = next(tmp_path.glob("archiver-error-*.log"))
    assert os.fspath(log) in done.stderr
    assert "ZeroDivisionError" in log.read_text()
