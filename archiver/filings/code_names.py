"""What people call the codes of the register: states, kinds, fields, grounds.

The codes stand in the journal, in JSON and on the command line and never change; these words may.
"""

from __future__ import annotations

from collections.abc import Mapping

from archiver.errors import Phrase

STATES: Mapping[str, Phrase] = {
    "draft": Phrase("draft"),
    "submitted": Phrase("submitted"),
    "under_review": Phrase("under_review"),
    "returned": Phrase("returned"),
    "resubmitted": Phrase("resubmitted"),
    "filed": Phrase("filed"),
    "change_pending": Phrase("change_pending"),
    "deregistration_pending": Phrase("deregistration_pending"),
    "deregistered": Phrase("deregistered"),
    "revoked": Phrase("revoked"),
    "withdrawn": Phrase("withdrawn"),
}
SCHEMES: Mapping[str, Phrase] = {
    # As a field, the same English word is the algorithm's name.
    "algorithm": Phrase.define("algorithm", context="scheme"),
    "deep_synthesis": Phrase("deep_synthesis"),
    "genai_filing": Phrase("genai_filing"),
    "genai_registration": Phrase("genai_registration"),
}
FIELDS: Mapping[str, Phrase] = {
    "company": Phrase("company"),
    "responsible": Phrase("responsible"),
    "manager": Phrase("manager"),
    "algorithm": Phrase("algorithm"),
    "category": Phrase("category"),
    "scheme": Phrase("scheme"),
    "products": Phrase("products"),
    "number": Phrase("number"),
    "issued_on": Phrase("issued_on"),
    "published_at": Phrase("published_at"),
    "service_start": Phrase("service_start"),
    "service_end": Phrase("service_end"),
}
SUBMISSION_KINDS: Mapping[str, Phrase] = {
    "subject": Phrase("subject"),
    "first": Phrase("first"),
    "correction": Phrase("correction"),
    "change": Phrase("change"),
    "deregistration": Phrase("deregistration"),
    "inspection": Phrase("inspection"),
    "annual": Phrase("annual"),
    "other": Phrase("other"),
}
NOTICE_KINDS: Mapping[str, Phrase] = {
    "correction": Phrase("correction"),
    "inquiry": Phrase("inquiry"),
    "refusal": Phrase("refusal"),
    "rectification": Phrase("rectification"),
    "inspection": Phrase("inspection"),
    "revocation": Phrase("revocation"),
}
#: What a change is about.
CHANGE_KINDS: Mapping[str, Phrase] = {
    "model": Phrase("model"),
    "logic": Phrase("logic"),
    "data": Phrase("data"),
    "mechanism": Phrase("mechanism"),
}
DEADLINE_STATES: Mapping[str, Phrase] = {
    "done": Phrase("done"),
    "done late": Phrase("done late"),
    "overdue": Phrase("overdue"),
    "due today": Phrase("due today"),
    "due soon": Phrase("due soon"),
    "open": Phrase.define("open", context="deadline"),
}
#: On whose authority something is due.
GROUNDS: Mapping[str, Phrase] = {
    "statute": Phrase("statute"),
    "policy": Phrase("policy"),
    "stated": Phrase("stated"),
}
#: Who has to act.
PARTIES: Mapping[str, Phrase] = {"company": Phrase("company"), "regulator": Phrase("regulator")}


def word_for(code: str, words: Mapping[str, Phrase]) -> Phrase:
    """Return the word for a code; one that an event of another release has stands for itself."""
    return words.get(code) or Phrase("{code}", code=code)
