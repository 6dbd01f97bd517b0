"""Checking what is signed: submitted tags, checkpoints, changes of the key, time-stamps."""

from __future__ import annotations

import hashlib

from archiver import clock
from archiver.errors import Phrase
from archiver.store.git.repository import JOURNAL
from archiver.verify import rfc3161
from archiver.verify.expected import JournalEntry, JournalState
from archiver.verify.findings import VerifyReport
from archiver.verify.sshsig import is_signed_by

_REPLACED = (
    "the signing key was replaced as lost on {at} by {user}: {reason}. Ask whether somebody owns up to that"
)


def pin(entry: JournalEntry, history: JournalState) -> None:
    """What the first event says once and for all: the first key, and the time-stamp authority."""
    history.signers = history.key = entry.read("allowed_signers")
    if any(item["name"] == rfc3161.ROOTS_FILE for item in entry.event["attachments"]):
        history.roots = entry.read(rfc3161.ROOTS_FILE)


def check_submit(entry: JournalEntry, history: JournalState, report: VerifyReport) -> None:
    """The signature and the manifest of a handing-in."""
    details = entry.event["details"]
    tag = details["tag"]
    if not is_signed_by(entry.tag(), history.key):
        report.add("A042", tag)
    manifest = history.manifests.get(details["version"], {})
    if manifest.get("sha256") != details["manifest_sha256"]:
        report.add("A043", tag, details["version"])
    if (sealed := details.get("manifest_sm3")) and sealed != manifest.get("sm3", sealed):
        report.add("A043", tag, f"{details['version']}, by SM3")


def check_checkpoint(entry: JournalEntry, history: JournalState, report: VerifyReport) -> None:
    """The signature and the roll-up of a checkpoint."""
    refs = {**history.refs, JOURNAL: history.last_commit}
    lines = [
        f"{refs[ref]} {ref}\n" for ref in sorted(refs, key=lambda ref: ref.encode("utf-8", "surrogateescape"))
    ]
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    tag, event = entry.tag(), entry.event
    if digest != event["details"]["refs_sha256"] or f"refs-sha256 {digest}\n".encode() not in tag:
        report.add("A045", event["object"])
    if f"event-sha256 {event['prev']}\n".encode() not in tag:
        report.add("A045", event["object"], "it names another event")
    if not is_signed_by(tag, history.key):
        report.add("A044", event["object"])


def check_token(entry: JournalEntry, history: JournalState, report: VerifyReport) -> None:
    """A time-stamp: over an event of this journal, by the pinned authority; anchors move to it."""
    details = entry.event["details"]
    try:
        seq = int(details["seq"])
        data = entry.repository.read(f"{history.journal[seq - 1]}:event.json")
        proven = rfc3161.proven_time(entry.read(rfc3161.REPLY_FILE), data, history.roots)
        if clock.stamp(proven) != details["time"]:
            report.add("A047", entry.where, f"its time is {clock.stamp(proven)}")
    except (ValueError, IndexError) as error:
        report.add("A047", entry.where, error)
        return
    for tag in history.unproven:
        history.captured[tag] = max(history.captured[tag], clock.stamp(proven))
    history.unproven.clear()
    for name, uid in history.unproven_approvals:
        approvals = history.plans[name].approvals
        approvals[uid] = max(approvals[uid], clock.stamp(proven))
    history.unproven_approvals.clear()


def check_key(entry: JournalEntry, history: JournalState, report: VerifyReport) -> None:
    """A new key: endorsed by the old one, or said to replace a lost one; what was signed before stays so."""
    event, signers = entry.event, entry.read("allowed_signers")
    added = signers.removeprefix(history.signers)
    if not signers.startswith(history.signers) or added.count(b"\n") != 1:
        report.add("A048", event["object"], "the list of keys was rewritten")
    if event["action"] == "key-rotate":
        tag = entry.tag()
        if added.strip() not in tag or not is_signed_by(tag, history.key):
            report.add("A048", event["object"], "the old key did not sign it")
    if event["action"] == "key-replace":
        why = event["details"]["reason"]
        report.note(event["object"], Phrase(_REPLACED, at=event["at"], user=event["actor"]["user"], reason=why))
    history.signers, history.key = signers, added
