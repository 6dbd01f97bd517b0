"""Match file names against the patterns for files that are not archived.  Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence


class IgnoreRules:
    """Patterns for file names, as in :mod:`fnmatch`, compared as bytes; the case of ASCII letters is ignored."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile ``patterns``, which are in order of precedence; without patterns, no name matches."""
        expressions = [fnmatch.translate(pattern).encode("utf-8") for pattern in patterns]
        # A scan checks a million names, and most match no pattern: a single expression rules all patterns out.
        # The expression "(?!)" matches nothing.
        self._any_expression = re.compile(b"|".join(expressions) or b"(?!)", re.IGNORECASE)
        #: Pattern, as in the setting -> its compiled expression.
        self._expressions_by_pattern = {
            pattern: re.compile(expression, re.IGNORECASE)
            for pattern, expression in zip(patterns, expressions, strict=True)
        }

    def matching_pattern(self, name: bytes) -> str | None:
        """Return the first pattern that matches ``name``, as written in the setting; None if nothing matches."""
        if self._any_expression.match(name) is None:
            return None
        for pattern, expression in self._expressions_by_pattern.items():
            if expression.match(name):
                return pattern
        return None
