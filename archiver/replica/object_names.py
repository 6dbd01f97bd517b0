"""The names of objects in the bucket.  Pure.

The names are part of the format: a rebuild finds everything by them alone.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: Content objects, one per SHA-256.
CONTENT_PREFIX = "objects/"
#: Git bundles, one per span of events.
HISTORY_PREFIX = "history/"
#: Objects that only tried whether the bucket locks.
PROBE_PREFIX = "probe/"
#: The object that says which archive owns the prefix.
IDENTITY_KEY = "archive.json"

_CONTENT_KEY = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})")
_BUNDLE_KEY = re.compile(r"history/(\d{10})-(\d{10})-([0-9a-f]{40})\.bundle")


class EventSpan(NamedTuple):
    """The events of a bundle: first and last number, and the journal commit of the last event."""

    first_seq: int
    last_seq: int
    head_commit: str


def content_key(sha256: str) -> str:
    """Return the key of a content object; two levels, as in ``archive.git/lfs``."""
    return f"{CONTENT_PREFIX}{sha256[:2]}/{sha256[2:4]}/{sha256}"


def parse_content_key(key: str) -> str | None:
    """Return the SHA-256 in a key of :func:`content_key`, None for any other key."""
    match = _CONTENT_KEY.fullmatch(key)
    return match[3] if match else None


def bundle_key(span: EventSpan) -> str:
    """Return the key of a bundle, padded so a listing is in the order of events."""
    return f"{HISTORY_PREFIX}{span.first_seq:010}-{span.last_seq:010}-{span.head_commit}.bundle"


def parse_bundle_key(key: str) -> EventSpan | None:
    """Return the span in a key of :func:`bundle_key`, None for any other key."""
    match = _BUNDLE_KEY.fullmatch(key)
    return EventSpan(int(match[1]), int(match[2]), match[3]) if match else None
