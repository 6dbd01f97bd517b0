"""Check the events that carry a proof: submissions, checkpoints, key changes, and timestamp tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from archiver import clock
from archiver.errors import LazyMessage
from archiver.store.events.archive_events import KeyReasonGiven, KeyReplaced
from archiver.store.events.attached_files import ROOTS_FILE, SIGNERS_FILE, TOKEN_FILE
from archiver.store.events.digests import parse_sha256
from archiver.store.events.event_details import require_member
from archiver.store.events.event_kinds import Action
from archiver.store.events.evidence_events import CheckpointSigned, TimestampReceived
from archiver.store.events.filing_events import VersionSubmitted
from archiver.store.events.signed_head import HEAD_FILE
from archiver.store.git.repository import JOURNAL
from archiver.verify import rfc3161
from archiver.verify.chain_replay import sha256_digest
from archiver.verify.expected import JournalEntry, JournalState, LeftOutFiles
from archiver.verify.findings import VerifyReport, untranslated
from archiver.verify.signed_heads import is_format_2
from archiver.verify.sshsig import has_valid_tag_signature

_REPLACED = LazyMessage.define(
    "{user} replaced the signing key as lost on {at}: {reason}. Confirm that this was intended",
    code="note.key-replaced",
)


def pin_trust_roots(entry: JournalEntry, journal_state: JournalState) -> None:
    """Take the signing key and the certificates of the timestamp authority from the journal's first event.

    All later signatures and tokens are checked against this key and these certificates. Later events can add keys,
    but cannot change the authority. An archive may have no authority.

    Raises KeyError if the attachment with the key is missing. Raises ValueError for any later event, which could
    name the key of an attacker.
    """
    if entry.event["seq"] != 1:
        raise ValueError("the archive was created before")
    journal_state.allowed_signers = journal_state.current_signer = entry.read_attachment(SIGNERS_FILE)
    if any(attachment["name"] == ROOTS_FILE for attachment in entry.event["attachments"]):
        journal_state.pinned_roots = entry.read_attachment(ROOTS_FILE)


def read_left_out_files(details: VersionSubmitted) -> LeftOutFiles:
    """Return the files of the submitted version about the submission, which are not part of the submission."""
    return frozenset((stated["path"], parse_sha256(stated["digest"])) for stated in details.about or ())


def check_submission(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Check the signature (A042) and the manifest (A043) of a submission to the regulator.

    The manifest lists the materials of the submitted version. Its digest in the event must be that of the
    materials that the journal records for the version, without the files that are about the submission. The tag
    names the digest if there are such files.

    Raises KeyError if the signed tag is missing, ValueError if the event lacks a member.
    """
    details = VersionSubmitted.from_details(entry.event["details"])
    submission_tag, version_tag = details.tag, details.version
    tag_data, left_out = entry.read_signed_tag(), read_left_out_files(details)
    if not has_valid_tag_signature(tag_data, journal_state.current_signer):
        report.add_finding("A042", submission_tag)
    if left_out and f"\nmanifest-sha256 {details.manifest_sha256}\n".encode() not in tag_data:
        report.add_finding("A043", submission_tag, LazyMessage("its signed tag names another manifest"))
    computed_digests = journal_state.manifest_digests.get((version_tag, left_out), {})
    if computed_digests.get("sha256") != require_member(details.manifest_sha256, "manifest_sha256"):
        report.add_finding("A043", submission_tag, untranslated(version_tag))
    signed_sm3 = details.manifest_sm3
    # Some builds of OpenSSL lack SM3. With these, only the SHA-256 is compared, and the SM3 counts as equal.
    if signed_sm3 and signed_sm3 != computed_digests.get("sm3", signed_sm3):
        report.add_finding("A043", submission_tag, LazyMessage("{tag} (SM3)", tag=version_tag))


