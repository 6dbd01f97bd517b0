"""Check the form of filing numbers.  Pure.

The forms are those of the regulator's public lists; no statute defines them.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from archiver.errors import LazyMessage, UsageError

ALGORITHM_NUMBER = re.compile(r"网信算备[::\uff1a]?\s*(\d{21})号?", re.ASCII)
GENERATIVE_NUMBER = re.compile(r"([A-Z][A-Za-z]+)-(.+)-(20\d{6})(S?\d{4})?", re.ASCII)


class _NumberForm(NamedTuple):
    """A form of the filing numbers of a scheme."""

    scheme: str  # also the name of the field for ``description`` in the error message below
    pattern: re.Pattern[str]  # must match the whole number
    description: LazyMessage  # the form in words


_NUMBER_FORMS = (
    _NumberForm("algorithm", ALGORITHM_NUMBER, LazyMessage("网信算备 + 21 digits + 号")),
    _NumberForm(
        "generative",
        GENERATIVE_NUMBER,
        LazyMessage("Province-Name-YYYYMMDD, optionally followed by 4 digits or by S and 4 digits"),
    ),
)


def detect_scheme(filing_number: str) -> str:
    """Return the scheme of a filing number: ``algorithm`` or ``generative``.  Surrounding spaces are ignored.

    Raises UsageError, whose message lists the accepted forms, if ``filing_number`` has none of them.
    """
    for form in _NUMBER_FORMS:
        if form.pattern.fullmatch(filing_number.strip()):
            return form.scheme
    raise UsageError(
        "The filing number {number} matches no known format: {algorithm}; {generative}. Nothing was recorded. "
        "Check the number on the portal, then try again.",
        number=filing_number,
        **{form.scheme: form.description for form in _NUMBER_FORMS},
    )
