"""How each peer is set up, and the shell line that does a job with it.

Every line ends with ``sync``, so that what a tool leaves to the kernel counts too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from installed import COMMAND
from measure import Tool

BAGIT = Path(sys.executable).parent / "bagit.py"
_DEBIAN = ("borgbackup", "restic", "git-annex", "git-lfs")


def install() -> None:
    """Install the peers where root may; ends the program where one is missing."""
    if os.geteuid() == 0 and not all(map(shutil.which, ("borg", "restic", "git-annex", "git-lfs"))):
        subprocess.run(["apt-get", "update", "-q"], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(
            ["apt-get", "install", "-y", "-q", "--no-install-recommends", *_DEBIAN],
            check=True,
            stdout=subprocess.DEVNULL,
        )
    missing = [name for name in ("borg", "restic", "git-annex", "git-lfs") if not shutil.which(name)]
    if missing:
        raise SystemExit(f"install first: {' '.join(missing)}")


def environment(home: Path) -> None:
    """Keep every peer's settings, caches and questions out of the way."""
    home.mkdir()
    # An installed program has its bytecode; ours would be compiled at every start.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ |= {
        "HOME": os.fspath(home),
        "BORG_BASE_DIR": os.fspath(home / "borg"),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "RESTIC_PASSWORD": "bench",
        "RESTIC_CACHE_DIR": os.fspath(home / "restic"),
        "GIT_CONFIG_GLOBAL": os.fspath(home / "gitconfig"),
        "GIT_AUTHOR_NAME": "bench",
        "GIT_AUTHOR_EMAIL": "bench@localhost",
        "GIT_COMMITTER_NAME": "bench",
        "GIT_COMMITTER_EMAIL": "bench@localhost",
    }


class Places:
    """Where each tool keeps what it makes of ``source`` in a round."""

    def __init__(self, source: Path, root: Path) -> None:
        self.source, self.root = source, root

    def of(self, tool: str, number: int) -> Path:
        """The tool's folder of that round."""
        return self.root / f"{tool}{number}"


# --- making


def archiver(places: Places) -> Tool:
    """``archiver run --once`` into a new archive."""

    def prepare(number: int) -> None:
        place = places.of("archiver", number)
        place.mkdir(parents=True)
        init: list[str | Path] = [
            COMMAND,
            "-q",
            "--config",
            place / "archiver.toml",
            "init",
            "--archive",
            place / "archive",
            "--watch",
            places.source,
        ]
        subprocess.run(init, check=True)

    return Tool(lambda number: once(places, number), prepare)


def once(places: Places, number: int) -> str:
    """Catch up with the watched folder."""
    return f"{COMMAND} -q --config {places.of('archiver', number)}/archiver.toml run --once --settle 0 && sync"


def copy(places: Places) -> Tool:
    """The plain limit."""
    return Tool(lambda number: f"mkdir -p {places.root}; cp -r {places.source} {places.of('cp', number)} && sync")


def borg(places: Places) -> Tool:
    """Borg without encryption."""
    return Tool(
        lambda number: f"cd {places.source} && borg create {places.of('borg', number)}::x{{now:%f}} . && sync",
        lambda number: _call("borg", "init", "-e", "none", "--make-parent-dirs", places.of("borg", number)),
    )


def restic(places: Places) -> Tool:
    """Restic, which always encrypts."""
    return Tool(
        lambda number: f"restic -q -r {places.of('restic', number)} backup {places.source} && sync",
        lambda number: _call("restic", "-q", "-r", places.of("restic", number), "init"),
    )


def git(places: Places) -> Tool:
    """``git add`` and a commit."""
    return Tool(
        lambda number: _add(places, places.of("git", number)),
        lambda number: _call("git", "init", "-q", "--bare", places.of("git", number)),
    )


def git_lfs(places: Places) -> Tool:
    """The same through git-lfs."""

    def prepare(number: int) -> None:
        place = places.of("lfs", number)
        _call("git", "init", "-q", "--bare", place)
        for key, value in (
            ("clean", "git-lfs clean -- %f"),
            ("process", "git-lfs filter-process"),
            ("required", "true"),
        ):
            _call("git", "--git-dir", place, "config", f"filter.lfs.{key}", value)
        (place / "info/attributes").write_text("* filter=lfs -text\n")

    return Tool(lambda number: _add(places, places.of("lfs", number)), prepare)


def _add(places: Places, place: Path) -> str:
    base = f"git --git-dir={place} --work-tree={places.source}"
    return f"cd {places.source} && {base} add -A && {base} commit -q -m x && sync"


def git_annex(places: Places) -> Tool:
    """git-annex, which moves the files instead of copying them: it gets a copy beforehand."""

    def prepare(number: int) -> None:
        place = places.of("annex", number)
        _call("cp", "-r", places.source, place)
        _call("git", "-C", place, "init", "-q")
        _call("git", "-C", place, "annex", "init", "-q")

    return Tool(
        lambda number: (
            f"cd {places.of('annex', number)} && git annex add -q --jobs=2 . && git commit -q -m x --allow-empty && sync"
        ),
        prepare,
    )


def quick(places: Places) -> dict[str, Tool]:
    """Ours, the plain limit, and the peers that do not take minutes, by name."""
    return {
        "archiver": archiver(places),
        "cp -r": copy(places),
        "borg": borg(places),
        "restic": restic(places),
    }


def _call(*command: str | Path) -> None:
    subprocess.run(list(command), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
