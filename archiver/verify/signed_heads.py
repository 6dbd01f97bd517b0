"""Check the chains and the signed heads of format 2."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from archiver.errors import LazyMessage
from archiver.path_existence import is_plain_file
from archiver.store.events.archive_events import EarlierEventsCounted
from archiver.store.events.attached_files import SIGNERS_FILE
from archiver.store.events.chain_rules import filing_in_object, filing_of_event
from archiver.store.events.chains import ARCHIVE_CHAIN, HOUSE_CHAIN
from archiver.store.events.event_kinds import Action
from archiver.store.events.signed_head import (
    HEAD_FILE,
    HEAD_NAMESPACE,
    HEAD_SIGNATURE_FILE,
    SignedHead,
    parse_signed_head,
)
from archiver.store.events.validation import load_json_object
from archiver.store.git.repository import JOURNAL, Repository
from archiver.verify.chain_replay import sha256_digest
from archiver.verify.expected import JournalEntry, JournalState
from archiver.verify.findings import VerifyReport, untranslated
from archiver.verify.refs import read_refs
from archiver.verify.sshsig import is_valid_signature

_SIGNED_LATE = LazyMessage.define(
    "events {first} to {last} were written without a signature and signed later. Confirm that the key was missing "
    "then",
    code="note.signed-late",
)
_HEAD_NOT_IN_JOURNAL = LazyMessage.define(
    "the key signed a head of event {seq} that is not in the journal: writing was interrupted, or the newest "
    "events were removed. Compare the archive with a witness line",
    code="note.head-not-in-journal",
)
#: The file in which a writer notes each head before signing it, below the archive's folder.
_NOTED_HEADS = "spool/signing"
#: Enough for hundreds of heads. A writer notes one head, besides those of interrupted batches.
_MAX_NOTED_BYTES = 1 << 20


def is_format_2(event: Mapping[str, Any]) -> bool:
    """Return True if ``event`` has the members of format 2, in which every event belongs to a chain."""
    return "chain" in event


def note_earlier_event(commit: str, event: Mapping[str, Any], journal_state: JournalState) -> None:
    """Remember the commit of an event of format 1, because an upgrade counts these events for each filing."""
    if is_format_2(event):
        return
    filing_name = filing_in_object(event["action"], event["object"])
    if filing_name is not None:
        journal_state.earlier_commits.setdefault(filing_name, []).append(commit)


def check_chain_place(event_bytes: bytes, seq: int, journal_state: JournalState, report: VerifyReport) -> None:
    """Check the place of an event in its chain (A036); the event's body need not be readable.

    ``seq`` is the number of the event in the journal.
    """
    try:
        visible = load_json_object(event_bytes)
    except ValueError:
        # The caller reports the event as unreadable. An event without members is in no chain.
        visible = {}
    digest = sha256_digest(event_bytes)
    has_next_number, follows = journal_state.chain_replay.add_event(visible, digest, seq)
    if not has_next_number:
        report.add_finding("A036", f"event {seq}", LazyMessage("its number is not the next one of the chain"))
    if not follows:
        detail = LazyMessage("it does not name the event before it in the chain")
        report.add_finding("A036", f"event {seq}", detail)


def check_chain_filing(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Check that each filing has one chain, and each chain one filing (A036).

    Raises ValueError if the event is in the chain of a filing, but names no filing.
    """
    event = entry.event
    chain = event["chain"]
    if chain in (ARCHIVE_CHAIN, HOUSE_CHAIN):
        return
    filing_name = filing_of_event(event["action"], event["object"], event["details"])
    if journal_state.filing_by_chain.setdefault(chain, filing_name) != filing_name:
        report.add_finding("A036", entry.display_name, LazyMessage("its chain is that of another filing"))
    if journal_state.chain_by_filing.setdefault(filing_name, chain) != chain:
        report.add_finding("A036", entry.display_name, LazyMessage("its filing has another chain"))


def check_signed_head(
    repository: Repository,
    commit: str,
    event: Mapping[str, Any],
    earlier_signer: bytes,
    journal_state: JournalState,
    report: VerifyReport,
) -> None:
    """Check the signed head in the commit of an event, if there is one (A039, A048).

    ``earlier_signer`` is the line of the key that was in force before the event. This key has to sign the head of
    the event that replaces it, unless it was lost. If the signature is valid, the events of the head's batch are
    added to ``journal_state.signed_batches``.
    """
    event_name = f"event {event['seq']}"
    try:
        head_bytes = repository.read(f"{commit}:{HEAD_FILE}")
    except KeyError:
        _report_missing_head(event, report)
        return
    first_uncovered = journal_state.chain_replay.first_uncovered_seq()
    differing_members = journal_state.chain_replay.compare_head(head_bytes)
    signed_batch = range(0)
    try:
        head = parse_signed_head(head_bytes)
        signed_batch = range(head.batch, head.last + 1)
        _note_late_signature(head, event_name, first_uncovered, report)
    except ValueError as error:
        # A member that the replay does not compare is wrong, such as ``batch``, or the head is unreadable.
        differing_members = differing_members or [str(error)]
    if differing_members:
        report.add_finding("A039", event_name, untranslated(", ".join(differing_members)))
    journal_state.head_digests[event["seq"]] = hashlib.sha256(head_bytes).hexdigest()
    signer = earlier_signer if event["action"] == Action.KEY_ROTATE else journal_state.current_signer
    try:
        signature = repository.read(f"{commit}:{HEAD_SIGNATURE_FILE}")
    except KeyError:
        # An empty signature is not valid.
        signature = b""
    if is_valid_signature(head_bytes, signature, signer, HEAD_NAMESPACE):
        journal_state.signed_batches.append(signed_batch)
        return
    if event["action"] == Action.KEY_ROTATE:
        report.add_finding("A048", event["object"], LazyMessage("it is not signed with the old key"))
    else:
        report.add_finding("A039", event_name, LazyMessage("its signature is not valid"))


