"""Refs that contradict the journal: what is whole, and how the archive goes on from it.

The journal's ref is the root of everything.  Where it is missing or cannot be read, or where other
refs do not fit it, nothing is written and nothing derived is thrown away until a person has seen
what is missing and has said so: ``archiver reindex --accept``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from archiver.errors import JournalDamaged, LazyMessage
from archiver.existence import is_folder, is_there
from archiver.model import CHECKPOINTS, JournalPoint
from archiver.store.git import packed_refs
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.index.queries import Index
from archiver.store.journal import EVENT_FILE, GENESIS
from archiver.store.repair import set_aside

#: Tags as this program makes them.  A tag of another form that somebody made by hand is for ``verify`` to find,
#: and must not stop the archive.
_VERSION_TAG = re.compile(r"refs/tags/[^/]+/[^/]+/(v\d+|submitted(-\d+)?)")
_CHECKPOINT_TAG = re.compile(rf"refs/tags/{CHECKPOINTS}/(\d+)")
_BRANCHES = "refs/heads/filings/"
_OID = re.compile(r"\b[0-9a-f]{40}\b")


@dataclass(frozen=True, slots=True)
class WholeEvent:
    """An event whose whole past can be read: its place in the chain, its commit and when it was written."""

    seq: int
    commit: str
    at: str


@dataclass(frozen=True, slots=True)
class RefDifferences:
    """Refs that the journal has and the repository lacks, and refs that no event of the journal made."""

    missing: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

    @property
    def problem(self) -> LazyMessage | None:
        """What is wrong, for a message; None where the refs fit the journal."""
        if self.beyond:
            return LazyMessage.define(
                "{count} refs go beyond its newest event, the first is {first}",
                singular="{count} ref goes beyond its newest event: {first}",
                code="journal.refs-beyond",
            ).with_fields(count=len(self.beyond), first=self.beyond[0])
        if self.missing:
            return LazyMessage.define(
                "{count} refs that it names are missing or cannot be read, the first is {first}",
                singular="{count} ref that it names is missing or cannot be read: {first}",
                code="journal.refs-missing",
            ).with_fields(count=len(self.missing), first=self.missing[0])
        return None


def damaged(path: Path, problem: LazyMessage, last: WholeEvent | None) -> JournalDamaged:
    """The refusal to write: what is there, what is missing, and how to go on."""
    if last is None:
        return JournalDamaged(
            "The journal of {path} cannot be continued: {damage}. No whole event was found. Nothing was changed. "
            "Restore the repository from a backup or a clone.",
            path=path,
            damage=problem,
        )
    return JournalDamaged(
        "The journal of {path} cannot be continued: {damage}. Its last whole event is number {seq} of {at}. "
        "Nothing was changed, and what is archived can be read. Restore the repository from a backup or a clone, "
        "or go on from that event with: archiver reindex --accept",
        path=path,
        damage=problem,
        seq=last.seq,
        at=last.at,
    )


def ref_problem(repository: Repository) -> LazyMessage | None:
    """Why the journal's ref cannot be used; None where it names an event that can be read."""
    if not packed_refs.is_whole(repository.path):
        # No git that looks for a ref answers.
        return LazyMessage.define(
            "the file {path}, which holds its refs, is damaged", code="journal.packed-refs-damaged"
        ).with_fields(path=repository.path / packed_refs.NAME)
    tip = repository.resolve(JOURNAL)
    if tip is not None:
        try:
            repository.read(f"{tip}:{EVENT_FILE}")
            return None
        except KeyError:
            return LazyMessage.define(
                "the event {commit}, which its ref names, is missing or damaged", code="journal.event-damaged"
            ).with_fields(commit=tip[:12])
    hints = _journal_hints(repository)
    if is_there(repository.path / JOURNAL) or hints:
        return LazyMessage.define(
            "its ref {ref} is empty, or names nothing that can be read", code="journal.ref-unreadable"
        ).with_fields(ref=JOURNAL)
    return LazyMessage.define("its ref {ref} is missing", code="journal.ref-missing").with_fields(ref=JOURNAL)


def readable_refs(repository: Repository) -> dict[str, str]:
    """Every ref that can be read, with its object id; also where git refuses to read any."""
    if packed_refs.is_whole(repository.path):
        return repository.refs()
    return packed_refs.read_with_loose(repository.path)


def compare_refs(refs: Mapping[str, str], index: Index) -> RefDifferences:
    """Compare the repository's refs with those of the versions that the index, caught up, has of the journal.

    Not where an event is not understood: it may have made any ref.
    """
    if index.unread():
        return RefDifferences()
    branches, point = index.branches(), index.point
    expected = {f"refs/tags/{tag}": "" for tag in index.tags()} | branches
    beyond = {ref for ref, oid in refs.items() if _is_beyond(ref, oid, expected, point.seq if point else 0)}
    return RefDifferences(tuple(sorted(expected.keys() - refs.keys())), tuple(sorted(beyond)))


