"""Name the codes of the register for people: states, kinds, fields, grounds.

The codes are used in the journal, in JSON and on the command line, and never change.  The names may change.
"""

from __future__ import annotations

from collections.abc import Mapping

from archiver.errors import LazyMessage

STATE_NAMES: Mapping[str, LazyMessage] = {
    "draft": LazyMessage("draft"),
    "submitted": LazyMessage("submitted"),
    "under_review": LazyMessage("under_review"),
    "returned": LazyMessage("returned"),
    "resubmitted": LazyMessage("resubmitted"),
    "filed": LazyMessage("filed"),
    "change_pending": LazyMessage("change_pending"),
    "deregistration_pending": LazyMessage("deregistration_pending"),
    "deregistered": LazyMessage("deregistered"),
    "revoked": LazyMessage("revoked"),
    "withdrawn": LazyMessage("withdrawn"),
}
SCHEME_NAMES: Mapping[str, LazyMessage] = {
    # The context separates this message from the field ``algorithm``, which is the algorithm's name.
    "algorithm": LazyMessage.define("algorithm", context="scheme"),
    "deep_synthesis": LazyMessage("deep_synthesis"),
    "genai_filing": LazyMessage("genai_filing"),
    "genai_registration": LazyMessage("genai_registration"),
}
FIELD_NAMES: Mapping[str, LazyMessage] = {
    "company": LazyMessage("company"),
    "responsible": LazyMessage("responsible"),
    "manager": LazyMessage("manager"),
    "algorithm": LazyMessage("algorithm"),
    "category": LazyMessage("category"),
    "scheme": LazyMessage("scheme"),
    "products": LazyMessage("products"),
    "number": LazyMessage("number"),
    "issued_on": LazyMessage("issued_on"),
    "published_at": LazyMessage("published_at"),
    "service_start": LazyMessage("service_start"),
    "service_end": LazyMessage("service_end"),
}
SUBMISSION_KIND_NAMES: Mapping[str, LazyMessage] = {
    "subject": LazyMessage("company information"),
    "first": LazyMessage("first filing"),
    "correction": LazyMessage("correction"),
    "change": LazyMessage("change"),
    "deregistration": LazyMessage("deregistration"),
    "inspection": LazyMessage("inspection"),
    "annual": LazyMessage("annual"),
    "other": LazyMessage("other"),
}
NOTICE_KIND_NAMES: Mapping[str, LazyMessage] = {
    "correction": LazyMessage("correction"),
    "inquiry": LazyMessage("inquiry"),
    "refusal": LazyMessage("refusal"),
    "rectification": LazyMessage("rectification"),
    "inspection": LazyMessage("inspection"),
    "revocation": LazyMessage("revocation"),
}
#: The parts of an algorithm that a change can affect.
CHANGE_KIND_NAMES: Mapping[str, LazyMessage] = {
    "model": LazyMessage("model"),
    "logic": LazyMessage("logic"),
    "data": LazyMessage("data"),
    "mechanism": LazyMessage("mechanism"),
}
DEADLINE_STATE_NAMES: Mapping[str, LazyMessage] = {
    "done": LazyMessage("done"),
    "done late": LazyMessage("done late"),
    "overdue": LazyMessage("overdue"),
    "due today": LazyMessage("due today"),
    "due soon": LazyMessage("due soon"),
    "open": LazyMessage.define("open", context="deadline"),
}
#: Replaces names of DEADLINE_STATE_NAMES if this program suggested the date: no authority set it, so nobody is late.
_SUGGESTED_STATE_NAMES: Mapping[str, LazyMessage] = {
    "done late": LazyMessage("done after the suggested date"),
    "overdue": LazyMessage("past the suggested date"),
}
#: The authority behind a deadline, ``Deadline.basis``.
BASIS_NAMES: Mapping[str, LazyMessage] = {
    "statute": LazyMessage("statute"),
    "policy": LazyMessage("policy"),
    "stated": LazyMessage("stated"),
}
#: The party that has a duty, ``Deadline.party``.
PARTY_NAMES: Mapping[str, LazyMessage] = {"company": LazyMessage("company"), "regulator": LazyMessage("regulator")}


def deadline_state_name(state: str, basis: str | None) -> LazyMessage:
    """Return the name of a deadline's state; ``basis`` is a key of :data:`BASIS_NAMES`, None without a deadline."""
    if basis == "policy" and state in _SUGGESTED_STATE_NAMES:
        return _SUGGESTED_STATE_NAMES[state]
    return name_for_code(state, DEADLINE_STATE_NAMES)


def name_for_code(code: str, names_by_code: Mapping[str, LazyMessage]) -> LazyMessage:
    """Return the name of a code, or the code itself if this release has no name for it."""
    return names_by_code.get(code) or LazyMessage("{code}", code=code)
