"""Folders, files, links and mounts are swapped at random while the service reads, and secrets lie beside them.

    python -m tests.soak.swaps [--seconds 600] [--seed N]

The swaps are made by somebody who may write to the watched folder, and would like to have files in the archive that
only the service may read; and by an administrator who mounts and unmounts.  At the end:

- no file of the archive has a byte of a secret;
- at rest, after each minute, each file is in the newest version with its bytes;
- no version lacks a file that was in its place then, and none a file of a filesystem that was only not mounted;
- what nobody touched got no second version;
- each kind of swap has happened, nothing failed unexpectedly, and ``verify`` is clean.

Where this process may mount something, mounts are swapped as well.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from archiver import clock
from archiver.clock import parse_time
from tests.soak.random_work import newest_tags
from tests.support.exchange import exchange
from tests.support.site import Site

SETTLE_SECONDS = 0.3
#: A file that stayed in its place for this much longer must be in a version.
MARGIN_SECONDS = 8.0
#: In the bytes of each secret, and in no name.
SECRET = b"no byte of this may leave the folder"
_FILES = ("报告.docx", "承诺书.pdf", "子/深/数据.csv", "a", "b")
_SWAPPED = ("推荐/首次", "推荐/补正", "搜索/首次")
#: Of a filing with a swapped submission, so that its parent is exchanged; and of one that nobody touches.
_WITH_PARENT, _UNTOUCHED = "搜索/旁观", "年报/旁观"
_MOUNTED = "生成/首次"
_LARGE_BYTES = 3 << 20
#: From the last look at a file to the time that its version states, on a busy machine.
_ROUND_SECONDS = 5


@dataclass
class Absences:
    """When the files of the watched folder were not in their place, by wall time in seconds."""

    spans: dict[str, list[list[float]]] = field(default_factory=dict)

    @contextmanager
    def of(self, paths: list[str]) -> Iterator[None]:
        begin = clock.wall_time_ns() / 1e9
        for path in paths:
            self.spans.setdefault(path, []).append([begin, float("inf")])
        try:
            yield
        finally:
            for path in paths:
                self.spans[path][-1][1] = clock.wall_time_ns() / 1e9

    def overlap(self, path: str, begin: float, end: float) -> bool:
        return any(first <= end and last >= begin for first, last in self.spans.get(path, []))


class Swapper:
    """Swaps until told to stop, and leaves everything in its place."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site = site
        self._chance = chance
        self.absences = Absences()
        self.counts: dict[str, int] = {}
        self.error: BaseException | None = None
        self._stage = site.root / "stage"
        self._secrets = site.root / "secrets"
        self._backing = site.root / "backing"
        self._elsewhere = site.root / "elsewhere"
        self._swaps: list[Callable[[], None]] = [
            *(self.swap_folder_for_link, self.swap_file_for_link, self.swap_parent_for_link),
            *(self.swap_file_for_folder, self.swap_file_for_pipe, self.swap_two_files, self.swap_watched_folder),
        ]
        self._fill()
        self.has_mount = self._mount(is_needed=False)
        if self.has_mount:
            self._swaps.append(self.swap_mount)

    def _fill(self) -> None:
        for folder in (self._stage, self._backing):
            folder.mkdir()
        for place in (*_SWAPPED, _WITH_PARENT, _UNTOUCHED):
            for name in _FILES:
                self.write(place, name)
                # Whoever is led astray at any level finds the same names there.
                secret = self._secrets / place / name
                secret.parent.mkdir(parents=True, exist_ok=True)
                secret.write_bytes(SECRET * self._chance.choice([1, 100, 100_000]))
                secret.chmod(0o600)
        # Another folder at the path of the watched one, with other names and secrets.
        self._elsewhere.mkdir()
        (self._elsewhere / "工资.xlsx").write_bytes(SECRET)
        for name in _FILES:
            backed = self._backing / name
            backed.parent.mkdir(parents=True, exist_ok=True)
            backed.write_bytes(b"mounted " + name.encode())
        (self.site.watch / _MOUNTED).mkdir(parents=True)

    def write(self, place: str, name: str) -> None:
        size = self._chance.choice([10, 1000, _LARGE_BYTES])
        self.site.write(f"{place}/{name}", self._chance.randbytes(size))

    def _mount(self, *, is_needed: bool = True) -> bool:
        command = ["mount", "--bind", self._backing, self.site.watch / _MOUNTED]
        return subprocess.run(command, check=is_needed, capture_output=True).returncode == 0

    def _unmount(self) -> None:
        subprocess.run(["umount", "--lazy", self.site.watch / _MOUNTED], check=True)

    def close(self) -> None:
        if self.has_mount:
            self._unmount()

    def run(self, stopping: threading.Event) -> None:
        try:
            self._run(stopping)
        except BaseException as error:
            self.error = error

    def check_swaps(self) -> None:
        """Raise what ended the swapping; assert that each kind of swap has happened."""
        if self.error is not None:
            raise self.error
        assert self.counts.keys() == {swap.__name__ for swap in self._swaps}, self.counts

    def _run(self, stopping: threading.Event) -> None:
        waiting = list(self._swaps)
        while not stopping.is_set():
            # Each kind once, then any.
            swap = waiting.pop() if waiting else self._chance.choice(self._swaps)
            swap()
            self.counts[swap.__name__] = self.counts.get(swap.__name__, 0) + 1
            # Often at once again, and sometimes long enough for the quiet period.
            stopping.wait(self._chance.choice([0, 0, 0, 0.01, 0.1, 1.0]))

    def _hold(self) -> None:
        """How long something is not in its place: mostly shorter than the quiet period, sometimes longer."""
        time.sleep(self._chance.choice([0, 0, 0.001, 0.01, 0.05, 0.2, 1.0]))

    def _flip(self, place: Path, other: Path, absent: list[str]) -> None:
        """Exchange two paths many times, in the end an even number of times."""
        count = 2 * self._chance.choice([1, 1, 20, 200])
        pause_before = self._chance.randrange(1, count)
        with self.absences.of(absent):
            for number in range(count):
                if number == pause_before:
                    self._hold()
                exchange(place, other)

    def _choose(self) -> tuple[str, str]:
        return self._chance.choice(_SWAPPED), self._chance.choice(_FILES)

    def swap_folder_for_link(self) -> None:
        place, _ = self._choose()
        link = self._stage / "link"
        link.symlink_to(self._secrets / place)
        self._flip(self.site.watch / place, link, [f"{place}/{name}" for name in _FILES])
        link.unlink()

    def swap_parent_for_link(self) -> None:
        """The folder of a filing, which is not the last one on the way to a file."""
        filing = self._choose()[0].partition("/")[0]
        link = self._stage / "link"
        link.symlink_to(self._secrets / filing)
        places = [place for place in (*_SWAPPED, _WITH_PARENT) if place.startswith(f"{filing}/")]
        self._flip(self.site.watch / filing, link, [f"{place}/{name}" for place in places for name in _FILES])
        link.unlink()

    def swap_file_for_link(self) -> None:
        place, name = self._choose()
        link = self._stage / "link"
        link.symlink_to(self._secrets / place / name)
        self._flip(self.site.watch / place / name, link, [f"{place}/{name}"])
        link.unlink()

    def swap_file_for_folder(self) -> None:
        place, name = self._choose()
        folder = self._stage / "folder"
        folder.mkdir()
        (folder / "x").symlink_to(self._secrets / place / name)
        self._flip(self.site.watch / place / name, folder, [f"{place}/{name}"])
        shutil.rmtree(folder)

    def swap_file_for_pipe(self) -> None:
        place, name = self._choose()
        pipe = self._stage / "pipe"
        os.mkfifo(pipe)
        self._flip(self.site.watch / place / name, pipe, [f"{place}/{name}"])
        pipe.unlink()

    def swap_two_files(self) -> None:
        """Two files of the folder: no one is ever absent, and both change."""
        (place, name), (other_place, other_name) = self._choose(), self._choose()
        if (place, name) != (other_place, other_name):
            with self.absences.of([f"{place}/{name}", f"{other_place}/{other_name}"]):
                exchange(self.site.watch / place / name, self.site.watch / other_place / other_name)

    def swap_watched_folder(self) -> None:
        """Another folder at its path: nothing of it may be archived, and nothing counts as deleted."""
        exchange(self.site.watch, self._elsewhere)
        self._hold()
        exchange(self.site.watch, self._elsewhere)

    def swap_mount(self) -> None:
        self._unmount()
        self._hold()
        self._mount()


