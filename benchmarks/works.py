"""The works that are compared: which corpus, which tools, which goals (ratios of ours to theirs)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import corpus
import earlier
import peers
from earlier import EarlierProgram
from installed import COMMAND
from measure import Result, Run, Tool, in_turns, memory_held, run
from peers import BAGIT, Places


@dataclass(frozen=True)
class Scale:
    """How much of it: full, or what fits into three minutes."""

    rounds: int
    mixed_files: int
    mixed_bytes: int
    small_files: int
    large_files: int
    large_bytes: int
    materials: int
    #: Submissions of ten files.
    submissions: int
    #: Submissions of a hundred small files.
    groups: int
    #: Small files that are captured with little memory; half of them while a service is stopped.
    limited_files: int
    idle_seconds: float
    #: The goals are for the full sizes: small ones measure how tools start up.
    has_goals: bool = True


FULL = Scale(5, 4000, 1_700_000_000, 200_000, 2, 4_000_000_000, 1_000_000, 1000, 200, 50_000, 130)
QUICK = Scale(3, 500, 200_000_000, 5000, 1, 500_000_000, 20_000, 200, 20, 4_000, 15, has_goals=False)


#: It takes 5 ms to take in one file.
_MOST_FOR_ANNEX = 20_000


#: ext4 gives the inodes of deleted files to nobody for a minute, and searches past each of them.
_RECENTLY_DELETED_SECONDS = 65
_LEFT_BYTES = 9 << 30


def _rest(scale: Scale) -> None:
    """Let what was deleted before slow nobody; not worth it in three minutes."""
    os.sync()
    if scale.has_goals:
        time.sleep(_RECENTLY_DELETED_SECONDS)


@contextmanager
def room(folder: Path, name: str, scale: Scale) -> Iterator[Path]:
    """A folder for one work; emptied only at its end, because discards slow the next run."""
    _rest(scale)
    place = folder / name
    place.mkdir()
    try:
        yield place
    finally:
        _remove(place)
        os.sync()


def _remove(place: Path) -> None:
    # git-annex takes the right to write away.
    subprocess.run(["chmod", "-R", "u+w", place], check=True)
    shutil.rmtree(place)


def mixed_corpus(folder: Path, scale: Scale) -> Iterator[Result]:
    """First capture, verify, restore and export of the mixed corpus."""
    with room(folder, "mixed", scale) as place:
        source = place / "source"
        # One filing, so that one restore brings everything back.
        corpus.mixed(source / "备案", scale.mixed_files, scale.mixed_bytes)
        title = f"first capture, mixed corpus ({scale.mixed_files:,} files, {scale.mixed_bytes / 1e9:.1f} GB)"
        places = Places(source, place / "made")
        places.root.mkdir()
        tools = {
            **peers.quick(places),
            "git-lfs": peers.git_lfs(places),
            "git-annex": peers.git_annex(places),
            "git add + commit": peers.git(places),
        }
        goals = {
            "cp -r": 1.3,
            "borg": 0.6,
            "restic": 0.4,
            "git-lfs": 0.35,
            "git-annex": 0.15,
            "git add + commit": 0.12,
        }
        runs = in_turns(tools, scale.rounds)
        yield Result(title, runs, goals, disk_note(places))
        for path in places.root.iterdir():
            if not path.name.endswith("0"):
                _remove(path)
        os.sync()
        yield verify(places, scale)
        yield restore(places, scale)
        yield export(places, scale)


def disk_note(places: Places) -> str:
    """How much more than the files the archive of the first round takes."""
    kept = sum(path.lstat().st_blocks for path in (places.of("archiver", 0) / "archive").rglob("*")) * 512
    whole = sum(path.stat().st_blocks for path in places.source.rglob("*") if path.is_file()) * 512
    return f"Disk: the archive takes {100 * (kept / whole - 1):.2f} % more than the files."


def submissions_corpus(folder: Path, scale: Scale) -> Iterator[Result]:
    """First capture of many submissions of few files; then status, log and verify."""
    with room(folder, "submissions", scale) as place:
        places = Places(place / "source", place / "made")
        places.root.mkdir()
        corpus.submissions(places.source, scale.submissions, 10)
        title = f"first capture, {scale.submissions:,} submissions of 10 files of 20 KB"
        before = EarlierProgram(place / "earlier")
        tools = {**peers.quick(places), earlier.NAME: before.capture(places)}
        runs = in_turns(tools, scale.rounds)
        yield Result(title, runs, {"borg": 1.8, "restic": 0.8}, disk_note(places))
        for path in places.root.iterdir():
            if not path.name.endswith("0"):
                _remove(path)
        yield from waits(places, before, scale)
    with room(folder, "groups", scale) as place:
        places = Places(place / "source", place / "made")
        places.root.mkdir()
        corpus.submissions(places.source, scale.groups, 100, 5_000)
        title = f"first capture, {scale.groups * 100:,} files of 5 KB in {scale.groups} submissions"
        runs = in_turns(peers.quick(places), min(scale.rounds, 3))
        yield Result(title, runs, {"borg": 1.8}, disk_note(places))


def waits(places: Places, before: EarlierProgram, scale: Scale) -> Iterator[Result]:
    """Status, log and verify at so many submissions; borg's list of its one archive is there to compare with."""
    of = places.of
    archived = f"{of('borg', 0)}::$(borg list --short {of('borg', 0)})"
    peer_list = Tool(lambda _: f"borg list {archived} sh:算法000/**")
    works = {
        "`status`": {
            "archiver": Tool(lambda _: f"{_archiver(places)} status"),
            earlier.NAME: Tool(lambda _: f"{before.command(places, 0)} status"),
            "borg list": peer_list,
        },
        "`log` of one filing": {
            "archiver": Tool(lambda _: f"{_archiver(places)} log 算法000"),
            earlier.NAME: Tool(lambda _: f"{before.command(places, 0)} log 算法000"),
            "borg list": peer_list,
        },
        "full verify": {
            "archiver": Tool(lambda _: f"{_archiver(places)} verify"),
            earlier.NAME: Tool(lambda _: f"{before.command(places, 0)} verify"),
            "borg": Tool(lambda _: f"borg check --verify-data {of('borg', 0)}"),
            "restic": Tool(lambda _: f"restic -q -r {of('restic', 0)} check --read-data"),
        },
    }
    for title, tools in works.items():
        runs = in_turns(tools, scale.rounds, warm=1)
        goals = {earlier.NAME: 0.5} if title == "full verify" else {}
        yield Result(f"{title}, {scale.submissions:,} submissions of 10 files", runs, goals)


