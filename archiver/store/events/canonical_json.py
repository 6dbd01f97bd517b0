"""Canonical JSON: equal documents have equal bytes, so that their SHA-256 values can be compared."""

from __future__ import annotations

import json
import json.encoder
from collections.abc import Mapping
from typing import Any

#: Created only once: json.dumps() would create an encoder for each of a million lines.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def encode_canonical(document: Mapping[str, Any]) -> bytes:
    """Encode ``document`` as canonical JSON: sorted keys, no spaces, UTF-8, one line feed at the end.

    Raises ValueError for a number or a text that JSON or UTF-8 cannot represent, such as NaN, and TypeError for an
    object of another type.
    """
    return _ENCODER.encode(document).encode("utf-8") + b"\n"


def encode_text(text: str) -> str:
    """Return ``text`` as a string of canonical JSON, with quotes. Raises TypeError if ``text`` is not a string."""
    return json.encoder.encode_basestring(text)


def is_canonical(document: Mapping[str, Any], data: bytes) -> bool:
    """Return True if ``data`` is the canonical form of ``document``, which was parsed from ``data``.

    Also returns False if a key is repeated, because parsers disagree on the value that counts.
    """
    try:
        return encode_canonical(document) == data
    except (ValueError, TypeError):
        # The parsed document has a value that canonical JSON cannot represent.
        return False
