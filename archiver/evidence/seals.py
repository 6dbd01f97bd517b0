"""Checking what is signed: submitted tags, checkpoints, changes of the key, time-stamps."""

from __future__ import annotations

import hashlib
from typing import Any

from archiver.evidence.facts import History
from archiver.evidence.findings import Report
from archiver.evidence.signatures import is_signed_by
from archiver.store.repository import JOURNAL, Repository


def check_submit(repository: Repository, event: dict[str, Any], history: History, report: Report) -> None:
    """The signature and the manifest of a handing-in."""
    details = event["details"]
    tag = details["tag"]
    oid = event["refs"][f"refs/tags/{tag}"]
    if not is_signed_by(repository.read(oid), history.key):
        report.add("A042", tag)
    if history.manifests.get(details["version"]) != details["manifest_sha256"]:
        report.add("A043", tag, details["version"])


def check_checkpoint(repository: Repository, event: dict[str, Any], history: History, report: Report) -> None:
    """The signature and the roll-up of a checkpoint."""
    refs = {**history.refs, JOURNAL: history.last_commit}
    lines = [
        f"{refs[ref]} {ref}\n" for ref in sorted(refs, key=lambda ref: ref.encode("utf-8", "surrogateescape"))
    ]
    digest = hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    tag = repository.read(event["refs"][f"refs/tags/{event['object']}"])
    if digest != event["details"]["refs_sha256"] or f"refs-sha256 {digest}\n".encode() not in tag:
        report.add("A045", event["object"])
    if not is_signed_by(tag, history.key):
        report.add("A044", event["object"])
