"""The names of attachments, which lie beside ``event.json`` in the commit of an event."""

from __future__ import annotations

from dataclasses import dataclass

CHANGES_FILE = "changes.jsonl"
SIGNERS_FILE = "allowed_signers"
#: The certificates of the time-stamp authority.
ROOTS_FILE = "tsa_roots.pem"
TOKEN_FILE = "token.tsr"  # noqa: S105  (a time-stamp token is no secret)
PLAN_FILE = "plan.json"
CERTIFICATE_FILE = "certificate.json"
CERTIFICATE_SIGNATURE_FILE = "certificate.json.sig"
CERTIFICATE_PAGE = "certificate.html"
#: What the paper of a record is called, before its suffix.
EVIDENCE = "evidence"
#: What the portal's receipt is called, before its suffix.
RECEIPT = "receipt"


@dataclass(frozen=True, slots=True)
class AttachedFile:
    """An attachment of a kind of events; without a required one, the event is unreadable."""

    name: str
    meaning: str
    is_required: bool = False
    #: The name goes on with the suffix of the file that somebody gave.
    has_suffix: bool = False
