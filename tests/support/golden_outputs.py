"""What the commands say of the golden archive, and what they write into it, under clocks that stand still.

    python -m tests.support.golden_outputs

writes tests/golden/outputs anew.  That is done only where an output changes on purpose; the commit says why.
tests/test_golden_outputs.py compares every run with these files.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest import mock

from archiver import clock
from archiver.cli.main import main
from archiver.intake.folder.folder_identity import FolderIdentity
from archiver.model import Actor
from archiver.store import users
from tests.support.site import Site
from tests.test_golden import FACTS, GOLDEN, MADE_AT, unpacked

OUTPUTS = GOLDEN / "outputs"
PLACE = Path("/tmp/archiver-golden-outputs")
#: Two days after the last event of the golden archive, of a machine that was just switched on.
READING = clock.ClockReading(
    wall=datetime(2025, 6, 22, 2, 0, tzinfo=UTC),
    boot_id="00000000-0000-4000-8000-000000000003",
    boottime_ns=60 * 10**9,
    uptime_ns=60 * 10**9,
    shifted=False,
)
#: The watched folder, which has other numbers on every machine.
FOLDER = FolderIdentity("ext4", "6a" * 16, "1f2e3d4c", "", "/", "2621441")
OFFICER = Actor(5001, "wang.min")

#: Name of the file -> command that only reads.  Each is asked in both languages, and with --json where it has that.
LISTINGS: dict[str, tuple[str, ...]] = {
    "status": ("status",),
    "status-check": ("status", "--check"),
    "log": ("log",),
    "log-filing": ("log", "推荐"),
    "log-submission": ("log", "推荐/首次"),
    "show-version": ("show", "推荐/首次/v1"),
    "show-sealed": ("show", "推荐/首次/submitted"),
    "show-undecodable": ("show", "%B1%B8%B0%B8/%CA%D7%B4%CE/v1"),
    "show-odd-names": ("show", "Search%20engine/first%20filing/v1"),
    "show-disposed": ("show", "退役/首次/v1"),
    "show-missing": ("show", "推荐/首次/v9"),
    "diff": ("diff", "推荐/首次/v1", "推荐/首次/v2"),
    "diff-text": ("diff", "推荐/首次/v1", "推荐/首次/v2", "--text"),
    "explain-version": ("explain", "推荐/首次/v1"),
    "explain-path": ("explain", "推荐/首次/v1:模型 说明.txt"),
    "explain-disposed": ("explain", "退役/首次/v1"),
    "explain-held": ("explain", "Search%20engine/first%20filing/v1"),
    "filing-list": ("filing", "list"),
    "filing-show": ("filing", "show", "推荐"),
    "filing-show-ended": ("filing", "show", "退役"),
    "notice-list": ("notice", "list"),
    "change-list": ("change", "list"),
    "change-list-all": ("change", "list", "--all"),
    "deadlines": ("deadlines",),
    "deadlines-all": ("deadlines", "--all"),
    "notice-board": ("notice-board", "推荐"),
    "hold-list": ("hold", "list"),
    "hold-list-all": ("hold", "list", "--all"),
    "dispose-list": ("dispose", "list"),
    "dispose-early": ("dispose", "plan", "推荐/首次/v1"),
    "remind-dry-run": ("remind", "--dry-run"),
    "verify": ("verify",),
    "key-list": ("key", "list"),
}
WITHOUT_JSON = {"notice-board", "remind-dry-run", "key-list", "dispose-early"}
#: These differ between machines: how full the disk is.
_SPACE = {
    "en": re.compile(r"^Free space: .*$", re.MULTILINE),
    "zh": re.compile(r"^可用空间：.*$", re.MULTILINE),
}

#: What is done to the archive for the journal and the package, one after the other; no drill, which chooses at random.
ACTS: list[tuple[str, ...]] = [
    ("run", "--once", "--settle", "0"),
    ("filing", "set", "推荐", "--responsible", "李娜", "--product", "丙", "--on", "2025-06-22"),
    ("notice", "add", "推荐", "--kind", "inspection", "--received", "2025-06-21", "--due", "2025-07-01"),
    ("change", "decide", "3", "--material", "yes", "--reason", "新模型", "--by", "chen.jie"),
    ("submit", "推荐/变更", "--on", "2025-06-22"),
    ("notice", "answer", "3", "--submission", "推荐/变更", "--on", "2025-06-22"),
    ("hold", "place", "抽查 2025", "推荐", "--reason", "a spot check"),
    ("hold", "lift", "诉讼 2023", "--reason", "it is over"),
    ("filing", "end", "推荐", "--on", "2025-06-22", "--reason", "the service was closed"),
    ("dispose", "plan", "试验/首次/v1"),
    ("restore", "推荐/首次/v1", "--to", "restored"),
    ("audit", "--to", "package"),
]


class _CountedBytes:
    """Bytes that look random and are the same in each run of these outputs: salts, names of chains, ids of acts."""

    count = 0

    def __call__(self, size: int) -> bytes:
        type(self).count += 1
        return hashlib.shake_128(b"%d" % self.count).digest(size)


def run(site: Site, *arguments: str) -> tuple[int, str, str]:
    """Exit code and output of a command, in this process, at the time of READING."""
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(secrets, "token_bytes", _CountedBytes()),
        mock.patch.object(secrets, "token_hex", lambda size: secrets.token_bytes(size).hex()),
        mock.patch.object(clock, "read_clocks", return_value=READING),
        mock.patch.object(users, "current_user", return_value=OFFICER),
        mock.patch.object(FolderIdentity, "from_system", return_value=FOLDER),
        contextlib.chdir(site.root),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        code = main(["--config", os.fspath(site.config), *arguments])
    return code, out.getvalue(), err.getvalue()


def said(site: Site, lang: str, command: tuple[str, ...]) -> str:
    """What a person reads, with the exit code; the same on every machine."""
    code, out, err = run(site, "--lang", lang, *command)
    text = f"{out}--- stderr\n{err}--- exit code {code}\n"
    return _SPACE[lang].sub("<space>", text.replace(os.fspath(site.root), MADE_AT))


def answered(site: Site, command: tuple[str, ...]) -> Any:
    """What a program reads, with the exit code; the same on every machine."""
    code, out, _ = run(site, "--lang", "en", *command, "--json")
    answer = json.loads(out.replace(os.fspath(site.root), MADE_AT)) if out else None
    if isinstance(answer, dict):
        answer.pop("space", None)
    return {"exit code": code, "answer": answer}


def listings(site: Site) -> Iterator[tuple[str, str]]:
    """What the reading commands say."""
    for name, command in LISTINGS.items():
        for lang in ("en", "zh"):
            yield f"{name}.{lang}.txt", said(site, lang, command)
        if name not in WITHOUT_JSON:
            answer = answered(site, command)
            yield f"{name}.json", json.dumps(answer, ensure_ascii=False, indent=1, sort_keys=True) + "\n"


def warmed(folder: Path) -> Site:
    """The golden site after the first run of this release, which takes over what an earlier one left."""
    site = unpacked(folder)
    os.umask(0o022)
    run(site, "upgrade")
    run(site, "run", "--once", "--settle", "0")
    return site


def act(site: Site) -> None:
    """Do everything in ACTS."""
    os.utime(site.write("推荐/变更/新 说明.txt", "2025\n"), ns=(10**18 + 1, 10**18 + 1))
    for arguments in ACTS:
        code, out, err = run(site, "--lang", "en", *arguments)
        assert code == 0, (arguments, out, err)


def journalled(site: Site) -> list[str]:
    """The events that the acts wrote, as they lie in the journal, byte for byte."""
    commits = site.git("log", "--reverse", "--format=%H", "journal").stdout.split()[len(FACTS["events"]) :]
    files = [f"{commit}:{name}" for commit in commits for name in ("event.json", "body.json", "head.json")]
    shown = (site.git("show", file, check=False).stdout.rstrip("\n") for file in files)
    return [line for line in shown if line]


def packaged(site: Site) -> dict[str, str]:
    """Name -> SHA-256 of the package's files, but of what git packs and what is our own code."""
    package = site.root / "package"
    chosen = (path for path in sorted(package.rglob("*")) if path.is_file())
    return {
        os.fspath(path.relative_to(package)): hashlib.sha256(_without_our_code(path)).hexdigest()
        for path in chosen
        if path.suffix not in (".bundle", ".py")
    }