def _report_missing_head(event: Mapping[str, Any], report: VerifyReport) -> None:
    """Report an event without a signed head if it brings a new key (A048).

    Other events need no head: only the last event of a batch has one.
    """
    if event["action"] == Action.KEY_ROTATE:
        report.add_finding("A048", event["object"], LazyMessage("it is not signed with the old key"))
    elif event["action"] == Action.KEY_REPLACE:
        report.add_finding("A048", event["object"], LazyMessage("it is not signed with the new key"))


def _note_late_signature(head: SignedHead, event_name: str, first_uncovered: int, report: VerifyReport) -> None:
    """Add a note if a head covers events from before its batch, which were written without a signature."""
    if first_uncovered < head.batch:
        report.add_note(event_name, _SIGNED_LATE.with_fields(first=first_uncovered, last=head.batch - 1))


def check_format(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Check the list of keys attached to an upgrade: it may only allow the last key to sign heads as well (A048).

    From this event on, the attached list is in force. Without a list, as in a new archive, nothing is checked.
    Raises KeyError if the list cannot be read.
    """
    if all(attachment["name"] != SIGNERS_FILE for attachment in entry.event["attachments"]):
        return
    listed_signers, earlier_signers = entry.read_attachment(SIGNERS_FILE), journal_state.allowed_signers
    if listed_signers != _allow_heads(earlier_signers):
        report.add_finding("A048", entry.event["object"], LazyMessage("the list of keys was rewritten"))
    journal_state.allowed_signers = listed_signers
    journal_state.current_signer = listed_signers.splitlines(keepends=True)[-1] if listed_signers else b""


def check_earlier_events(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Compare the events of format 1 of a filing with the number and digest that an upgrade states (A036).

    Raises KeyError if one of these events is missing, ValueError if the event lacks a member.
    """
    stated = EarlierEventsCounted.from_details(entry.event["details"])
    commits = journal_state.earlier_commits.get(entry.event["object"], [])
    digest = hashlib.sha256(bytes.fromhex(stated.salt))
    for commit in commits:
        digest.update(entry.repository.read(f"{commit}:event.json"))
    if (len(commits), f"sha256:{digest.hexdigest()}") != (stated.count, stated.digest):
        report.add_finding("A036", entry.display_name, LazyMessage("the filing has other earlier events"))


def check_tail_is_signed(journal_state: JournalState, report: VerifyReport) -> None:
    """Report the newest events if no signed head covers them (A038)."""
    replay = journal_state.chain_replay
    if replay.covered_seq != replay.newest_seq:
        detail = LazyMessage("unsigned from event {seq} on", seq=replay.first_uncovered_seq())
        report.add_finding("A038", f"event {replay.newest_seq}", detail)


def read_noted_heads(root: Path) -> list[bytes]:
    """Return the bytes of the heads that a writer noted before signing; none if the file cannot be read.

    Call this before the journal is read. Then the journal has the events of each noted head, unless a writer is at
    work or was interrupted.
    """
    path = root / _NOTED_HEADS
    try:
        if not is_plain_file(path):
            return []
        with open(path, "rb") as stream:
            lines = stream.read(_MAX_NOTED_BYTES).splitlines(keepends=True)
    except OSError:
        # Only the archive's owner can read the file, but others can verify the archive.
        return []
    return [line for line in lines if line.strip() and line.endswith(b"\n")]


def note_missing_heads(
    noted_heads: Iterable[bytes], repository: Repository, journal_state: JournalState, report: VerifyReport
) -> None:
    """Add a note for each noted head missing from the journal and not named there as abandoned.

    A missing head is not a finding: after a crash between the signature and the move of the refs, the next head
    names the missing one as abandoned. If a writer has moved the journal since the check began, no note is added.
    """
    replay = journal_state.chain_replay
    for head_bytes in noted_heads:
        digest = sha256_digest(head_bytes)
        if digest in replay.all_head_digests or digest in replay.abandoned_digests:
            continue
        try:
            head = parse_signed_head(head_bytes)
        except ValueError:
            # The line was cut by a crash, so that the head was never signed.
            continue
        if read_refs(repository.path, VerifyReport()).get(JOURNAL) == journal_state.expected_refs.get(JOURNAL):
            report.add_note(_NOTED_HEADS, _HEAD_NOT_IN_JOURNAL.with_fields(seq=head.last))


def _allow_heads(signers: bytes) -> bytes:
    """Return the list of keys ``signers``, changed so that the last key may sign heads as well as git objects."""
    *earlier_lines, last_line = signers.splitlines(keepends=True) or [b""]
    return b"".join(earlier_lines) + last_line.replace(b'namespaces="git" ', b'namespaces="git,archiver-head" ', 1)
