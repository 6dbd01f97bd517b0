"""Checking signed events: submissions, checkpoints, changes of the key, and time-stamps."""

from __future__ import annotations

import hashlib

from archiver import clock
from archiver.errors import LazyMessage
from archiver.store.events.archive_events import KeyReplaced
from archiver.store.events.attached_files import ROOTS_FILE, SIGNERS_FILE, TOKEN_FILE
from archiver.store.events.event_details import require_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.evidence_events import CheckpointSigned, TimestampReceived
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.git.repository import JOURNAL
from archiver.verify import rfc3161
from archiver.verify.expected import JournalEntry, JournalState
from archiver.verify.findings import VerifyReport, verbatim
from archiver.verify.sshsig import is_signed_by

_REPLACED = LazyMessage.define(
    "the signing key was replaced as lost on {at} by {user}: {reason}. Ask whether somebody owns up to that",
    code="note.key-replaced",
)


def pin_trust_roots(entry: JournalEntry, state: JournalState) -> None:
    """Take the first signing key, and the time-stamp authority if any, from the first event.

    No later event can change the authority. Raises KeyError if the attachment with the key is missing.
    """
    state.allowed_signers = state.current_signer = entry.read_attachment(SIGNERS_FILE)
    if any(item["name"] == ROOTS_FILE for item in entry.event["attachments"]):
        state.pinned_roots = entry.read_attachment(ROOTS_FILE)


def check_submission(entry: JournalEntry, state: JournalState, report: VerifyReport) -> None:
    """Check signature and manifest of a submission to the regulator.

    Raises KeyError if the signed tag is missing, ValueError if a member of the event is.
    """
    details = VersionSubmitted.from_details(entry.event["details"])
    tag = details.tag
    if not is_signed_by(entry.read_signed_tag(), state.current_signer):
        report.add_finding("A042", tag)
    manifest = state.manifest_digests.get(details.version, {})
    if manifest.get("sha256") != require_member(details.manifest_sha256, "manifest_sha256"):
        report.add_finding("A043", tag, verbatim(details.version))
    sealed_sm3 = details.manifest_sm3
    # Not every build of OpenSSL has SM3: without it, only the SHA-256 is compared.
    if sealed_sm3 and sealed_sm3 != manifest.get("sm3", sealed_sm3):
        report.add_finding("A043", tag, LazyMessage("{tag}, by SM3", tag=details.version))


def check_checkpoint(entry: JournalEntry, state: JournalState, report: VerifyReport) -> None:
    """Check signature and roll-up of a checkpoint against the refs before the event.

    Raises KeyError if the signed tag is missing, ValueError if a member of the event is.
    """
    refs = {**state.expected_refs, JOURNAL: state.last_commit}
    ordered_refs = sorted(refs, key=lambda ref: ref.encode("utf-8", "surrogateescape"))
    lines = "".join(f"{refs[ref]} {ref}\n" for ref in ordered_refs)
    digest = hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()
    tag, event = entry.read_signed_tag(), entry.event
    details = CheckpointSigned.from_details(event["details"])
    if (
        digest != require_member(details.refs_sha256, "refs_sha256")
        or f"refs-sha256 {digest}\n".encode() not in tag
    ):
        report.add_finding("A045", event["object"])
    if f"event-sha256 {event['prev']}\n".encode() not in tag:
        report.add_finding("A045", event["object"], LazyMessage("it names another event"))
    if not is_signed_by(tag, state.current_signer):
        report.add_finding("A044", event["object"])


def check_token(entry: JournalEntry, state: JournalState, report: VerifyReport) -> None:
    """Check a time-stamp: over an event of this journal, by the pinned authority, with the time in the event.

    Captures and approvals before a valid token count from the time of the token, if that is later.

    Raises KeyError if the token is missing, ValueError if a member of the event is.
    """
    details = TimestampReceived.from_details(entry.event["details"])
    seq = require_member(details.seq, "seq")
    try:
        event_data = entry.repository.read(f"{state.journal_commits[int(seq) - 1]}:event.json")
        token = entry.read_attachment(TOKEN_FILE)
        proven_time = clock.stamp(rfc3161.proven_time(token, event_data, state.pinned_roots))
        if proven_time != details.time:
            report.add_finding("A047", entry.label, LazyMessage("its time is {time}", time=proven_time))
    except (ValueError, IndexError) as error:
        report.add_finding("A047", entry.label, verbatim(error))
        return
    for tag in state.unproven_captures:
        state.capture_times[tag] = max(state.capture_times[tag], proven_time)
    state.unproven_captures.clear()
    for disposal, uid in state.unproven_approvals:
        approval_times = state.disposal_plans[disposal].approval_times
        approval_times[uid] = max(approval_times[uid], proven_time)
    state.unproven_approvals.clear()


def check_key_change(entry: JournalEntry, state: JournalState, report: VerifyReport) -> None:
    """Check that a single key was added, endorsed by the old key or declared as replacement of a lost key.

    From here on the new key must sign; earlier signatures were checked with the old key.

    Raises KeyError if the list of keys or the signed tag is missing, ValueError if a member of the event is.
    """
    event, allowed_signers = entry.event, entry.read_attachment(SIGNERS_FILE)
    added_signer = allowed_signers.removeprefix(state.allowed_signers)
    if not allowed_signers.startswith(state.allowed_signers) or added_signer.count(b"\n") != 1:
        report.add_finding("A048", event["object"], LazyMessage("the list of keys was rewritten"))
    if event["action"] == Action.KEY_ROTATE:
        tag = entry.read_signed_tag()
        if added_signer.strip() not in tag or not is_signed_by(tag, state.current_signer):
            report.add_finding("A048", event["object"], LazyMessage("the old key did not sign it"))
    if event["action"] == Action.KEY_REPLACE:
        reason = require_member(KeyReplaced.from_details(event["details"]).reason, "reason")
        report.add_note(
            event["object"], _REPLACED.with_fields(at=event["at"], user=event["actor"]["user"], reason=reason)
        )
    state.allowed_signers, state.current_signer = allowed_signers, added_signer