def check_checkpoint(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Check the signature (A044) of a checkpoint, and the refs and the event that the checkpoint covers (A045).

    Call this before the event is applied to ``journal_state``: a checkpoint covers the refs as they were before.

    Raises KeyError if the signed tag is missing, ValueError if the event lacks a member.
    """
    # The digest covers a line ``<oid> <ref>`` for each ref, in the byte order of the names.
    covered_refs = {**journal_state.expected_refs, JOURNAL: journal_state.last_commit}
    ordered_refs = sorted(covered_refs, key=lambda ref: ref.encode("utf-8", "surrogateescape"))
    ref_lines = "".join(f"{covered_refs[ref]} {ref}\n" for ref in ordered_refs)
    refs_digest = hashlib.sha256(ref_lines.encode("utf-8", "surrogateescape")).hexdigest()
    tag_data, event = entry.read_signed_tag(), entry.event
    details = CheckpointSigned.from_details(event["details"])
    if (
        refs_digest != require_member(details.refs_sha256, "refs_sha256")
        or f"refs-sha256 {refs_digest}\n".encode() not in tag_data
    ):
        report.add_finding("A045", event["object"])
    if f"event-sha256 {event['prev']}\n".encode() not in tag_data:
        report.add_finding("A045", event["object"], LazyMessage("it refers to another event"))
    if not has_valid_tag_signature(tag_data, journal_state.current_signer):
        report.add_finding("A044", event["object"])


def check_timestamp_token(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Check that a timestamp token covers a signed head of the journal and comes from the archive's authority
    (A047).

    The event of the token must state the time of the token.

    A valid token proves that all captures and approvals journalled before it happened no later than the time of
    the token. Periods that begin with such a capture or approval run from the time of the token, if that is later.

    Raises KeyError if the token is missing, ValueError if the event lacks a member.
    """
    details = TimestampReceived.from_details(entry.event["details"])
    covered_seq = require_member(details.seq, "seq")
    try:
        covered_commit = journal_state.journal_commits[int(covered_seq) - 1]
        # In format 1 the token is over the event itself.
        covered_file = "event.json" if details.head is None else HEAD_FILE
        covered_data = entry.repository.read(f"{covered_commit}:{covered_file}")
        if details.head not in (None, sha256_digest(covered_data)):
            report.add_finding("A047", entry.display_name, LazyMessage("it refers to another event"))
            return
        token = entry.read_attachment(TOKEN_FILE)
        proven_time = clock.format_time(rfc3161.verify_token(token, covered_data, journal_state.pinned_roots))
        if proven_time != details.time:
            report.add_finding("A047", entry.display_name, LazyMessage("its time is {time}", time=proven_time))
    except (ValueError, IndexError) as error:
        report.add_finding("A047", entry.display_name, untranslated(error))
        return
    for tag in journal_state.unproven_captures:
        journal_state.capture_times[tag] = max(journal_state.capture_times[tag], proven_time)
    journal_state.unproven_captures.clear()
    for approval in journal_state.unproven_approvals:
        approval_times = journal_state.disposal_plans[approval.disposal_name].approval_times
        approval_times[approval.uid] = max(approval_times[approval.uid], proven_time)
    journal_state.unproven_approvals.clear()


def check_key_change(entry: JournalEntry, journal_state: JournalState, report: VerifyReport) -> None:
    """Check that the event adds one key to the list of keys, signed with the old key or with a reason (A048).

    From this event on, ``journal_state`` requires signatures by the added key. If the list was rewritten, nobody
    can tell which key is new, so the whole list is accepted: the rewriting is the finding, not every later
    signature.

    Raises KeyError if the list of keys or the signed tag is missing, ValueError if the event lacks a member.
    """
    event, listed_signers = entry.event, entry.read_attachment(SIGNERS_FILE)
    earlier_signers = journal_state.allowed_signers
    added_signer = listed_signers.removeprefix(earlier_signers)
    if not listed_signers.startswith(earlier_signers) or added_signer.count(b"\n") != 1:
        report.add_finding("A048", event["object"], LazyMessage("the list of keys was rewritten"))
    if event["action"] == Action.KEY_ROTATE and not is_format_2(event):
        _check_rotation_is_signed(entry, added_signer, journal_state.current_signer, report)
    journal_state.allowed_signers, journal_state.current_signer = listed_signers, added_signer
    # Clear the reason, which is only for this key: a later replacement must not be noted with the same reason.
    reason, journal_state.key_reason = journal_state.key_reason, ""
    if event["action"] == Action.KEY_REPLACE:
        _note_key_replacement(event, reason, report)


def _check_rotation_is_signed(
    entry: JournalEntry, added_signer: bytes, old_signer: bytes, report: VerifyReport
) -> None:
    """Check that the event's tag names the added key and is signed with the old one (A048).

    Raises KeyError if the tag is missing.
    """
    tag_data = entry.read_signed_tag()
    if added_signer.strip() not in tag_data:
        report.add_finding("A048", entry.event["object"], LazyMessage("its signed tag does not name the new key"))
    elif not has_valid_tag_signature(tag_data, old_signer):
        report.add_finding("A048", entry.event["object"], LazyMessage("it is not signed with the old key"))


def note_key_reason(entry: JournalEntry, journal_state: JournalState, _report: VerifyReport) -> None:
    """Keep the reason for the new key, which the next event names; raises ValueError without a reason."""
    journal_state.key_reason = KeyReasonGiven.from_details(entry.event["details"]).reason


def _note_key_replacement(event: Mapping[str, Any], earlier_reason: str, report: VerifyReport) -> None:
    """Add a note with the reason for a new key, because the lost key cannot sign its replacement.

    In format 1 the event itself has the reason.  In format 2 the previous event has it, as ``earlier_reason``.
    Raises ValueError without a reason.
    """
    reason = KeyReplaced.from_details(event["details"]).reason or earlier_reason
    require_member(reason or None, "reason")
    report.add_note(
        event["object"], _REPLACED.with_fields(at=event["at"], user=event["actor"]["user"], reason=reason)
    )
