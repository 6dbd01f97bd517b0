"""Checking journal, refs, versions and seals against each other.

By induction: if every version's commit differs from its parent by exactly what
its capture event says, every tree is what the journal says.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from archiver import clock
from archiver.errors import StorageProblem
from archiver.store.events import validation
from archiver.store.events.actions import ACTIONS, Action
from archiver.store.events.attached_files import PLAN_FILE
from archiver.store.events.evidence_events import TimestampReceived
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.events.retention_events import HoldLifted, HoldPlaced
from archiver.store.git.repository import JOURNAL, Repository
from archiver.verify.disposals import check_disposal
from archiver.verify.expected import JournalEntry, JournalState, Watched
from archiver.verify.findings import VerifyReport
from archiver.verify.refs import overridden, peeled_problems, read_refs
from archiver.verify.signed_events import check_checkpoint, check_key, check_submit, check_token, pin
from archiver.verify.versions import check_commits, take_in

_GENESIS = "0" * 64
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.1


def check_history(repository: Repository, report: VerifyReport) -> JournalState:
    """Walk the journal from its first event, then compare refs and trees with it."""
    history = JournalState()
    refs = _refs_between_moves(repository, report)
    tip = refs.get(JOURNAL)
    if tip is None:
        report.add("A020", JOURNAL, "without the journal nothing else can be compared")
        return history
    commits = _journal_commits(repository, tip, report)
    history.journal = commits
    watched = _watched(repository, commits)
    for commit, event in _walk(repository, commits, history, report):
        if event is not None:
            _event(JournalEntry(repository, commit, event), history, watched, report)
        history.last_commit = commit
    history.refs[JOURNAL] = tip
    _compare_refs(refs, read_refs(repository.path, VerifyReport()), history, report)
    check_commits(repository, history, report)
    # Tags that a recovery put away are annotated ones too.
    tags = (oid for ref, oid in refs.items() if ref.startswith(("refs/tags/", "refs/lost/")))
    targets = {oid: _target(repository, oid) for oid in tags}
    former = {*commits, *history.commits, *history.refs.values()}
    for ref, oid in overridden(repository.path):
        if oid not in former:
            report.add("A023", "archive.git/packed-refs", f"{ref} never was {oid[:12]}")
    for line in peeled_problems(repository.path, targets):
        report.add("A023", "archive.git/packed-refs", line)
    return history


def _refs_between_moves(repository: Repository, report: VerifyReport) -> dict[str, str]:
    """The refs, read when no transaction is half done.

    A writer moves the journal first and the rest right after: what the newest
    event names and is not there yet is waited for, a little.
    """
    for attempt in range(_ATTEMPTS):
        seen = VerifyReport()
        refs = read_refs(repository.path, seen)
        try:
            newest = validation.refs_of(validation.load(repository.read(f"{refs[JOURNAL]}:event.json")))
            moved = all(refs.get(ref) == oid for ref, oid in newest.items())
        except (KeyError, ValueError):
            moved = True
        if moved:
            break
        if attempt < _ATTEMPTS - 1:
            time.sleep(_PAUSE_SECONDS)
    report.findings += seen.findings
    return refs


def _journal_commits(repository: Repository, tip: str, report: VerifyReport) -> list[str]:
    """The journal's commits, oldest first, as far as they can be read."""
    commits: list[str] = []
    commit: str | None = tip
    while commit is not None:
        commits.append(commit)
        commit = _parent(repository, commit, report)
    return commits[::-1]


