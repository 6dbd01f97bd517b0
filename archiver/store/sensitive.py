"""Find materials that match the [sensitive] patterns, and keep their content for the service's user alone."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from contextlib import suppress

from archiver.store import names
from archiver.store.content.objects import ContentStore
from archiver.store.index import overview
from archiver.store.index.queries import Index


def matching_pattern(path: bytes, patterns: Sequence[str]) -> str:
    """Return the first pattern that matches a material's path or its last name; empty if none does.

    A pattern is compared with the raw bytes as well as with the text that ``archiver log`` shows.
    """
    if not patterns:
        return ""
    path_text = names.text(path)
    spellings = (path_text, path_text.rsplit("/", 1)[-1])
    for pattern in patterns:
        if fnmatch.fnmatchcase(path, pattern.encode("utf-8", "surrogateescape")) or any(
            fnmatch.fnmatchcase(spelling, pattern) for spelling in spellings
        ):
            return pattern
    return ""


def hide_archived(index: Index, content: ContentStore, patterns: tuple[str, ...]) -> None:
    """Withdraw the reading group's access to matching content that was archived before the patterns were set."""
    for path, sha256 in overview.content_paths(index):
        if matching_pattern(path, patterns):
            # An immutable object keeps its mode until ``archiver protect --off``.
            with suppress(OSError):
                content.make_private(sha256)
