"""Long life: random work on a watched folder while the daemon runs, and is killed if asked.

    python -m tests.soak.random_work [--seconds 1800] [--kills 0] [--seed N]

At the end the archive equals the folder, holds every state that was left alone
for long enough, and every version that the daemon reported; nothing is doubled;
and the daemon has no more descriptors, children, threads or memory than before.
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
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from archiver.store.names import name_as_text
from tests.support.site import Site

SETTLE = 0.3
#: A state that was left alone for this much longer must be in the archive.
MARGIN = 6.0
WARM_UP = 8.0
Manifest = dict[str, str]

FILINGS = ("推荐算法", "搜索排序", "gen-ai")
SUBMISSIONS = ("首次", "补正1", "年度")
NAMES = ("报告.docx", "承诺书.pdf", "a", "-x", ".gitignore", "子/深/b", "子/c", "n\nl", "数据.xlsx")


@dataclass(slots=True)
class Usage:
    """What the daemon's process holds; memory in kB."""

    descriptors: int
    children: int
    threads: int
    memory: int

    @classmethod
    def of(cls, pid: int) -> Usage:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for task in Path(f"/proc/{pid}/task").iterdir():
            if task.name != str(pid):
                children += (task / "children").read_text().split()
        return cls(
            len(os.listdir(f"/proc/{pid}/fd")),
            len(children),
            int(status["Threads"]),
            int(status["VmRSS"].split()[0]),
        )


@dataclass
class Soak:
    """One run."""

    site: Site
    chance: random.Random
    operations: int = 0
    kills: int = 0
    states: list[tuple[str, Manifest]] = field(default_factory=list)
    touched: dict[str, float] = field(default_factory=dict)
    reported: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    started: float = 0.0
    daemon: subprocess.Popen[str] | None = None

    def start(self) -> None:
        self.daemon = self.site.start("--settle", SETTLE)
        threading.Thread(target=self._listen, args=(self.daemon,), daemon=True).start()
        self.started = time.monotonic()

    def _listen(self, daemon: subprocess.Popen[str]) -> None:
        assert daemon.stdout is not None
        for line in daemon.stdout:
            self.log = [*self.log[-30:], line.rstrip()]
            if line.startswith("Captured "):
                self.reported.append(line.split(" (")[0].removeprefix("Captured "))
        daemon.stdout.close()

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.kill()
        self.daemon.wait()
        self.kills += 1
        self.start()

    def burst(self) -> None:
        """Some operations, mostly close together, on a few submissions."""
        places = self.chance.sample([f"{f}/{s}" for f in FILINGS for s in SUBMISSIONS], self.chance.randint(1, 3))
        for _ in range(self.chance.randint(1, 15)):
            place = self.chance.choice(places)
            self.note(place)
            self.chance.choices(*zip(*WORK, strict=True))[0](self, place)
            self.operations += 1
            self.touched[place] = time.monotonic()
            if self.chance.random() < 0.2:
                time.sleep(self.chance.uniform(0, 0.3))

    def note(self, place: str) -> None:
        """Keep the state that a submission has had for a while."""
        since = max(self.touched.get(place, 0.0), self.started)
        if place in self.touched and time.monotonic() - since > SETTLE + MARGIN:
            self.states.append((place, manifest(self.site.watch / place)))
            del self.touched[place]

    # --- operations

    def path(self, place: str) -> Path:
        return self.site.watch / place / self.chance.choice(NAMES)

    def existing(self, place: str) -> Path | None:
        files = [path for path in (self.site.watch / place).rglob("*") if path.is_file()]
        return self.chance.choice(sorted(files)) if files else None

    def write(self, place: str) -> None:
        target = self.path(place)
        if make_room(target):
            target.write_bytes(self.chance.randbytes(self.chance.choice([0, 10, 1000, 100_000])))

    def append(self, place: str) -> None:
        if target := self.existing(place):
            with open(target, "ab") as stream:
                stream.write(self.chance.randbytes(50))

    def replace(self, place: str) -> None:
        target = self.path(place)
        if make_room(target):
            temporary = target.with_name("~tmp1234.tmp")
            temporary.write_bytes(self.chance.randbytes(3000))
            os.replace(temporary, target)

    def rename(self, place: str) -> None:
        target = self.path(place)
        if (source := self.existing(place)) and source != target and make_room(target):
            os.replace(source, target)

    def move(self, place: str) -> None:
        other = f"{self.chance.choice(FILINGS)}/{self.chance.choice(SUBMISSIONS)}"
        target = self.path(other)
        if (source := self.existing(place)) and source != target and other != place:
            self.note(other)
            self.touched[other] = time.monotonic()
            if make_room(target):
                os.replace(source, target)
            self.touched[other] = time.monotonic()

    def delete(self, place: str) -> None:
        if target := self.existing(place):
            target.unlink()

    def recreate(self, place: str) -> None:
        if target := self.existing(place):
            data = target.read_bytes()
            target.unlink()
            target.write_bytes(data if self.chance.random() < 0.5 else data + b"!")

    def fill(self, place: str) -> None:
        folder = self.site.watch / place / "新" / str(self.chance.randint(0, 3)) / "深"
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(self.chance.randint(1, 20)):
            (folder / str(number)).write_bytes(self.chance.randbytes(20))

    def remove_folder(self, place: str) -> None:
        shutil.rmtree(self.site.watch / place / "新", ignore_errors=True)

    def change_mode(self, place: str) -> None:
        if target := self.existing(place):
            target.chmod(self.chance.choice([0o600, 0o644, 0o755]))

    def touch_back(self, place: str) -> None:
        if target := self.existing(place):
            target.write_bytes(self.chance.randbytes(target.stat().st_size))
            os.utime(target, ns=(10**18, 10**18))

    # --- looking

    def become_equal(self, seconds: float) -> None:
        """Wait until the archive holds what the folder holds; tell what is different if it does not."""
        deadline = time.monotonic() + seconds
        while different := self.differences():
            assert self.daemon is not None
            ended = self.daemon.poll()
            told = "\n".join(self.log)
            assert ended is None, f"the daemon ended with {ended}\n{told}"
            assert time.monotonic() < deadline, f"{different}\n{self.site.json('status')}\n{told}"
            time.sleep(0.05)

    def differences(self) -> list[str]:
        newest = newest_tags(self.site)
        different = []
        for place in (f"{f}/{s}" for f in FILINGS for s in SUBMISSIONS):
            there = manifest(self.site.watch / place)
            held = self.archived(newest[place]) if place in newest else {}
            different += [
                f"{place}/{name}" for name in there.keys() | held.keys() if there.get(name) != held.get(name)
            ]
        return different

    def archived(self, tag: str) -> Manifest:
        return {m["path"]: m["sha256"] for m in self.site.json("show", tag)["materials"] if m["sha256"]}

    def check(self) -> None:
        """Everything that was promised; raises AssertionError."""
        log = self.site.json("log")
        tags = {version["tag"] for version in log}
        lost = set(self.reported) - tags
        assert not lost, f"reported as archived, but not there: {lost}"
        held: dict[str, list[Manifest]] = {}
        # Through the library: thousands of commands would take longer than the soak.
        archive = self.site.open()
        for version in reversed(log):
            place = f"{version['filing']}/{version['submission']}"
            known = archive.index.find_version(version["tag"])
            assert known is not None
            materials = archive.index.materials(known.submission, known.number)
            held.setdefault(place, []).append({name_as_text(m.path): m.sha256 for m in materials if m.sha256})
        archive.close()
        for place, state in self.states:
            assert state in held.get(place, [{}]) or not state, f"a settled state of {place} is missing: {state}"
        trees: dict[str, str] = {}
        commits = "".join(f"{version['commit']}^{{tree}}\n" for version in log)
        oids = self.site.git("rev-parse", *commits.split()).stdout.split()
        tree_of = dict(zip((version["tag"] for version in log), oids, strict=True))
        for version in reversed(log):
            place = f"{version['filing']}/{version['submission']}"
            tree = tree_of[version["tag"]]
            changed = version["added"] + version["modified"] + version["deleted"]
            assert tree != trees.get(place) or not changed, f"{version['tag']} is a version twice"
            trees[place] = tree
        self.site.verified()


