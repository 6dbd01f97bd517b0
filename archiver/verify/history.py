"""Checking the journal, and comparing refs and versions with the journal.

The proof is by induction: if every version's commit differs from its parent as the capture event says, every tree
is as the journal says.

1. The commits of the journal are read, from the newest back to the first.
2. A first pass over the events notes which versions and which content later events refer to.
3. The main pass checks chain, clock, attachments, signatures and disposals, and collects the expected state.
4. The refs are compared with the expected state, then the commits and tags of all versions.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from archiver import clock
from archiver.errors import LazyMessage, StorageError
from archiver.store.events import validation
from archiver.store.events.attached_files import PLAN_FILE
from archiver.store.events.event_kinds import ACTIONS, Action
from archiver.store.events.evidence_events import TimestampReceived
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.events.retention_events import HoldLifted, HoldPlaced
from archiver.store.git.repository import JOURNAL, Repository
from archiver.verify.disposals import check_disposal
from archiver.verify.expected import ForwardReferences, JournalEntry, JournalState
from archiver.verify.findings import VerifyReport, verbatim
from archiver.verify.refs import overridden_packed_refs, read_refs, wrong_peeled_lines
from archiver.verify.signed_events import (
    check_checkpoint,
    check_key_change,
    check_submission,
    check_token,
    pin_trust_roots,
)
from archiver.verify.versions import apply_capture, check_commits

#: The predecessor that the first event names.
_GENESIS = "0" * 64
#: A transaction of refs takes milliseconds: if it is not over after a second, the writer was killed.
_ATTEMPTS = 10
_PAUSE_SECONDS = 0.1


def check_history(repository: Repository, report: VerifyReport) -> JournalState:
    """Check the journal from the first event on, then compare refs and versions with the journal.

    Returns what the journal demands of the archive; without a journal, an empty state.
    """
    state = JournalState()
    refs = _read_settled_refs(repository, report)
    tip = refs.get(JOURNAL)
    if tip is None:
        report.add_finding("A020", JOURNAL, LazyMessage("without the journal nothing else can be compared"))
        return state
    state.journal_commits = _journal_commits(repository, tip, report)
    references = _collect_forward_references(repository, state.journal_commits)
    for commit, event in _read_chain(repository, state, report):
        if event is not None:
            _check_event(JournalEntry(repository, commit, event), state, references, report)
        state.last_commit = commit
    state.expected_refs[JOURNAL] = tip
    _compare_refs(refs, read_refs(repository.path, VerifyReport()), state, report)
    check_commits(repository, state, report)
    _check_packed_refs(repository, refs, state, report)
    return state


def _read_settled_refs(repository: Repository, report: VerifyReport) -> dict[str, str]:
    """Read the refs while no transaction is half done.

    A writer moves the journal first and the other refs right after: until all refs of the newest event are there,
    they are read again, for about a second.
    """
    for attempt in range(_ATTEMPTS):
        ref_report = VerifyReport()
        refs = read_refs(repository.path, ref_report)
        try:
            newest_event = validation.load(repository.read(f"{refs[JOURNAL]}:event.json"))
            is_settled = all(refs.get(ref) == oid for ref, oid in validation.refs_of(newest_event).items())
        except (KeyError, ValueError):
            # There is no journal, or an unreadable event: waiting does not mend that.
            is_settled = True
        if is_settled:
            break
        if attempt < _ATTEMPTS - 1:
            time.sleep(_PAUSE_SECONDS)
    report.findings += ref_report.findings
    return refs


def _journal_commits(repository: Repository, tip: str, report: VerifyReport) -> list[str]:
    """Return the readable commits of the journal, oldest first."""
    commits: list[str] = []
    commit: str | None = tip
    while commit is not None:
        commits.append(commit)
        commit = _parent_commit(repository, commit, report)
    return commits[::-1]


def _parent_commit(repository: Repository, commit: str, report: VerifyReport) -> str | None:
    """Return the parent of a journal commit, None for the first commit or an unreadable one."""
    try:
        object_type, data = repository.object(commit)
    except KeyError:
        detail = LazyMessage("it is missing or damaged; what lies before it is out of reach")
        report.add_finding("A030", f"commit {commit}", detail)
        return None
    header_lines = data.split(b"\n\n", 1)[0].split(b"\n")
    parents = [line[7:] for line in header_lines if line.startswith(b"parent ")]
    if object_type != "commit" or len(parents) > 1:
        detail = LazyMessage("{kind} with {count} parents", kind=object_type, count=len(parents))
        report.add_finding("A031", f"commit {commit}", detail)
    return parents[0].decode("ascii") if parents else None


def _collect_forward_references(repository: Repository, commits: Sequence[str]) -> ForwardReferences:
    """Return the versions and content that events refer to, for the main pass to keep.

    An unreadable event is left out here, and reported by the main pass.
    """
    submitted_tags, planned_content = set(), set()
    for commit in commits:
        try:
            event = validation.parse(repository.read(f"{commit}:event.json"))
            if event["action"] == Action.SUBMIT:
                submitted_tags.add(VersionSubmitted.from_details(event["details"]).version)
            elif event["action"] == Action.DISPOSE_PLAN:
                plan = json.loads(repository.read(f"{commit}:{PLAN_FILE}"))
                planned_content |= {sha256 for sha256, _ in plan["objects"]}
        except (KeyError, ValueError, TypeError):
            # Reported by the main pass.
            continue
    return ForwardReferences(frozenset(submitted_tags), frozenset(planned_content))


def _read_chain(
    repository: Repository, state: JournalState, report: VerifyReport
) -> Iterator[tuple[str, dict[str, Any] | None]]:
    """Yield each journal commit with the event, and check the chain of digests, numbers and clocks.

    The event is None if it cannot be read; the chain is one of bytes, so its bytes are a link all the same.
    """
    previous_digest, seq = _GENESIS, 0
    previous_reading: tuple[datetime, clock.Reading] | None = None
    for commit in state.journal_commits:
        report.event_count += 1
        seq += 1
        try:
            data = repository.read(f"{commit}:event.json")
        except KeyError as error:
            report.add_finding("A030", f"event {seq}", _in_commit(commit, error))
            state.event_digests.append("")
            previous_digest = ""
            yield commit, None
            continue
        state.event_digests.append(hashlib.sha256(data).hexdigest())
        event: dict[str, Any] | None = None
        try:
            event = _parse_event(data, state)
            if event["prev"] != previous_digest or event["seq"] != seq:
                digest = previous_digest[:12]
                detail = LazyMessage("it should be event {seq} after {digest}", seq=seq, digest=digest)
                report.add_finding("A031", f"event {event['seq']}", detail)
                seq = event["seq"]
            previous_reading = _check_clock(event, previous_reading, report)
        except ValueError as error:
            report.add_finding("A030", f"event {seq}", _in_commit(commit, error))
        previous_digest = state.event_digests[-1]
        yield commit, event


def _parse_event(data: bytes, state: JournalState) -> dict[str, Any]:
    """Parse an event.  Raises ValueError for anything else.

    Refs that can be read count all the same: otherwise each of them would be one more finding.
    """
    event = validation.load(data)
    try:
        validation.check(event)
    except ValueError:
        state.expected_refs |= validation.refs_of(event)
        raise
    return event


def _check_clock(
    event: dict[str, Any], previous: tuple[datetime, clock.Reading] | None, report: VerifyReport
) -> tuple[datetime, clock.Reading]:
    """Compare an event's clock with the most that the rule of docs/format.md allows; report A033 and A034.

    Computed from the evidence in this event and the ``previous`` one, not from any clock of this machine. Returns
    clock and evidence of this event.
    """
    now, reading = clock.from_evidence(event["clock"])
    if previous is None:
        return now, reading
    latest_allowed = clock.advance(*previous, reading)
    if event["action"] == Action.TIMESTAMP:
        latest_allowed = max(latest_allowed, clock.parse(TimestampReceived.from_details(event["details"]).time))
    label = f"event {event['seq']}"
    if now < previous[0]:
        detail = LazyMessage("{time} after {before}", time=clock.stamp(now), before=clock.stamp(previous[0]))
        report.add_finding("A033", label, detail)
    elif now > latest_allowed:
        latest = clock.stamp(latest_allowed)
        detail = LazyMessage("{time}, but {latest} at most can be shown", time=clock.stamp(now), latest=latest)
        report.add_finding("A034", label, detail)
    return now, reading


def _check_event(
    entry: JournalEntry, state: JournalState, references: ForwardReferences, report: VerifyReport
) -> None:
    """Check an event by the rules of the action, and apply the event to ``state``.

    An event that breaks off a check is a finding, and the next one is checked with the state reached until then.
    """
    action = entry.event["action"]
    try:
        _check_attachments(entry, report)
        if action == Action.CHECKPOINT:
            # Before the refs of this event: the checkpoint covers those before it.
            check_checkpoint(entry, state, report)
        state.expected_refs |= entry.event["refs"]
        if action == Action.CAPTURE:
            report.version_count += 1
            apply_capture(entry, state, references)
        elif action == Action.INIT:
            pin_trust_roots(entry, state)
        elif action == Action.HOLD:
            hold = HoldPlaced.from_details(entry.event["details"])
            state.active_holds.add((hold.name, entry.event["object"]))
        elif action == Action.LIFT:
            lifted_hold = HoldLifted.from_details(entry.event["details"])
            state.active_holds.discard((lifted_hold.name, entry.event["object"]))
        elif check := _CHECKS.get(action):
            check(entry, state, report)
        elif action not in ACTIONS:
            report.add_finding("A035", entry.label, verbatim(action))
    except (KeyError, ValueError, TypeError, AttributeError, StorageError) as error:
        report.add_finding("A030", entry.label, verbatim(f"{type(error).__name__}: {error}"))


_CHECKS: Mapping[str, Callable[[JournalEntry, JournalState, VerifyReport], None]] = {
    Action.SUBMIT: check_submission,
    Action.TIMESTAMP: check_token,
    Action.KEY_ROTATE: check_key_change,
    Action.KEY_REPLACE: check_key_change,
    Action.DISPOSE_PLAN: check_disposal,
    Action.DISPOSE_APPROVE: check_disposal,
    Action.DISPOSE_BEGIN: check_disposal,
    Action.DISPOSE_CERTIFY: check_disposal,
}


def _check_attachments(entry: JournalEntry, report: VerifyReport) -> None:
    """Compare the attachments in the commit with names, sizes and digests in the event."""
    expected = {item["name"]: item for item in entry.event["attachments"]}
    file_names = {name.decode("utf-8", "replace") for name in entry.repository.names_in(entry.commit)}
    present = file_names - {"event.json"}
    for name in sorted(present ^ expected.keys()):
        is_unknown = name in present
        detail = (
            LazyMessage("{name} is unknown", name=name)
            if is_unknown
            else LazyMessage("{name} is missing", name=name)
        )
        report.add_finding("A032", entry.label, detail)
    for name in sorted(present & expected.keys()):
        data, item = entry.read_attachment(name), expected[name]
        if len(data) != item["size"] or hashlib.sha256(data).hexdigest() != item["sha256"]:
            report.add_finding("A032", entry.label, LazyMessage("{name} was altered", name=name))


def _compare_refs(
    refs_before: Mapping[str, str], refs_after: Mapping[str, str], state: JournalState, report: VerifyReport
) -> None:
    """Compare refs with the journal: as read before or after the main pass, since a writer may go on.

    If the journal moved meanwhile, unknown refs are those of newer events, and left to the next check.
    """
    for ref, oid in state.expected_refs.items():
        if ref not in refs_before:
            report.add_finding("A020", ref, LazyMessage("it should be {oid}", oid=oid[:12]))
        elif oid not in (refs_before[ref], refs_after.get(ref)):
            value, expected = refs_before[ref][:12], oid[:12]
            detail = LazyMessage("{value} instead of {expected}", value=value, expected=expected)
            report.add_finding("A021", ref, detail)
    if refs_before.get(JOURNAL) != refs_after.get(JOURNAL):
        return
    for ref in sorted(refs_before.keys() - state.expected_refs.keys()):
        report.add_finding("A022", ref)


def _check_packed_refs(
    repository: Repository, refs: Mapping[str, str], state: JournalState, report: VerifyReport
) -> None:
    """Check hidden lines of ``packed-refs``: values overridden by loose refs, and targets of tags.

    Git uses the first if the loose file goes, and the second instead of the tag object: neither may change unseen.
    """
    # Tags that a recovery put away are annotated ones too.
    tags = (oid for ref, oid in refs.items() if ref.startswith(("refs/tags/", "refs/lost/")))
    tag_targets = {oid: _tag_target(repository, oid) for oid in tags}
    former_values = {*state.journal_commits, *state.expected_commits, *state.expected_refs.values()}
    for ref, oid in overridden_packed_refs(repository.path):
        if oid not in former_values:
            detail = LazyMessage("{ref} never was {oid}", ref=ref, oid=oid[:12])
            report.add_finding("A023", "archive.git/packed-refs", detail)
    for line in wrong_peeled_lines(repository.path, tag_targets):
        report.add_finding("A023", "archive.git/packed-refs", verbatim(line))


def _in_commit(commit: str, error: Exception) -> LazyMessage:
    return LazyMessage("commit {commit}: {reason}", commit=commit[:12], reason=str(error))


def _tag_target(repository: Repository, oid: str) -> str:
    try:
        return repository.read(oid)[7:47].decode("ascii", "replace")
    except KeyError:
        # The missing tag object is a finding of its own; no target fits it.
        return ""