class SwapRun:
    """One run: the service, the swapper, and what must be true."""

    def __init__(self, root: Path, seed: int) -> None:
        self.site = Site(root / "site").init()
        self.site.set("watch", "maximum_delay_seconds", 600)
        # As where notifications are missing, so that scans meet swaps often.
        self.site.set("watch", "scan_minutes", 0.02)
        self.swapper = Swapper(self.site, random.Random(seed))
        self.log: list[str] = []
        self.unexpected: list[str] = []

    def run(self, seconds: float) -> str:
        """Swap for ``seconds``; return the report.  Raises AssertionError where a promise was broken."""
        self.site.catch_up(0)
        daemon = self.site.start("--settle", SETTLE_SECONDS)
        listening = threading.Thread(target=self._listen, args=(daemon,), daemon=True)
        listening.start()
        stopping = threading.Event()
        try:
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                swapping = threading.Thread(target=self.swapper.run, args=(stopping,), daemon=True)
                swapping.start()
                swapping.join(min(60.0, deadline - time.monotonic()))
                stopping.set()
                swapping.join()
                stopping.clear()
                self._become_equal()
            assert daemon.poll() is None, self.log
            daemon.send_signal(signal.SIGTERM)
            assert daemon.wait(timeout=20) == 0, self.log
            listening.join()
            return self._check(seconds)
        finally:
            stopping.set()
            daemon.kill()
            daemon.wait()
            self.swapper.close()

    def _listen(self, daemon: subprocess.Popen[str]) -> None:
        assert daemon.stdout is not None
        for line in daemon.stdout:
            self.log = [*self.log[-50:], line.rstrip()]
            if "unexpected" in line or "Traceback" in line:
                self.unexpected.append(line)
        daemon.stdout.close()

    def _become_equal(self) -> None:
        """Now that nothing is swapped, each file stays in its place: soon it is in the newest version."""
        deadline = time.monotonic() + SETTLE_SECONDS + MARGIN_SECONDS + 60
        while different := self._find_differences():
            assert time.monotonic() < deadline, (different, self.site.json("status"), self.log)
            time.sleep(0.5)

    def _find_differences(self) -> list[str]:
        newest = newest_tags(self.site)
        different = []
        for place in (*_SWAPPED, _WITH_PARENT, _UNTOUCHED, *([_MOUNTED] if self.swapper.has_mount else [])):
            materials = self.site.json("show", newest[place])["materials"] if place in newest else []
            archived = {each["path"]: each["sha256"] for each in materials}
            present = {name: _digest(self.site.watch / place / name) for name in _FILES}
            if archived != present:
                different.append(f"{place}: {archived} instead of {present}")
        return different

    def _check(self, seconds: float) -> str:
        self.site.verified()
        self._check_secrets()
        versions = list(reversed(self.site.json("log")))
        deletions = self._check_deletions(versions)
        untouched = [each["tag"] for each in versions if f"{each['filing']}/{each['submission']}" == _UNTOUCHED]
        assert len(untouched) == 1, untouched
        self.swapper.check_swaps()
        status = self.site.json("status")
        assert not self.unexpected, self.unexpected
        return (
            f"{sum(self.swapper.counts.values())} swaps in {seconds:.0f} s ({self.swapper.counts}), "
            f"{len(versions)} versions, {deletions} deletions that were true; problems at the end: "
            f"{status['problem_codes']}"
        )

    def _check_secrets(self) -> None:
        """No file of the archive has a byte of a secret: contents are stored as they are."""
        for folder, _, names in os.walk(self.site.archive):
            for name in names:
                path = Path(folder, name)
                if path.is_file() and not path.is_symlink():
                    assert SECRET not in path.read_bytes(), f"{path} has a secret"

    def _check_deletions(self, versions: list[dict[str, object]]) -> int:
        """Each file that a version lacks was absent when it was made, or within the quiet period before."""
        previous: dict[str, set[str]] = {}
        count = 0
        for version in versions:
            place = f"{version['filing']}/{version['submission']}"
            captured_at = parse_time(str(version["captured_at"])).timestamp()
            files = {each["path"] for each in self.site.json("show", version["tag"])["materials"]}
            for name in previous.get(place, set()) - files:
                path = f"{place}/{name}"
                count += 1
                is_true = self.swapper.absences.overlap(path, captured_at - _ROUND_SECONDS, captured_at + 1)
                assert is_true, f"{version['tag']} lacks {name}, which was in its place"
            previous[place] = files
        return count


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="archiver-swaps-"))
    os.environ["LC_ALL"] = "C.UTF-8"
    print(f"seed {options.seed}", flush=True)
    print(SwapRun(root, options.seed).run(options.seconds))
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