def differences(refs: Mapping[str, str], expected: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Compare the refs with :func:`expected_refs`: what goes beyond, and what is missing, each with its value."""
    beyond = {ref: oid for ref, oid in refs.items() if _is_beyond(ref, oid, expected, 0)}
    beyond = {ref: oid for ref, oid in beyond.items() if ref not in expected or expected[ref] != oid}
    missing = {ref: oid for ref, oid in expected.items() if ref != JOURNAL and refs.get(ref) != oid}
    return beyond | {ref: refs[ref] for ref in missing if ref in refs}, missing


def _is_beyond(ref: str, oid: str, expected: Mapping[str, str], newest_seq: int) -> bool:
    if (checkpoint := _CHECKPOINT_TAG.fullmatch(ref)) is not None:
        return ref not in expected and int(checkpoint[1]) > newest_seq
    if ref.startswith(_BRANCHES):
        return expected.get(ref) != oid
    return _VERSION_TAG.fullmatch(ref) is not None and ref not in expected


def last_whole_event(repository: Repository, points: Iterable[JournalPoint | None] = ()) -> WholeEvent | None:
    """Find the newest event whose whole past can be read; None where there is none.

    Preferred are events that counted: those that the journal's ref named at some time, as ref files and the
    reflog tell, those that databases knew (``points``), and those whose refs are in place.  A process that
    died may have left others.
    """
    whole = _whole_events(repository)
    refs = readable_refs(repository)
    hints = _journal_hints(repository) | {point.commit for point in points if point is not None}
    hints |= {
        commit
        for commit, (_, _, moved) in whole.items()
        if moved and all(refs.get(ref) == oid for ref, oid in moved.items())
    }
    counted: set[str] = set()
    for commit in hints:
        place: str | None = commit
        while place in whole and place not in counted:
            counted.add(place)
            place = whole[place][1]
    best = max(counted or whole.keys(), key=lambda commit: whole[commit][0].seq, default=None)
    return None if best is None else whole[best][0]


def _whole_events(repository: Repository) -> dict[str, tuple[WholeEvent, str | None, dict[str, str]]]:
    """Every commit that is an event with a whole past, with its parent and the refs that it moved."""
    read: dict[str, tuple[str | None, bytes]] = {}
    for commit in repository.all_commits():
        try:
            data = repository.read(f"{commit}:{EVENT_FILE}")
            head = repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        except KeyError:
            continue
        parents = [line[7:].decode("ascii") for line in head if line.startswith(b"parent ")]
        read[commit] = (parents[0] if parents else None, data)
    followers: dict[str | None, list[str]] = {}
    for commit, (parent, _) in read.items():
        followers.setdefault(parent, []).append(commit)
    whole: dict[str, tuple[WholeEvent, str | None, dict[str, str]]] = {}
    # From the first event on: the past of each is whole when it is reached.
    stack = [(commit, 1, GENESIS) for commit in followers.get(None, ())]
    while stack:
        commit, seq, prev = stack.pop()
        parent, data = read[commit]
        event = _event_at(data, seq, prev)
        if event is not None:
            whole[commit] = (WholeEvent(seq, commit, event[0]), parent, event[1])
            digest = hashlib.sha256(data).hexdigest()
            stack += [(follower, seq + 1, digest) for follower in followers.get(commit, ())]
    return whole


def _event_at(data: bytes, seq: int, prev: str) -> tuple[str, dict[str, str]] | None:
    """When an event was written and the refs that it moved; None where it does not continue the chain.

    One that cannot be parsed is taken at its place: the next event has its digest.
    """
    try:
        event = json.loads(data)
        if (event["seq"], event["prev"]) != (seq, prev):
            return None
        return str(event["at"]), dict(event["refs"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return "", {}


def _journal_hints(repository: Repository) -> set[str]:
    """What the journal's ref names or named, by its files; also where these are damaged in part."""
    found: set[str] = set()
    for name in (JOURNAL, f"logs/{JOURNAL}"):
        found.update(_OID.findall(_text(repository.path / name)))
    for line in _text(repository.path / "packed-refs").splitlines():
        if line.endswith(f" {JOURNAL}"):
            found.update(_OID.findall(line))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        return ""


def expected_refs(events: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """Every ref with the value that the last of ``events`` (commit, refs) gave it."""
    refs: dict[str, str] = {}
    for commit, given in events:
        refs |= {JOURNAL: commit, **given}
    return refs


def drop_broken_refs(root: Path, repository: Repository, refs: list[str]) -> None:
    """Put what holds no object id out of the way of ``refs``: git refuses to write a ref over it.

    Files are removed; a folder, and a file of packed refs with what cannot be read in it, are set aside.
    """
    if not packed_refs.is_whole(repository.path):
        whole = packed_refs.read(repository.path)
        set_aside.put_away(root, repository.path / packed_refs.NAME)
        packed_refs.write(repository.path, whole)
    for ref in refs:
        path = repository.path / ref
        if is_folder(path, follow_links=False):
            set_aside.put_away(root, path)
        elif is_there(path, follow_links=False) and not _OID.fullmatch(_text(path).strip()):
            os.unlink(path)
