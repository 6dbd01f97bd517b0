"""The names of objects in the bucket.  Pure."""

from __future__ import annotations

import re
from typing import NamedTuple

OBJECTS = "objects/"
HISTORY = "history/"
PROBES = "probe/"
IDENTITY = "archive.json"

_OBJECT = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})")
_BUNDLE = re.compile(r"history/(\d{10})-(\d{10})-([0-9a-f]{40})\.bundle")


class EventSpan(NamedTuple):
    """The events of one bundle, and the journal's commit at its end."""

    first: int
    last: int
    head: str


def content_key(sha256: str) -> str:
    """Where a content lies."""
    return f"{OBJECTS}{sha256[:2]}/{sha256[2:4]}/{sha256}"


def content_of(key: str) -> str | None:
    """The SHA-256 that a key stands for, None if for none."""
    match = _OBJECT.fullmatch(key)
    return match[3] if match else None


def bundle_key(span: EventSpan) -> str:
    """Where the bundle of some events lies."""
    return f"{HISTORY}{span.first:010}-{span.last:010}-{span.head}.bundle"


def span_of(key: str) -> EventSpan | None:
    """The inverse of :func:`bundle_key`."""
    match = _BUNDLE.fullmatch(key)
    return EventSpan(int(match[1]), int(match[2]), match[3]) if match else None
