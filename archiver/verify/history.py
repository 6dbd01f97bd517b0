"""Check the journal, then compare refs and versions with the journal.

1. Read the commits of the journal, from the newest back to the first.
2. In a first pass over the events, collect the versions and the content to which later events refer.
3. In the main pass, check the chain, the clocks, attachments, signatures and disposals, and collect the expected
   state of the archive.
4. Compare the refs with the expected state, then the commits and tags of all versions.

Step 4 proves every tree by induction: if the commit of each version differs from its parent exactly as the capture
event says, each tree is as the journal says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from archiver.errors import LazyMessage, StorageError
from archiver.store.events import validation
from archiver.store.events.attached_files import PLAN_FILE
from archiver.store.events.chains import EventClass
from archiver.store.events.digests import parse_sha256
from archiver.store.events.event_files import (
    BODY_FILE,
    BodyMismatch,
    decode_document,
    names_body,
    read_moved_refs,
)
from archiver.store.events.event_kinds import ACTIONS, UNREADABLE, Action
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.events.restriction_events import FileRestricted
from archiver.store.events.retention_events import HoldLifted, HoldPlaced
from archiver.store.events.signed_head import HEAD_FILE, HEAD_SIGNATURE_FILE
from archiver.store.git.repository import JOURNAL, Repository
from archiver.verify.chain_replay import sha256_digest
from archiver.verify.clocks import EventClock, check_clock, note_marks
from archiver.verify.disposals import check_disposal_step
from archiver.verify.expected import ActiveHold, ForwardReferences, JournalEntry, JournalState, LeftOutFiles
from archiver.verify.findings import VerifyReport, untranslated
from archiver.verify.journal_commits import list_journal_commits, read_refs_between_writes, read_stored_events
from archiver.verify.ref_comparison import check_packed_refs, compare_refs
from archiver.verify.refs import read_packed_lines, read_refs
from archiver.verify.restricted_files import apply_restriction
from archiver.verify.signed_events import (
    check_checkpoint,
    check_key_change,
    check_submission,
    check_timestamp_token,
    note_key_reason,
    pin_trust_roots,
    read_left_out_files,
)
from archiver.verify.signed_heads import (
    check_chain_filing,
    check_chain_place,
    check_earlier_events,
    check_format,
    check_signed_head,
    check_tail_is_signed,
    is_format_2,
    note_earlier_event,
)
from archiver.verify.versions import apply_capture, check_commits

#: The digest that the first event names as that of its predecessor.
_GENESIS_DIGEST = "0" * 64
#: The first bytes of the events that refer to versions or content of other events. In canonical JSON, ``action``
#: is the first member.
_STARTS_OF_REFERRING_EVENTS = tuple(
    b'{"action":"%s"' % action.encode() for action in (Action.SUBMIT, Action.RESTRICT, Action.DISPOSE_PLAN)
)
#: The files in the commit of an event that are not attachments.
_EVENT_FILES = {"event.json", BODY_FILE, HEAD_FILE, HEAD_SIGNATURE_FILE}


class _ChainLink(NamedTuple):
    """An event, readable or not, with its place in the journal."""

    commit: str
    seq: int
    event: dict[str, Any] | None  # None if the event cannot be read
    may_have_head: bool = False  # True for an event of format 2, readable or not


def check_history(repository: Repository, report: VerifyReport) -> JournalState:
    """Check the journal from the first event on, then compare the refs and versions with the journal.

    Returns the state that the journal requires of the archive. Without a journal, reports A020 and returns an
    empty state. Raises StorageError if git cannot be run.
    """
    journal_state = JournalState()
    packed_lines = read_packed_lines(repository.path)
    refs = read_refs_between_writes(repository, report)
    journal_tip = refs.get(JOURNAL)
    if journal_tip is None:
        report.add_finding("A020", JOURNAL, LazyMessage("without the journal, nothing else can be compared"))
        return journal_state
    journal_state.journal_commits = list_journal_commits(repository, journal_tip, report)
    references = _collect_forward_references(repository, journal_state.journal_commits)
    for chain_link in _read_and_check_chain(repository, journal_state, report):
        earlier_signer = journal_state.current_signer
        if chain_link.event is not None:
            entry = JournalEntry(repository, chain_link.commit, chain_link.event)
            _check_event(entry, journal_state, references, report)
        if chain_link.may_have_head:
            event = chain_link.event or {"seq": chain_link.seq, "action": UNREADABLE, "object": ""}
            check_signed_head(repository, chain_link.commit, event, earlier_signer, journal_state, report)
        journal_state.last_commit = chain_link.commit
    check_tail_is_signed(journal_state, report)
    note_marks(report)
    journal_state.expected_refs[JOURNAL] = journal_tip
    # The first reading has already reported damaged refs, so the second one gets a report that is thrown away.
    refs_after = read_refs(repository.path, VerifyReport())
    compare_refs(refs, refs_after, journal_state, report)
    check_commits(repository, journal_state, report)
    check_packed_refs(repository, packed_lines, journal_state, report)
    return journal_state


def _collect_forward_references(repository: Repository, commits: Sequence[str]) -> ForwardReferences:
    """Return the submitted versions, and the planned or restricted content, that the events in ``commits`` name.

    Skips events that cannot be read.
    """
    left_out_by_tag: dict[str, set[LeftOutFiles]] = {}
    planned_content = set()
    for stored_event in read_stored_events(repository, commits):
        try:
            event_bytes, body_bytes = stored_event.read_event(), stored_event.read_body()
            # Most events are captures, which need no decoding here.
            if not (body_bytes or event_bytes).startswith(_STARTS_OF_REFERRING_EVENTS):
                continue
            event = _decode_event(event_bytes, body_bytes)
            if event["action"] == Action.SUBMIT:
                details = VersionSubmitted.from_details(event["details"])
                left_out_by_tag.setdefault(details.version, set()).add(read_left_out_files(details))
            elif event["action"] == Action.RESTRICT:
                planned_content.add(parse_sha256(FileRestricted.from_details(event["details"]).digest))
            elif event["action"] == Action.DISPOSE_PLAN:
                plan = json.loads(repository.read(f"{stored_event.commit}:{PLAN_FILE}"))
                planned_content |= {sha256 for sha256, _ in plan["objects"]}
        except (KeyError, ValueError, TypeError):
            # The main pass reports unreadable events.
            continue
    return ForwardReferences(
        {tag: frozenset(left_out) for tag, left_out in left_out_by_tag.items()}, frozenset(planned_content)
    )


def _read_and_check_chain(
    repository: Repository, journal_state: JournalState, report: VerifyReport
) -> Iterator[_ChainLink]:
    """Yield the events in ``journal_state.journal_commits``, and check their digests, numbers and clocks.

    Each event names the SHA-256 of the bytes of the previous event; these digests form the chain. So an event that
    cannot be parsed does not break the chain, but an event whose bytes are missing does.

    Reports unreadable events (A030), a broken chain (A031), and wrong clocks (A033, A034, A049). Adds the digest
    of each event to ``journal_state.event_digests``.
    """
    previous_digest, expected_seq = _GENESIS_DIGEST, 0
    previous_clock: EventClock | None = None
    for stored_event in read_stored_events(repository, journal_state.journal_commits):
        commit = stored_event.commit
        report.event_count += 1
        expected_seq += 1
        try:
            event_bytes = stored_event.read_event()
        except KeyError as error:
            report.add_finding("A030", f"event {expected_seq}", _describe_event_error(commit, error))
            journal_state.event_digests.append("")
            previous_digest = ""
            yield _ChainLink(commit, expected_seq, None)
            continue
        journal_state.event_digests.append(hashlib.sha256(event_bytes).hexdigest())
        if expected_seq == 1:
            journal_state.chain_replay.first_event_digest = sha256_digest(event_bytes)
        has_body = names_body(event_bytes)
        if has_body or journal_state.chain_replay.newest_seq:
            check_chain_place(event_bytes, expected_seq, journal_state, report)
        event: dict[str, Any] | None = None
        try:
            event = _parse_event(event_bytes, stored_event.read_body(), journal_state)
            if event["prev"] != previous_digest or event["seq"] != expected_seq:
                short_digest = previous_digest[:12]
                detail = LazyMessage(
                    "expected journal event {seq} after {digest}", seq=expected_seq, digest=short_digest
                )
                report.add_finding("A031", f"event {event['seq']}", detail)
                expected_seq = event["seq"]
            previous_clock = check_clock(event, previous_clock, report)
        except BodyMismatch:
            report.add_finding("A037", f"event {expected_seq}")
        except (KeyError, ValueError) as error:
            report.add_finding("A030", f"event {expected_seq}", _describe_event_error(commit, error))
        previous_digest = journal_state.event_digests[-1]
        yield _ChainLink(commit, expected_seq, event, has_body)


def _decode_event(event_bytes: bytes, body_bytes: bytes | None) -> dict[str, Any]:
    """Return the members of an event of either format.  Raises ValueError if the event is not valid."""
    if body_bytes is None:
        return validation.parse_event_document(event_bytes)
    return decode_document(event_bytes, body_bytes)


def _parse_event(event_bytes: bytes, body_bytes: bytes | None, journal_state: JournalState) -> dict[str, Any]:
    """Return the members of an event.  Raises ValueError if the event is not valid.

    An event of format 1 is not valid after an event of format 2, because no chain would include it, and no head
    would count it.
    The readable refs of an invalid event are added to ``journal_state``. Otherwise each of these refs would be
    reported as unknown, too.
    """
    try:
        if body_bytes is None and journal_state.chain_replay.heads:
            raise ValueError("an event of format 1 behind those of format 2")
        return _decode_event(event_bytes, body_bytes)
    except BodyMismatch:
        raise
    except ValueError:
        journal_state.expected_refs |= read_moved_refs(event_bytes, body_bytes)
        raise


def _check_event(
    entry: JournalEntry, journal_state: JournalState, references: ForwardReferences, report: VerifyReport
) -> None:
    """Check an event by the rules for its action, and apply the event to ``journal_state``.

    If the event lacks something that a check needs, the check ends with finding A030. Changes already made to
    ``journal_state`` remain.
    """
    action = entry.event["action"]
    try:
        # Before anything can fail, because an upgrade counted the event even if it lacks something.
        note_earlier_event(entry.commit, entry.event, journal_state)
        _check_attachments(entry, report)
        if is_format_2(entry.event):
            check_chain_filing(entry, journal_state, report)
        elif action == Action.CHECKPOINT:
            # A checkpoint covers the refs before its own event, so it is checked before they are updated.
            check_checkpoint(entry, journal_state, report)
        journal_state.expected_refs |= entry.event["refs"]
        journal_state.note_record(entry.event)
        if action == Action.CAPTURE:
            report.version_count += 1
            apply_capture(entry, journal_state, references)
        elif action == Action.INIT:
            pin_trust_roots(entry, journal_state)
        elif action == Action.HOLD:
            hold = HoldPlaced.from_details(entry.event["details"])
            journal_state.active_holds.add(ActiveHold(hold.name, entry.event["object"]))
        elif action == Action.LIFT:
            lifted_hold = HoldLifted.from_details(entry.event["details"])
            journal_state.active_holds.discard(ActiveHold(lifted_hold.name, entry.event["object"]))
        elif check := _CHECK_BY_ACTION.get(action):
            check(entry, journal_state, report)
        elif action not in ACTIONS and entry.event.get("class") != EventClass.NOTE:
            report.add_finding("A035", entry.display_name, untranslated(action))
    except (KeyError, ValueError, TypeError, AttributeError, StorageError) as error:
        report.add_finding("A030", entry.display_name, untranslated(f"{type(error).__name__}: {error}"))


def _apply_correction(entry: JournalEntry, journal_state: JournalState, _report: VerifyReport) -> None:
    """Call :meth:`JournalState.apply_correction`, with the parameters of the other checks by action."""
    journal_state.apply_correction(entry.event)


#: Action -> check of its events. The other actions need no check, or are handled by :func:`_check_event` itself.
_CHECK_BY_ACTION: Mapping[str, Callable[[JournalEntry, JournalState, VerifyReport], None]] = {
    Action.SUBMIT: check_submission,
    Action.CORRECT: _apply_correction,
    Action.TIMESTAMP: check_timestamp_token,
    Action.FORMAT: check_format,
    Action.EARLIER_EVENTS: check_earlier_events,
    Action.KEY_REASON: note_key_reason,
    Action.KEY_ROTATE: check_key_change,
    Action.KEY_REPLACE: check_key_change,
    Action.RESTRICT: apply_restriction,
    Action.UNRESTRICT: apply_restriction,
    Action.DISPOSE_PLAN: check_disposal_step,
    Action.DISPOSE_APPROVE: check_disposal_step,
    Action.DISPOSE_BEGIN: check_disposal_step,
    Action.DISPOSE_CERTIFY: check_disposal_step,
}


def _check_attachments(entry: JournalEntry, report: VerifyReport) -> None:
    """Compare the files in the commit with the attachments that the event lists (A032).

    Raises KeyError if the commit or an attachment cannot be read.
    """
    listed_attachments = {attachment["name"]: attachment for attachment in entry.event["attachments"]}
    file_names = {name.decode("utf-8", "replace") for name in entry.repository.names_in(entry.commit)}
    attached_names = file_names - _EVENT_FILES
    for name in sorted(attached_names ^ listed_attachments.keys()):
        detail = (
            LazyMessage("{name} is not listed", name=name)
            if name in attached_names
            else LazyMessage("{name} is missing", name=name)
        )
        report.add_finding("A032", entry.display_name, detail)
    for name in sorted(attached_names & listed_attachments.keys()):
        attached_bytes, listed = entry.read_attachment(name), listed_attachments[name]
        digest = hashlib.sha256(attached_bytes).hexdigest()
        if len(attached_bytes) != listed["size"] or digest != listed["sha256"]:
            report.add_finding("A032", entry.display_name, LazyMessage("{name} was altered", name=name))


def _describe_event_error(commit: str, error: Exception) -> LazyMessage:
    """Describe why the event in ``commit`` cannot be read, as the detail of a finding."""
    return LazyMessage("commit {commit}: {reason}", commit=commit[:12], reason=str(error))