def _without_our_code(path: Path) -> bytes:
    """The bytes of a file, but without the digests of code in a manifest."""
    data = path.read_bytes()
    if not path.name.startswith("tagmanifest-"):
        return data
    return b"".join(line for line in data.splitlines(keepends=True) if not line.endswith(b".py\n"))


@contextlib.contextmanager
def place() -> Iterator[Path]:
    """A new folder at a path that is always the same, since events name it; one process at a time has it."""
    with open(PLACE.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(PLACE, ignore_errors=True)
        try:
            PLACE.mkdir()
            yield PLACE
        finally:
            shutil.rmtree(PLACE, ignore_errors=True)


def outputs() -> Iterator[tuple[str, str]]:
    """The name of every golden output, and its text as it is now."""
    with place() as folder:
        _CountedBytes.count = 0
        yield from listings(warmed(folder / "asked"))
        site = warmed(folder / "changed")
        act(site)
        yield "journal.jsonl", "".join(f"{event}\n" for event in journalled(site))
        yield "package.json", json.dumps(packaged(site), ensure_ascii=False, indent=1) + "\n"


def write() -> None:
    """Write every golden output anew."""
    OUTPUTS.mkdir(exist_ok=True)
    for path in OUTPUTS.iterdir():
        path.unlink()
    for name, text in outputs():
        (OUTPUTS / name).write_text(text, "utf-8")


if __name__ == "__main__":
    write()
