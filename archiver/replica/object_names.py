"""Builds and parses the keys of the objects in the bucket. Pure.

The keys are part of the replica's format: a rebuild finds every object by its key alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

#: Content objects, one per SHA-256.
CONTENT_PREFIX = "objects/"
#: Git bundles, one per span of events.
HISTORY_PREFIX = "history/"
#: Objects that were uploaded only to test whether the bucket locks.
PROBE_PREFIX = "probe/"
#: The object that names the archive to which the prefix belongs.
CLAIM_KEY = "archive.json"

#: The two folders repeat the first and the second pair of digits of the SHA-256.
_CONTENT_KEY = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{2})/(?P<sha256>\1\2[0-9a-f]{60})")
_BUNDLE_KEY = re.compile(
    r"history/(?P<first_seq>\d{10})-(?P<last_seq>\d{10})-(?P<head_commit>[0-9a-f]{40})\.bundle"
)


class EventSpan(NamedTuple):
    """Consecutive events of the journal, the content of a bundle."""

    #: The number of the first event.
    first_seq: int
    #: The number of the last event, which belongs to the span.
    last_seq: int
    #: The journal commit of the last event.
    head_commit: str


def content_key(sha256: str) -> str:
    """Return the key of a content object, with two levels of folders like the paths in ``archive.git/lfs``."""
    return f"{CONTENT_PREFIX}{sha256[:2]}/{sha256[2:4]}/{sha256}"


def parse_content_key(key: str) -> str | None:
    """Return the SHA-256 in a key that :func:`content_key` made. Return None for any other key."""
    key_match = _CONTENT_KEY.fullmatch(key)
    return key_match["sha256"] if key_match else None


def bundle_key(span: EventSpan) -> str:
    """Return the key of a bundle. The numbers are padded, so that a listing is in the order of the events."""
    return f"{HISTORY_PREFIX}{span.first_seq:010}-{span.last_seq:010}-{span.head_commit}.bundle"


def parse_bundle_key(key: str) -> EventSpan | None:
    """Return the span in a key that :func:`bundle_key` made. Return None for any other key."""
    key_match = _BUNDLE_KEY.fullmatch(key)
    if key_match is None:
        return None
    return EventSpan(int(key_match["first_seq"]), int(key_match["last_seq"]), key_match["head_commit"])


def find_newest_span(bundle_keys: Iterable[str]) -> EventSpan | None:
    """Return the span with the latest events, or None without bundles. Keys of other objects are ignored."""
    spans = [span for key in bundle_keys if (span := parse_bundle_key(key)) is not None]
    return max(spans, key=lambda span: span.last_seq, default=None)
