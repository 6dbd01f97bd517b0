"""The names of attachments: files next to ``event.json`` in the commit of an event."""

from __future__ import annotations

from typing import NamedTuple

CHANGES_FILE = "changes.jsonl"
SIGNERS_FILE = "allowed_signers"
#: The certificates of the timestamp authority.
ROOTS_FILE = "tsa_roots.pem"
TOKEN_FILE = "token.tsr"  # noqa: S105  (a timestamp token is not a secret)
PLAN_FILE = "plan.json"
CERTIFICATE_FILE = "certificate.json"
CERTIFICATE_SIGNATURE_FILE = "certificate.json.sig"
CERTIFICATE_PAGE = "certificate.html"
#: Name, without its suffix, of the document that a person attached to a record.
EVIDENCE = "evidence"
#: Name, without its suffix, of the receipt from the regulator's portal.
RECEIPT = "receipt"


class AttachedFile(NamedTuple):
    """An attachment that the events of one kind may or must have."""

    name: str
    #: A description of the file, for docs/journal.md.
    meaning: str
    #: True if an event without this attachment is unreadable.
    is_required: bool = False
    #: True if the suffix of the file that a person attached, such as ``.pdf``, is added to ``name``.
    has_suffix: bool = False