def verify(places: Places, scale: Scale) -> Result:
    """Everything read and hashed again, from the page cache."""
    of = places.of
    tools = {
        "archiver": Tool(lambda _: f"{_archiver(places)} verify"),
        "borg": Tool(lambda _: f"borg check --verify-data {of('borg', 0)}"),
        "restic": Tool(lambda _: f"restic -q -r {of('restic', 0)} check --read-data"),
        "git fsck": Tool(lambda _: f"git --git-dir={of('git', 0)} fsck --full --no-progress"),
        "sha256sum, xargs -P 2": Tool(
            lambda _: f"find {of('cp', 0)} -type f -print0 | xargs -0 -n 64 -P 2 sha256sum"
        ),
    }
    runs = in_turns(tools, scale.rounds, warm=1)
    return Result(
        "full verify, mixed corpus",
        runs,
        {"borg": 0.3, "restic": 0.3, "git fsck": 0.3, "sha256sum, xargs -P 2": 0.3},
    )


def restore(places: Places, scale: Scale) -> Result:
    """Everything back into a new folder."""
    of, back = places.of, places.root / "back"
    _rest(scale)
    tools = {
        "archiver": Tool(
            lambda n: f"{_archiver(places)} restore 备案 --at 2999-01-01 --to {back}-archiver{n} && sync"
        ),
        "cp -r": Tool(lambda n: f"cp -r {of('cp', 0)} {back}-cp{n} && sync"),
        "restic": Tool(
            lambda n: f"restic -q -r {of('restic', 0)} restore latest --target {back}-restic{n} && sync"
        ),
        "borg": Tool(
            lambda n: (
                f"mkdir {back}-borg{n} && cd {back}-borg{n} && borg extract {of('borg', 0)}::$(borg list --short {of('borg', 0)}) && sync"
            )
        ),
    }
    runs = in_turns(tools, scale.rounds, warm=1)
    _clear(places.root, "back-")
    return Result("restore, mixed corpus", runs, {"cp -r": 1.2, "restic": 0.6, "borg": 0.6})


