"""Read the journal from git's objects, with nothing of the program."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

JOURNAL = "refs/heads/journal"


class ObjectReader:
    """A ``git cat-file --batch`` for one repository; the owner ends it with :meth:`close`."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self._process = subprocess.Popen(
            ["git", "-c", "safe.directory=*", f"--git-dir={repository}", "cat-file", "--batch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment | {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull},
        )

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait()

    def read(self, name: str) -> tuple[str, bytes] | None:
        """Return the id and the bytes of the object that a ref or an id names; None if it is missing."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{name}\n".encode())
        self._process.stdin.flush()
        words = self._process.stdout.readline().decode().split()
        if words[-1] == "missing":
            return None
        data = self._process.stdout.read(int(words[2]) + 1)
        return words[0], data[:-1]

    def read_object(self, oid: str) -> bytes:
        """Return the bytes of an object that must be there."""
        found_object = self.read(oid)
        assert found_object is not None, f"the object {oid} is missing"
        return found_object[1]

    def read_tree(self, oid: str) -> dict[str, str]:
        """Return the object id of each entry of a tree, by its name."""
        data, entries = self.read_object(oid), {}
        while data:
            entry, _, rest = data.partition(b"\0")
            entries[entry.split(b" ", 1)[1].decode()] = rest[:20].hex()
            data = rest[20:]
        return entries

    def events_after(self, known_commit: str | None, newest_commit: str | None = None) -> list[RawEvent]:
        """Return the events after ``known_commit`` up to ``newest_commit`` (None: all), oldest first.

        Raises AssertionError if the journal does not continue from ``known_commit``.
        """
        commit = newest_commit or read_journal_ref(self._repository)
        new_events: list[RawEvent] = []
        while commit != known_commit:
            assert commit is not None, "the journal does not continue from the event that was its newest"
            header = self.read_object(commit).split(b"\n\n", 1)[0].decode().split("\n")
            tree = next(line[5:] for line in header if line.startswith("tree "))
            files = {name: self.read_object(blob) for name, blob in self.read_tree(tree).items()}
            new_events.append(RawEvent(commit, files))
            commit = next((line[7:] for line in header if line.startswith("parent ")), None)
        return new_events[::-1]


def read_refs(repository: Path) -> dict[str, str]:
    """Return the object id of each ref; a git that runs for long may not see that refs were packed."""
    return read_packed_refs(repository) | read_loose_refs(repository)


def read_packed_refs(repository: Path) -> dict[str, str]:
    path = repository / "packed-refs"
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    pairs = (line.split(" ", 1) for line in lines if line[0] not in "#^")
    return {ref: oid for oid, ref in pairs}


def read_loose_refs(repository: Path) -> dict[str, str]:
    """Return the object id of each ref that has a file of its own."""
    paths = [Path(folder, name) for folder, _, names in os.walk(repository / "refs") for name in names]
    return {os.fspath(path.relative_to(repository)): path.read_text("utf-8").strip() for path in paths}


def read_journal_ref(repository: Path) -> str | None:
    """Return the newest commit of the journal."""
    path = repository / JOURNAL
    return path.read_text("utf-8").strip() if path.exists() else read_refs(repository)[JOURNAL]


class RawEvent:
    """An event of either format: the files in its commit, and what they say."""

    def __init__(self, commit: str, files: Mapping[str, bytes]) -> None:
        self.commit = commit
        self.files = files
        self.data = files["event.json"]
        self.visible: dict[str, Any] = json.loads(self.data)
        self.format = int(self.visible.get("format", 1))
        self.body: dict[str, Any] = json.loads(files["body.json"]) if self.format > 1 else self.visible
        self.seq: int = self.visible["seq"]
        self.action: str = self.body["action"]
        self.object: str = self.body["object"]
        self.details: dict[str, Any] = self.body["details"]
        self.at: str = self.visible["at"]
        self.clock: dict[str, Any] = self.visible["clock"]
        self.uid: int = self.body["actor"]["uid"]

    def __repr__(self) -> str:
        return f"<event {self.seq} {self.action} {self.object}>"

    @cached_property
    def digest(self) -> str:
        return sha256_of(self.data)

    @property
    def refs(self) -> dict[str, str]:
        """Object ids in hexadecimal by the names of the refs that the event moves."""
        return {ref: oid.removeprefix("sha1:") for ref, oid in self.body["refs"].items()}

    @property
    def filing(self) -> str:
        """The filing that the event names; empty in an event that names none, whatever its chain."""
        named = self.details.get("of_filing")
        return named if named is not None else self.object.split("/", 1)[0]

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The changed paths of a captured version, with digests as ``sha256:<hex>``."""
        lines = [json.loads(line) for line in self.files["changes.jsonl"].splitlines()]
        if lines and lines[0] == {"changes": 2}:
            return lines[1:]
        return [{**line, "digest": "sha256:" + line["sha256"]} if line.get("sha256") else line for line in lines]


def sha256_of(data: bytes) -> str:
    """Return a digest as format 2 writes it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()
