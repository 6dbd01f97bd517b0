"""Find materials that match the [sensitive] patterns, and hide their content from the reading group."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from contextlib import suppress

from archiver.store import names
from archiver.store.content.objects import ContentStore
from archiver.store.index import overview
from archiver.store.index.queries import Index


def matching_pattern(path: bytes, patterns: Sequence[str]) -> str:
    """Return the first of ``patterns`` that matches a material's path or file name; empty if none matches.

    Patterns are shell wildcards, and distinguish upper and lower case.  A pattern is compared with the raw bytes
    of the path, and with the text that ``archiver log`` shows for it.
    """
    if not patterns:
        return ""
    path_text = names.name_as_text(path)
    spellings = (path_text, path_text.rsplit("/", 1)[-1])
    for pattern in patterns:
        if fnmatch.fnmatchcase(path, pattern.encode("utf-8", "surrogateescape")) or any(
            fnmatch.fnmatchcase(spelling, pattern) for spelling in spellings
        ):
            return pattern
    return ""


def withdraw_group_access(index: Index, content: ContentStore, patterns: tuple[str, ...]) -> None:
    """Withdraw the reading group's access to the content of every archived material that matches ``patterns``.

    This is for content that was archived before the patterns were set.  Content that cannot be changed is skipped.
    """
    for path, sha256 in overview.content_paths(index):
        if matching_pattern(path, patterns):
            # An immutable object keeps its mode until ``archiver protect --off``.
            with suppress(OSError):
                content.restrict_to_owner(sha256)
