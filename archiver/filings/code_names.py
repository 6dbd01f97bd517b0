"""Map the codes of the register to names for people: states, kinds, fields, authorities behind deadlines.

The codes are used in the journal, in JSON and on the command line, and never change. The names may change.
"""

from __future__ import annotations

from collections.abc import Mapping

from archiver.errors import LazyMessage
from archiver.store.events.event_kinds import Action

STATE_NAMES: Mapping[str, LazyMessage] = {
    "draft": LazyMessage("draft"),
    "submitted": LazyMessage("submitted"),
    "under_review": LazyMessage("under review"),
    "returned": LazyMessage("returned"),
    "resubmitted": LazyMessage("correction submitted"),
    "filed": LazyMessage("filed"),
    "change_pending": LazyMessage("change under review"),
    "deregistration_pending": LazyMessage("deregistration under review"),
    "deregistered": LazyMessage("deregistered"),
    "revoked": LazyMessage("revoked"),
    "withdrawn": LazyMessage("withdrawn"),
}
SCHEME_NAMES: Mapping[str, LazyMessage] = {
    "algorithm": LazyMessage("algorithm recommendation"),
    "deep_synthesis": LazyMessage("deep synthesis"),
    "genai_filing": LazyMessage("generative AI (filing)"),
    "genai_registration": LazyMessage("generative AI (registration)"),
}
FIELD_NAMES: Mapping[str, LazyMessage] = {
    "company": LazyMessage("Company"),
    "responsible": LazyMessage("Responsible person"),
    "manager": LazyMessage("Approving manager"),
    "algorithm": LazyMessage("Algorithm"),
    "category": LazyMessage("Algorithm type"),
    "scheme": LazyMessage("Scheme"),
    "products": LazyMessage("Products"),
    "number": LazyMessage("Filing number"),
    "issued_on": LazyMessage("Number issued on"),
    "published_at": LazyMessage("Publication link"),
    "service_start": LazyMessage("Service started on"),
    "service_end": LazyMessage("Service ended on"),
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
FILE_ROLE_NAMES: Mapping[str, LazyMessage] = {
    "receipt": LazyMessage("receipt"),
    "notice": LazyMessage("notice"),
}
NOTICE_KIND_NAMES: Mapping[str, LazyMessage] = {
    "correction": LazyMessage("correction"),
    "inquiry": LazyMessage("inquiry"),
    "refusal": LazyMessage("refusal"),
    "rectification": LazyMessage("rectification"),
    "inspection": LazyMessage("inspection"),
    "revocation": LazyMessage("revocation"),
}
#: The kinds of records that can be corrected.
RECORD_NAMES: Mapping[str, LazyMessage] = {
    Action.SUBMIT: LazyMessage("submission"),
    Action.FILING_SET: LazyMessage("filing information"),
    Action.FILING_END: LazyMessage("end of the filing"),
    Action.NOTICE: LazyMessage("notice"),
    Action.NOTICE_ANSWER: LazyMessage("answer to a notice"),
    Action.CHANGE_DECISION: LazyMessage("decision on a change"),
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
#: Replaces names of DEADLINE_STATE_NAMES if this program suggested the date: nobody is late by such a date.
_SUGGESTED_STATE_NAMES: Mapping[str, LazyMessage] = {
    "done late": LazyMessage("done after the suggested date"),
    "overdue": LazyMessage("past the suggested date"),
}
#: The authority behind a deadline, ``Deadline.basis``.
BASIS_NAMES: Mapping[str, LazyMessage] = {
    "statute": LazyMessage("regulation"),
    "policy": LazyMessage("program's suggestion"),
    "stated": LazyMessage("stated in the notice"),
}
#: The party that has a duty, ``Deadline.party``.
PARTY_NAMES: Mapping[str, LazyMessage] = {"company": LazyMessage("company"), "regulator": LazyMessage("regulator")}


def deadline_state_name(state: str, basis: str | None) -> LazyMessage:
    """Return the name of a deadline's state.

    ``basis`` is the authority behind the deadline, a key of :data:`BASIS_NAMES`; None for anything without a
    deadline.
    """
    if basis == "policy" and state in _SUGGESTED_STATE_NAMES:
        return _SUGGESTED_STATE_NAMES[state]
    return name_for_code(state, DEADLINE_STATE_NAMES)


def name_for_code(code: str, names_by_code: Mapping[str, LazyMessage]) -> LazyMessage:
    """Return the name of a code, or the code itself if this release has no name for it."""
    return names_by_code.get(code) or LazyMessage("{code}", code=code)
