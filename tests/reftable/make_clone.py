"""A mirror clone that git keeps in the reftable format, with its keys: what git before 2.45 cannot make.

    python tests/reftable/make_clone.py

Run as root (it works in /srv, because ``init`` journals the watched path) with git 2.47 or later and the Python of a virtual environment in which archiver is installed.  It makes an
archive with names in Chinese, clones it as git 3 does where nobody names the format, packs the refs, and writes
``clone.tar.gz`` beside itself: ``archive/archive.git`` with its contents, ``archive/keys``, ``materials``,
and ``log.json``, what ``archiver log --json`` said of the archive.  tests/store/test_git_defaults.py reads it.

The signing keys in it are MADE FOR TESTS.  They lie in this repository on purpose, protect nothing, and must never
sign anything else.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = Path("/srv/archiver-reftable")
COMMAND = Path(sys.executable).parent / "archiver"
README = """\
This is a clone of an archive of archiver's own tests. Its signing keys are MADE FOR TESTS: they are public, they
protect nothing, and nothing else may be signed with them.
"""


def main() -> None:
    """Make it; raises CalledProcessError where git cannot."""
    os.umask(0o022)
    # Raises where it is there: nothing of anybody's is overwritten.
    TOP.mkdir()
    try:
        make(TOP)
        (TOP / "README").write_text(README, "utf-8")
        pack = ["tar", "-C", TOP, "--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=pax"]
        kept = ["README", "archive", "log.json", "materials"]
        subprocess.run([*pack, "-czf", HERE / "clone.tar.gz", *kept], check=True)
    finally:
        shutil.rmtree(TOP)


def make(top: Path) -> None:
    """An archive of a few versions, and in its place the clone."""
    materials, made, kept = top / "materials", top / "made", top / "archive"
    materials.mkdir()
    archiver(top, "init", "--archive", made, "--watch", materials)
    for number, text in enumerate(("初稿", "二稿", "定稿")):
        write(materials / "推荐算法/2026-03-首次备案/安全自评估报告.txt", text)
        write(materials / "推荐算法/2026-04-补正" / f"附件 {number}.txt", text)
        archiver(top, "run", "--once", "--settle", "0.05")
    archiver(top, "submit", "推荐算法/2026-03-首次备案", "--on", "2026-03-20")
    (top / "log.json").write_bytes(archiver(top, "log", "--json"))
    clone = kept / "archive.git"
    # Not by copying files: as from another machine.
    by_reftable = ("-c", "init.defaultRefFormat=reftable", "clone", "--no-local", "--template=")
    git(*by_reftable, "--quiet", "--mirror", made / "archive.git", clone)
    # Of the machine that it was made on.
    git(f"--git-dir={clone}", "config", "remote.origin.url", "server:/var/lib/archiver/archive/archive.git")
    git(f"--git-dir={clone}", "pack-refs", "--all")
    shutil.copytree(made / "archive.git/lfs", clone / "lfs")
    shutil.copytree(made / "keys", kept / "keys")


def archiver(top: Path, *arguments: object) -> bytes:
    words = [COMMAND, "--config", top / "archiver.toml", *map(str, arguments)]
    return subprocess.run(words, check=True, stdout=subprocess.PIPE).stdout


def git(*arguments: object) -> None:
    subprocess.run(["git", *map(str, arguments)], check=True)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
