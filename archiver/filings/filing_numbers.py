"""Check the form of filing numbers.  Pure.

The forms are those of the regulator's public lists; no statute defines them.
"""

from __future__ import annotations

import re

from archiver.errors import Phrase, UsageProblem

ALGORITHM = re.compile(r"网信算备[::\uff1a]?\s*(\d{21})号?", re.ASCII)
GENERATIVE = re.compile(r"([A-Z][A-Za-z]+)-(.+)-(20\d{6})(S?\d{4})?", re.ASCII)

_FORMS = (
    ("algorithm", ALGORITHM, Phrase("网信算备, 21 digits, 号")),
    ("generative", GENERATIVE, Phrase("Province-Name-YYYYMMDD, then nothing, 4 digits, or S and 4 digits")),
)


def scheme_of(number: str) -> str:
    """Return the scheme that a filing number belongs to; raises UsageProblem with the accepted forms."""
    for scheme, form, _ in _FORMS:
        if form.fullmatch(number.strip()):
            return scheme
    raise UsageProblem(
        "The filing number {number} has none of the known forms: {algorithm}; {generative}. Nothing was recorded. "
        "Check the number on the portal and submit again.",
        number=number,
        **{scheme: form for scheme, _, form in _FORMS},
    )
