"""Which file names are not archived, and by which pattern.  Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence


class IgnoreRules:
    """Shell patterns on file names, matched byte for byte and in any case."""

    def __init__(self, patterns: Sequence[str]) -> None:
        translated = [fnmatch.translate(pattern).encode("utf-8") for pattern in patterns]
        self._any = re.compile(b"|".join(translated) or b"(?!)", re.IGNORECASE)
        self._rules = [
            (pattern, re.compile(rule, re.IGNORECASE)) for pattern, rule in zip(patterns, translated, strict=True)
        ]

    def match(self, name: bytes) -> str | None:
        """The first pattern that ``name`` fits, or None."""
        if self._any.match(name) is None:
            return None
        for pattern, rule in self._rules:
            if rule.match(name):
                return pattern
        return None
