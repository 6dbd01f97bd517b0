"""Sensitive materials: which they are, and keeping their content for the service's user alone."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from contextlib import suppress

from archiver.store import names
from archiver.store.content.objects import ContentStore
from archiver.store.index import overview
from archiver.store.index.queries import Index


def fitting(path: bytes, patterns: Sequence[str]) -> str:
    """The first pattern that fits a material's whole path or its last name; empty: none."""
    if not patterns:
        return ""
    shown = names.text(path)
    forms = (shown, shown.rsplit("/", 1)[-1])
    for pattern in patterns:
        if fnmatch.fnmatchcase(path, pattern.encode("utf-8", "surrogateescape")) or any(
            fnmatch.fnmatchcase(f, pattern) for f in forms
        ):
            return pattern
    return ""


def hide(index: Index, content: ContentStore, patterns: tuple[str, ...]) -> None:
    """Take the reading group's right away from what was archived before the patterns were set.

    What is immutable stays as it is until the flag is taken off.
    """
    for path, sha256 in overview.contents(index):
        if fitting(path, patterns):
            with suppress(OSError):
                content.make_private(sha256)
