"""Watched folder against archive: random work, then every version compared with a model."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from archiver import clock
from archiver.config.settings import Config
from archiver.daemon.capture_loop import Daemon
from archiver.errors import LazyMessage, message_from
from archiver.store.creation.archive_creation import create_archive
from archiver.store.events.archive_events import ArchiveCreated
from archiver.verify.whole_archive import verify_archive

FOLDERS = ["f/s", "f/补正", "g/s", "f", ""]
FILES = ["a", "b.txt", "d/c", "材料 1", "-x", ".gitignore", "n\nl", "空/深/x"]

path_of = st.builds(
    lambda folder, name: f"{folder}/{name}".lstrip("/"), st.sampled_from(FOLDERS), st.sampled_from(FILES)
)


def snapshot_of(root: Path) -> dict[bytes, bytes]:
    top = os.fsencode(root)
    found = {}
    for folder, _, files in os.walk(top):
        for name in files:
            path = folder + b"/" + name
            with open(path, "rb") as stream:
                found[path[len(top) + 1 :]] = stream.read()
    return found


class WatchedFolder(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp())
        self.watch = self.root / "w"
        self.watch.mkdir()
        # All that the settings promise: what waits for acceptance would be reported at each start.
        created = ArchiveCreated(
            watch="w",
            layout="{filing}/{submission}",
            retention_years=3,
            timezone="Asia/Shanghai",
            hold_while_live=True,
        )
        self.archive = create_archive(self.root / "a", created)
        self.config = Config(self.root / "c", self.root / "a", self.watch, maximum_delay_seconds=20)
        self.history: list[tuple[str, dict[bytes, bytes]]] = []
        self.dirty = False

    def teardown(self) -> None:
        self.capture()
        report = verify_archive(self.archive.root, self.archive.repository)
        assert report.is_clean, report.findings
        self.archive.reindex()
        for moment, expected in self.history:
            assert self.state_at(moment) == expected
        self.archive.close()
        shutil.rmtree(self.root)

    @rule(path=path_of, data=st.binary(max_size=20))
    def write(self, path: str, data: bytes) -> None:
        target = self.watch / path
        if target.is_dir() or any(parent.is_file() for parent in target.parents):
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.dirty = True

    @rule(
        path=st.sampled_from(["f", "f/s", "f/s/d", "f/s/a/x", "f/补正", "g/s/d/c/y", "a", "a/b"]),
        data=st.binary(max_size=5),
    )
    def exchange(self, path: str, data: bytes) -> None:
        """A file takes the place of a folder, and folders that of a file, within a submission and across two."""
        target = self.watch / path
        if target.is_dir():
            shutil.rmtree(target)
        for parent in target.parents:
            if parent.is_file():
                parent.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        self.dirty = True

    @rule(path=path_of)
    def remove(self, path: str) -> None:
        target = self.watch / path
        if target.is_file():
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)
        self.dirty = True

    @rule(one=path_of, other=path_of)
    def rename(self, one: str, other: str) -> None:
        old, new = self.watch / one, self.watch / other
        if not old.is_file() or new.is_dir() or any(parent.is_file() for parent in new.parents):
            return
        new.parent.mkdir(parents=True, exist_ok=True)
        os.rename(old, new)
        self.dirty = True

    @rule(folder=st.sampled_from(FOLDERS[:4]), name=st.sampled_from(["new", "d"]))
    def make_folder(self, folder: str, name: str) -> None:
        target = self.watch / folder / name
        if not target.exists() and not any(parent.is_file() for parent in target.parents):
            target.mkdir(parents=True)
            self.dirty = True

    @rule(path=path_of)
    def touch_back(self, path: str) -> None:
        if (self.watch / path).is_file():
            os.utime(self.watch / path, ns=(1, 1))

    @precondition(lambda self: self.dirty)
    @rule()
    def capture(self) -> None:
        before = len(self.archive.index.versions())
        assert self.daemon() == []
        made = len(self.archive.index.versions()) - before
        self.history.append((clock.format_time(clock.read_clocks().wall), snapshot_of(self.watch)))
        assert self.daemon() == []
        assert len(self.archive.index.versions()) == before + made, "the same input twice made a second version"
        self.dirty = False

    @rule()
    def lose_the_snapshot(self) -> None:
        for file in (self.root / "a").glob("state.db*"):
            file.unlink()

    def daemon(self) -> list[object]:
        messages: list[str] = []

        def report(template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
            messages.append(str(message_from(template, fields)))

        left = Daemon(self.archive, self.config, report, 0.0).run_once()
        assert all(message.startswith("Captured") for message in messages), messages
        return [*left.pending, *left.unreadable, *([left.refusal] if left.refusal else [])]

    @invariant()
    def no_thread_is_left(self) -> None:
        assert threading.active_count() < 20

    def state_at(self, moment: str) -> dict[bytes, bytes]:
        seen = set()
        found = {}
        for version in self.archive.index.versions():
            if version.captured_at > moment or version.submission in seen:
                continue
            seen.add(version.submission)
            for material in self.archive.index.materials(version.submission, version.number):
                if material.sha256 is not None:
                    prefix = version.submission.prefix
                    path = prefix + b"/" + material.path if prefix else material.path
                    found[path] = (
                        b"".join(self.archive.content.read_chunks(material.sha256)) if material.size else b""
                    )
        return found


LONG = settings.default is not None and settings.default.max_examples > 100
EXAMPLES = settings.default.max_examples if LONG and settings.default else 15
WatchedFolder.TestCase.settings = settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None)
TestWatchedFolder = pytest.mark.needs("processes")(WatchedFolder.TestCase)