WORK: list[tuple[Callable[[Soak, str], None], int]] = [
    *((Soak.write, 30), (Soak.append, 15), (Soak.replace, 10), (Soak.rename, 8), (Soak.move, 8), (Soak.delete, 8)),
    *((Soak.recreate, 5), (Soak.fill, 5), (Soak.remove_folder, 2), (Soak.change_mode, 4), (Soak.touch_back, 5)),
]


def newest_tags(site: Site) -> dict[str, str]:
    """The tag of the newest version of each submission, by FILING/SUBMISSION."""
    versions = reversed(site.json("log"))
    return {f"{version['filing']}/{version['submission']}": version["tag"] for version in versions}


def manifest(folder: Path) -> Manifest:
    return {
        os.fspath(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def make_room(target: Path) -> bool:
    """Make the folders above; False where a file or folder is in the way."""
    if target.is_dir() or any(parent.is_file() for parent in target.parents):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    return True


def soak(root: Path, seconds: float, kills: int, seed: int) -> str:
    """Run; returns the report.  Raises AssertionError where a promise was broken."""
    site = Site(root / "site").init()
    # Nothing may hide behind the maximum delay or the timer.
    site.set("watch", "maximum_delay_seconds", 600)
    run = Soak(site, random.Random(seed))
    run.start()
    begin = time.monotonic()
    before: Usage | None = None
    while time.monotonic() - begin < seconds or run.kills < kills:
        run.burst()
        if kills and run.kills < kills and run.chance.random() < 0.7:
            time.sleep(run.chance.uniform(0, 0.9))
            run.kill()
        elif run.chance.random() < 0.1:
            run.become_equal(60)
        else:
            time.sleep(run.chance.choice([0.0, 0.1, 0.5, 1.5]))
        if before is None and not kills and time.monotonic() - begin > min(WARM_UP, seconds / 3):
            before = at_rest(run)
    run.become_equal(120)
    after = at_rest(run)
    assert run.daemon is not None
    run.daemon.send_signal(signal.SIGTERM)
    assert run.daemon.wait(timeout=10) == 0
    assert not any("Traceback" in line for line in run.log), run.log
    run.check()
    lines = [
        f"seed {seed}: {run.operations} operations in {time.monotonic() - begin:.0f} s, {run.kills} kills, "
        f"{len(run.reported)} versions reported, {len(run.states)} settled states found again",
    ]
    if before is not None:
        lines.append(f"  at the start {before}")
        lines.append(f"  at the end   {after}")
        assert after.descriptors <= before.descriptors + 2, lines
        assert after.children <= before.children, lines
        assert after.threads <= before.threads + 2, lines
        assert after.memory <= before.memory + 25_000, lines
    return "\n".join(lines)


def at_rest(run: Soak) -> Usage:
    run.become_equal(60)
    time.sleep(1.5)
    assert run.daemon is not None
    return Usage.of(run.daemon.pid)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=1800)
    parser.add_argument("--kills", type=int, default=0)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="archiver-soak-"))
    os.environ["LC_ALL"] = "C.UTF-8"
    print(f"seed {options.seed}", flush=True)
    print(soak(root, options.seconds, options.kills, options.seed))
    shutil.rmtree(root)


if __name__ == "__main__":
    main()
