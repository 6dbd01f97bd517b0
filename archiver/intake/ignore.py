"""Which file names are not archived, and by which pattern.  Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence


class IgnoreRules:
    """Shell patterns on file names, matched byte for byte and in any case."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._rules = [
            (pattern, re.compile(fnmatch.translate(pattern).encode("utf-8"), re.IGNORECASE))
            for pattern in patterns
        ]

    def match(self, name: bytes) -> str | None:
        """The first pattern that ``name`` fits, or None."""
        for pattern, rule in self._rules:
            if rule.match(name):
                return pattern
        return None
