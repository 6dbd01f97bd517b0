"""Match the names of files and folders against the patterns for what is not archived.  Pure."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import NamedTuple

from archiver.intake.exclusion.litter import LITTER

#: The characters at the beginning or the end of a pattern that stand for other characters.
_WILDCARDS = ("*", "?", "[", "]")


class _Rule(NamedTuple):
    """A pattern in the form for comparing."""

    pattern: str  # as in the setting or in the table of litter
    expression: bytes  # compiled by _compile_expression
    is_exception: bool  # True if the names that match are archived
    is_for_folders: bool  # True if the pattern matches no files
    first_byte: bytes  # with which every matching name begins; empty if the pattern begins with a wildcard
    last_byte: bytes  # with which every matching name ends; empty if the pattern ends with a wildcard


class IgnoreRules:
    """Patterns for the names of files and folders, in order: the last pattern that matches a name decides.

    A pattern is written as for :mod:`fnmatch`, compared as bytes, and ignores the case of ASCII letters.  A slash
    at its end restricts a pattern to folders.  An exclamation mark at its beginning makes an exception: names that
    match are archived.  A backslash before an exclamation mark at the beginning belongs to the name.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Compile ``patterns``; without patterns, no name matches."""
        rules = [_parse_pattern(pattern) for pattern in patterns]
        ignoring_rules = [rule for rule in rules if not rule.is_exception]
        # A scan checks a million names, and most match no pattern.  Only the patterns that could match because of
        # the first or the last byte are tried, so that a hundred patterns cost no more time than ten.
        self._by_first_byte = _combine_by_byte((rule.first_byte, rule) for rule in ignoring_rules)
        self._by_last_byte = _combine_by_byte(
            (rule.last_byte, rule) for rule in ignoring_rules if not rule.first_byte
        )
        self._other = _combine(rule for rule in ignoring_rules if not rule.first_byte and not rule.last_byte)
        self._rules = rules[::-1]

    @classmethod
    def with_litter(cls, patterns: Sequence[str]) -> IgnoreRules:
        """Return rules of the built-in patterns, followed by ``patterns``, the setting ``watch.ignore``."""
        return _compile_with_litter(tuple(patterns))

    def matching_pattern(self, name: bytes, is_folder: bool = False) -> str | None:
        """Return the pattern because of which ``name`` is ignored, as written; None if the name is archived.

        ``name`` is the name of a folder if ``is_folder`` is True, otherwise of anything else.
        """
        if (
            ((expression := self._by_first_byte.get(name[:1])) is None or expression.match(name) is None)
            and ((expression := self._by_last_byte.get(name[-1:])) is None or expression.match(name) is None)
            and self._other.match(name) is None
        ):
            return None
        for rule in self._rules:
            if (is_folder or not rule.is_for_folders) and _compile_expression(rule.expression).match(name):
                return None if rule.is_exception else rule.pattern
        return None

    def covers(self, path: bytes, is_folder: bool = False) -> bool:
        """Return True if ``path``, or a folder above it, has a name that is ignored."""
        *folder_names, name = path.split(b"/")
        return (
            any(self.matching_pattern(folder_name, is_folder=True) is not None for folder_name in folder_names)
            or self.matching_pattern(name, is_folder) is not None
        )


@cache
def _compile_with_litter(patterns: tuple[str, ...]) -> IgnoreRules:
    """Return the rules of the built-in patterns and ``patterns``; a command asks for them several times."""
    return IgnoreRules([*(litter.pattern for litter in LITTER), *patterns])


def _parse_pattern(pattern: str) -> _Rule:
    """Return the rule that ``pattern`` describes; see :class:`IgnoreRules`."""
    is_exception, is_for_folders = pattern.startswith("!"), pattern.endswith("/")
    name_pattern = pattern.removeprefix("!").removesuffix("/")
    if pattern.startswith("\\!"):
        name_pattern = name_pattern[1:]
    name_bytes = name_pattern.encode("utf-8")
    return _Rule(
        pattern,
        fnmatch.translate(name_pattern).encode("utf-8"),
        is_exception,
        is_for_folders,
        first_byte=b"" if name_pattern[:1] in _WILDCARDS else name_bytes[:1],
        last_byte=b"" if name_pattern[-1:] in _WILDCARDS else name_bytes[-1:],
    )


def _combine_by_byte(rules: Iterable[tuple[bytes, _Rule]]) -> Mapping[bytes, re.Pattern[bytes]]:
    """Return the expression of all rules with the same byte, by this byte; rules without a byte are left out."""
    rules_by_byte: dict[bytes, list[_Rule]] = {}
    for byte, rule in rules:
        # The case of ASCII letters is ignored, and other bytes have no case.
        for variant in {byte.lower(), byte.upper()} - {b""}:
            rules_by_byte.setdefault(variant, []).append(rule)
    return {byte: _combine(byte_rules) for byte, byte_rules in rules_by_byte.items()}


def _combine(rules: Iterable[_Rule]) -> re.Pattern[bytes]:
    """Return an expression that matches what any of the rules matches; without rules, it matches nothing."""
    return _compile_expression(b"|".join(rule.expression for rule in rules) or b"(?!)")


@cache
def _compile_expression(expression: bytes) -> re.Pattern[bytes]:
    """Compile a regular expression when it is first needed: a scan needs few of the built-in ones on their own."""
    return re.compile(expression, re.IGNORECASE)
