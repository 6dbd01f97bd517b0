"""Match file names against the patterns of files that are not archived.  Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence


class IgnoreRules:
    """Shell patterns on file names, matched byte for byte and in any case."""

    def __init__(self, patterns: Sequence[str]) -> None:
        expressions = [fnmatch.translate(pattern).encode("utf-8") for pattern in patterns]
        # One expression for all: most names match none of them, and a scan asks for a million names.
        self._any_rule = re.compile(b"|".join(expressions) or b"(?!)", re.IGNORECASE)
        self._rules = [
            (pattern, re.compile(expression, re.IGNORECASE))
            for pattern, expression in zip(patterns, expressions, strict=True)
        ]

    def matching_pattern(self, name: bytes) -> str | None:
        """Return the first pattern that ``name`` fits, as the settings have it; None if it fits none."""
        if self._any_rule.match(name) is None:
            return None
        for pattern, rule in self._rules:
            if rule.match(name):
                return pattern
        return None