def export(places: Places, scale: Scale) -> Result:
    """The inspection package of everything."""
    of, out = places.of, places.root / "out"
    _rest(scale)

    def bagged(number: int) -> str:
        return f"cp -r {of('cp', 0)} {out}-bag{number} && {BAGIT} --quiet --sha256 --processes 2 {out}-bag{number} && sync"

    tools = {
        "archiver": Tool(lambda n: f"{_archiver(places)} audit --to {out}-archiver{n} && sync"),
        "cp -r": Tool(lambda n: f"cp -r {of('cp', 0)} {out}-cp{n} && sync"),
        "cp -r; bagit.py": Tool(bagged),
    }
    with memory_held(_LEFT_BYTES if scale.has_goals else sys.maxsize):
        runs = in_turns(tools, scale.rounds, warm=2)
    _clear(places.root, "out-")
    return Result("audit export, mixed corpus", runs, {"cp -r": 1.3, "cp -r; bagit.py": 0.7})


def at_first(tool: Tool) -> Tool:
    """The same, always in the place of the first round."""
    return Tool(lambda _: tool.command(0))


def _archiver(places: Places) -> str:
    return f"{COMMAND} -q --config {places.of('archiver', 0)}/archiver.toml"


def _clear(root: Path, prefix: str) -> None:
    for path in root.glob(f"{prefix}*"):
        shutil.rmtree(path)
    os.sync()


def small_corpus(folder: Path, scale: Scale) -> Iterator[Result]:
    """First capture of many small files, then looking again when nothing has changed."""
    with room(folder, "small", scale) as place:
        places = Places(place / "source", place / "made")
        places.root.mkdir()
        corpus.small(places.source, scale.small_files)
        tools = peers.quick(places)
        rounds = min(scale.rounds, 3)
        yield Result(
            f"first capture, small corpus ({scale.small_files:,} files of 1 to 20 KB)",
            in_turns(tools, rounds),
            {"borg": 1.3},
        )
        again = {
            "archiver": Tool(lambda _: peers.once(places, 0)),
            "find -printf": Tool(lambda _: f"find {places.source} -printf '%s %T@\\n'"),
            "borg": at_first(peers.borg(places)),
            "restic": at_first(peers.restic(places)),
        }
        if scale.small_files <= _MOST_FOR_ANNEX:
            annex = peers.git_annex(places)
            annex.prepare(0)
            run(annex.command(0))
            again["git-annex"] = at_first(annex)
        runs = in_turns(again, scale.rounds, warm=1)
        yield Result(
            "no-change scan, small corpus (a whole `run --once`, start-up included)",
            runs,
            {"borg": 1.0, "restic": 1.0},
        )
        yield daemon_scan(places, runs["find -printf"])


def daemon_scan(places: Places, theirs: list[Run]) -> Result:
    """The scan alone, as a running daemon does it by its timer; beside the rounds of ``find`` just before."""
    script = Path(__file__).parent / "onescan.py"
    config = places.of("archiver", 0) / "archiver.toml"
    done = subprocess.run([sys.executable, script, config], check=True, capture_output=True, text=True)
    ours = [Run(float(done.stdout), float(done.stdout), 0.0)]
    return Result(
        "no-change scan, small corpus (in the running daemon)",
        {"archiver": ours, "find -printf": theirs},
        {"find -printf": 2.0},
    )


def large_corpus(folder: Path, scale: Scale) -> Iterator[Result]:
    """First capture of files of gigabytes."""
    with room(folder, "large", scale) as place:
        places = Places(place / "source", place / "made")
        places.root.mkdir()
        corpus.large(places.source, scale.large_files, scale.large_bytes)
        tools = {
            "archiver": _emptied(peers.archiver(places), places),
            "cp -r": _emptied(peers.copy(places), places),
        }
        title = f"first capture, large corpus ({scale.large_files} files of {scale.large_bytes / 1e9:.1f} GB)"
        yield Result(title, in_turns(tools, min(scale.rounds, 3)), {"cp -r": 1.2})


def _emptied(tool: Tool, places: Places) -> Tool:
    """The same, with what was made before taken away first: there is no room for all of it."""

    def prepare(number: int) -> None:
        _clear(places.root, "")
        tool.prepare(number)

    return Tool(tool.command, prepare)


def deep_corpus(folder: Path, scale: Scale) -> Iterator[Result]:
    """First capture of long Chinese paths."""
    with room(folder, "deep", scale) as place:
        places = Places(place / "source", place / "made")
        places.root.mkdir()
        corpus.deep(places.source, scale.mixed_files)
        tools = peers.quick(places)
        title = f"first capture, {scale.mixed_files:,} files in Chinese paths of 250 characters"
        yield Result(title, in_turns(tools, scale.rounds))


WORKS: dict[str, Callable[[Path, Scale], Iterator[Result]]] = {
    "submissions": submissions_corpus,
    "mixed": mixed_corpus,
    "small": small_corpus,
    "large": large_corpus,
    "deep": deep_corpus,
}