def _walk(
    repository: Repository, commits: list[str], history: JournalState, report: VerifyReport
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Journal commits with their parsed events, None for one that cannot be read; the chain is checked here."""
    prev, seq = _GENESIS, 0
    before: tuple[datetime, clock.Reading] | None = None
    for each in commits:
        report.events += 1
        seq += 1
        try:
            data = repository.read(f"{each}:event.json")
        except KeyError as error:
            report.add("A030", f"event {seq}", f"commit {each[:12]}: {error}")
            history.digests.append("")
            prev = ""
            yield each, None
            continue
        history.digests.append(hashlib.sha256(data).hexdigest())
        event: dict[str, Any] | None = None
        try:
            event = _read(data, history)
            if event["prev"] != prev or event["seq"] != seq:
                report.add("A031", f"event {event['seq']}", f"it should be event {seq} after {prev[:12]}")
                seq = event["seq"]
            before = _check_clock(event, before, report)
        except ValueError as error:
            report.add("A030", f"event {seq}", f"commit {each[:12]}: {error}")
        # Of an event that cannot be read, its bytes are there all the same: the chain is of bytes.
        prev = history.digests[-1]
        yield each, event


def _read(data: bytes, history: JournalState) -> dict[str, Any]:
    """Parse an event; raises ValueError for one that does not fit, of which the refs are believed at most."""
    event = validation.load(data)
    try:
        validation.check(event)
    except ValueError:
        history.refs |= validation.refs_of(event)
        raise
    return event


def _check_clock(
    event: dict[str, Any], before: tuple[datetime, clock.Reading] | None, report: VerifyReport
) -> tuple[datetime, clock.Reading]:
    """Compare an event's clock with the most that the rule of docs/format.md allows; report A033 and A034.

    Computed from what the event and the one ``before`` it carry, not from any clock of this machine.
    """
    now, reading = clock.from_evidence(event["clock"])
    if before is None:
        return now, reading
    allowed = clock.advance(*before, reading)
    if event["action"] == Action.TIMESTAMP:
        allowed = max(allowed, clock.parse(TimestampReceived.from_details(event["details"]).time))
    where = f"event {event['seq']}"
    if now < before[0]:
        report.add("A033", where, f"{clock.stamp(now)} after {clock.stamp(before[0])}")
    elif now > allowed:
        report.add("A034", where, f"{clock.stamp(now)}, but {clock.stamp(allowed)} at most can be shown")
    return now, reading


def _parent(repository: Repository, commit: str, report: VerifyReport) -> str | None:
    try:
        kind, data = repository.object(commit)
    except KeyError:
        report.add("A030", f"commit {commit}", "it is missing or damaged; what lies before it is out of reach")
        return None
    parents = [line[7:] for line in data.split(b"\n\n", 1)[0].split(b"\n") if line.startswith(b"parent ")]
    if kind != "commit" or len(parents) > 1:
        report.add("A031", f"commit {commit}", f"{kind} with {len(parents)} parents")
    return parents[0].decode("ascii") if parents else None


def _watched(repository: Repository, commits: list[str]) -> Watched:
    """Which manifests and which content will be asked for."""
    sealed, planned = set(), set()
    for commit in commits:
        try:
            event = validation.parse(repository.read(f"{commit}:event.json"))
            if event["action"] == Action.SUBMIT:
                sealed.add(VersionSubmitted.from_details(event["details"]).version)
            elif event["action"] == Action.DISPOSE_PLAN:
                document = json.loads(repository.read(f"{commit}:{PLAN_FILE}"))
                planned |= {sha256 for sha256, _ in document["objects"]}
        except (KeyError, ValueError, TypeError):
            continue
    return Watched(frozenset(sealed), frozenset(planned))


def _event(entry: JournalEntry, history: JournalState, watched: Watched, report: VerifyReport) -> None:
    action = entry.event["action"]
    try:
        _attachments(entry, report)
        if action == Action.CHECKPOINT:
            check_checkpoint(entry, history, report)
        history.refs |= entry.event["refs"]
        if action == Action.CAPTURE:
            report.versions += 1
            take_in(entry, history, watched)
        elif action == Action.INIT:
            pin(entry, history)
        elif action == Action.HOLD:
            history.holds.add((HoldPlaced.from_details(entry.event["details"]).name, entry.event["object"]))
        elif action == Action.LIFT:
            history.holds.discard((HoldLifted.from_details(entry.event["details"]).name, entry.event["object"]))
        elif check := _CHECKS.get(action):
            check(entry, history, report)
        elif action not in ACTIONS:
            report.add("A035", entry.where, action)
    except (KeyError, ValueError, TypeError, AttributeError, StorageProblem) as error:
        report.add("A030", entry.where, f"{type(error).__name__}: {error}")


_CHECKS: Mapping[str, Callable[[JournalEntry, JournalState, VerifyReport], None]] = {
    Action.SUBMIT: check_submit,
    Action.TIMESTAMP: check_token,
    Action.KEY_ROTATE: check_key,
    Action.KEY_REPLACE: check_key,
    Action.DISPOSE_PLAN: check_disposal,
    Action.DISPOSE_APPROVE: check_disposal,
    Action.DISPOSE_BEGIN: check_disposal,
    Action.DISPOSE_CERTIFY: check_disposal,
}


def _attachments(entry: JournalEntry, report: VerifyReport) -> None:
    where = entry.where
    expected = {item["name"]: item for item in entry.event["attachments"]}
    present = {name.decode("utf-8", "replace") for name in entry.repository.names_in(entry.commit)} - {
        "event.json"
    }
    for name in sorted(present ^ expected.keys()):
        report.add("A032", where, f"{name} is {'unknown' if name in present else 'missing'}")
    for name in sorted(present & expected.keys()):
        data = entry.read(name)
        item = expected[name]
        if len(data) != item["size"] or hashlib.sha256(data).hexdigest() != item["sha256"]:
            report.add("A032", where, f"{name} was altered")


def _compare_refs(
    before: dict[str, str], after: dict[str, str], history: JournalState, report: VerifyReport
) -> None:
    for ref, oid in history.refs.items():
        if ref not in before:
            report.add("A020", ref, f"it should be {oid[:12]}")
        elif oid not in (before[ref], after.get(ref)):
            report.add("A021", ref, f"{before[ref][:12]} instead of {oid[:12]}")
    if before.get(JOURNAL) != after.get(JOURNAL):
        # The daemon went on meanwhile: what the newer events made is not judged here.
        return
    for ref in sorted(before.keys() - history.refs.keys()):
        report.add("A022", ref)


def _target(repository: Repository, oid: str) -> str:
    try:
        return repository.read(oid)[7:47].decode("ascii", "replace")
    except KeyError:
        return ""
