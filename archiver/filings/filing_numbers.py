"""Check the form of filing numbers.  Pure.

The forms are those of the regulator's public lists; no statute defines them.
"""

from __future__ import annotations

import re

from archiver.errors import LazyMessage, UsageError

ALGORITHM = re.compile(r"网信算备[::\uff1a]?\s*(\d{21})号?", re.ASCII)
GENERATIVE = re.compile(r"([A-Z][A-Za-z]+)-(.+)-(20\d{6})(S?\d{4})?", re.ASCII)

_FORMS = (
    ("algorithm", ALGORITHM, LazyMessage("网信算备, 21 digits, 号")),
    ("generative", GENERATIVE, LazyMessage("Province-Name-YYYYMMDD, then nothing, 4 digits, or S and 4 digits")),
)


def detect_scheme(number: str) -> str:
    """Return the scheme of a filing number; raises UsageError, with the accepted forms, for any other text."""
    for scheme, form, _ in _FORMS:
        if form.fullmatch(number.strip()):
            return scheme
    raise UsageError(
        "The filing number {number} has none of the known forms: {algorithm}; {generative}. Nothing was recorded. "
        "Check the number on the portal and submit again.",
        number=number,
        **{scheme: form for scheme, _, form in _FORMS},
    )
