"""Define the codes of the register: states, schemes, fields and kinds of notices.

The codes are used in the journal, in JSON and on the command line, and never change.
:mod:`archiver.filings.code_names` has their names for people.
"""

from __future__ import annotations

#: The states of a filing, roughly in the order of its life.
STATES = (
    "draft",
    "submitted",
    "under_review",
    "returned",
    "resubmitted",
    "filed",
    "change_pending",
    "deregistration_pending",
    "deregistered",
    "revoked",
    "withdrawn",
)
#: States in which the regulator owes an answer.
PENDING_STATES = frozenset(
    {"submitted", "under_review", "resubmitted", "change_pending", "deregistration_pending"}
)
#: States of a filing that has ended: neither a display check nor a decision on a change is due any more.
ENDED_STATES = frozenset({"deregistered", "revoked", "withdrawn"})
#: The regulatory schemes under which an algorithm is filed.
SCHEMES = ("algorithm", "deep_synthesis", "genai_filing", "genai_registration")
#: The sheet's fields, in the order in which people read them.
FIELDS = (
    "company",
    "responsible",
    "manager",
    "algorithm",
    "category",
    "scheme",
    "products",
    "number",
    "issued_on",
    "published_at",
    "service_start",
    "service_end",
)
NOTICE_KINDS = ("correction", "inquiry", "refusal", "rectification", "inspection", "revocation")


def describe_release(signal_name: str, signal_value: str) -> str:
    """Describe a new value of a signal for people: the signal's name, then the value's word, if any.

    ``signal_value`` is ``DIGEST`` or ``DIGEST WORD``.
    """
    word = signal_value.partition(" ")[2]
    return f"{signal_name} {word}".strip()
