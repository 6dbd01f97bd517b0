"""A model of the journal of format 2, written once more: it judges the writer and ``verify``.

It takes nothing from the program but the name of a ref. Where it and the program disagree, one of them is wrong.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Stands for what comes before the first event of a chain, and before the first head.
NOTHING = "sha256:" + "0" * 64
_FILES = ("event.json", "body.json", "head.json", "head.sig")


@dataclass(frozen=True)
class Commit:
    """A commit of the journal, with the files that the model reads; a missing file is None."""

    oid: str
    files: Mapping[str, bytes | None]

    @property
    def event(self) -> dict[str, Any]:
        """The members of ``event.json``; none if it is no JSON object."""
        return _members(self.files["event.json"])

    @property
    def body(self) -> dict[str, Any]:
        """The members of the body, which in format 1 is a part of ``event.json``."""
        return _members(self.files["body.json"]) if self.is_format_2 else self.event

    @property
    def head(self) -> dict[str, Any] | None:
        return None if self.files["head.json"] is None else _members(self.files["head.json"])

    @property
    def digest(self) -> str:
        return sha256(self.files["event.json"] or b"")

    @property
    def is_format_2(self) -> bool:
        return isinstance(self.event.get("chain"), str) and isinstance(self.event.get("n"), int)


def _members(data: bytes | None) -> dict[str, Any]:
    try:
        document = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


@dataclass
class Model:
    """The events so far: the newest of each chain, and the newest head."""

    #: Chain -> number and digest of its newest event.
    chains: dict[str, tuple[int, str]] = field(default_factory=dict)
    archive: str = ""
    first_seq: int = 0
    newest: tuple[int, str] = (0, "")
    #: The number of the last event that a head covers, and the digest of that head.
    covered: int = 0
    head: str = NOTHING

    def take(self, commit: Commit) -> None:
        """Take the next event; its chain goes on from whatever number the event states."""
        seq = self.newest[0] + 1
        self.newest = (seq, commit.digest)
        self.archive = self.archive or commit.digest
        if commit.is_format_2:
            self.first_seq = self.first_seq or seq
            self.chains[commit.event["chain"]] = (commit.event["n"], commit.digest)

    def place(self, chain: str) -> tuple[int, str]:
        """Return number and predecessor of the next event of a chain."""
        count, digest = self.chains.get(chain, (0, NOTHING))
        return count + 1, digest

    def next_head(self, fingerprint: str, batch: int) -> dict[str, Any]:
        """Return the head that covers every event so far, of which the last ones, from ``batch`` on, are new."""
        return {
            "archive": self.archive,
            "batch": batch,
            "chain_heads": sha256("".join(self._chain_lines()).encode()),
            "chains": len(self.chains),
            "event": self.newest[1],
            "first": self.covered + 1 if self.covered else self.first_seq,
            "format": 2,
            "key": fingerprint,
            "last": self.newest[0],
            "previous_head": self.head,
        }

    def _chain_lines(self) -> Iterable[str]:
        for chain, (count, digest) in sorted(self.chains.items()):
            yield f'["{chain}",{count},"{digest}"]\n'

    def take_head(self, head: bytes) -> None:
        self.head, self.covered = sha256(head), self.newest[0]


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the form of the journal; details ``{"deep": "@"}`` are nested 980 deep."""
    text = json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
    text = text.replace('"deep":"@"', '"a":{' * 979 + "}" * 979)
    return text.encode("utf-8", "surrogatepass")


def read_journal(repository: Path, ref: str = "refs/heads/journal") -> list[Commit]:
    """Read every commit of the journal with plain git, the oldest first."""
    git = ["git", "-c", f"safe.directory={repository}", f"--git-dir={repository}"]
    oids = subprocess.run([*git, "rev-list", "--reverse", "--first-parent", ref], capture_output=True, check=True)
    commits = oids.stdout.decode().split()
    wanted = "".join(f"{oid}:{name}\n" for oid in commits for name in _FILES)
    answers = subprocess.run([*git, "cat-file", "--batch"], input=wanted.encode(), capture_output=True, check=True)
    contents = _split_answers(answers.stdout)
    return [Commit(oid, {name: next(contents) for name in _FILES}) for oid in commits]


def _split_answers(data: bytes) -> Any:
    position = 0
    while position < len(data):
        end = data.index(b"\n", position)
        line = data[position:end]
        if line.endswith(b" missing"):
            yield None
            position = end + 1
            continue
        size = int(line.rsplit(b" ", 1)[1])
        yield data[end + 1 : end + 1 + size]
        position = end + 2 + size


def replayed(commits: Iterable[Commit]) -> Model:
    """Return the model after all ``commits``, whatever they state."""
    model = Model()
    for commit in commits:
        model.take(commit)
        if commit.files["head.json"] is not None:
            model.take_head(commit.files["head.json"])
    return model


def check_journal(repository: Path, *, is_signed: bool = True) -> list[Commit]:
    """Assert that every chain is without a gap, that each body fits and that each head states what the events show.

    Unless ``is_signed`` is False, the newest head covers the newest event. Returns the commits.
    """
    commits = read_journal(repository)
    model, previous = Model(), "0" * 64
    chain_by_filing: dict[str, str] = {}
    for number, commit in enumerate(commits, 1):
        event = commit.event
        assert event["seq"] == number
        assert event["prev"].removeprefix("sha256:") == previous
        previous = commit.digest.removeprefix("sha256:")
        if commit.is_format_2:
            assert (event["n"], event["chain_prev"]) == model.place(event["chain"]), f"event {number}"
            assert event["body"] == sha256(commit.files["body.json"] or b""), f"event {number}"
            filing = filing_of(commit)
            if filing is not None:
                assert chain_by_filing.setdefault(filing, event["chain"]) == event["chain"], f"event {number}"
        else:
            assert not model.chains, f"event {number} is of format 1, behind those of format 2"
        model.take(commit)
        if commit.head is not None:
            others = [name for name in commit.head if name == "abandoned" or name.startswith("x-")]
            head = {name: value for name, value in commit.head.items() if name not in others}
            assert head == model.next_head(head["key"], head["batch"]), f"the head at event {number}"
            assert head["first"] <= head["batch"] <= number, f"the batch at event {number}"
            model.take_head(commit.files["head.json"] or b"")
    assert len(set(chain_by_filing.values())) == len(chain_by_filing), "two filings share a chain"
    assert not is_signed or model.covered == len(commits), "the newest events are not signed"
    return commits


def filing_of(commit: Commit) -> str | None:
    """Return the filing of an event of a filing's chain; None for ``archive`` and ``house``."""
    if commit.event["chain"] in ("archive", "house"):
        return None
    named = commit.body["details"].get("of_filing")
    return str(named or commit.body["object"].split("/")[0])
