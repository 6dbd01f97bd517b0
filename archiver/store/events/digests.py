"""Digests and object ids of format 2, which name their algorithm: ``sha256:<hex>`` and ``sha1:<hex>``."""

from __future__ import annotations

import hashlib
import re

_SHA256 = re.compile(r"sha256:([0-9a-f]{64})")
_SHA1 = re.compile(r"sha1:([0-9a-f]{40})")
#: Used in place of the digest of a predecessor where there is none: in the first event, and in the first head.
GENESIS = "sha256:" + "0" * 64


def compute_sha256(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as ``sha256:<hex>``."""
    return format_sha256(hashlib.sha256(data).digest())


def format_sha256(digest: bytes) -> str:
    """Return a SHA-256, given as its 32 bytes, in the form ``sha256:<hex>``."""
    return f"sha256:{digest.hex()}"


def name_algorithm(algorithm: str, hex_digits: str) -> str:
    """Return a digest in the form ``<algorithm>:<hex>``; ``algorithm`` is ``sha256`` or ``sha1``."""
    return f"{algorithm}:{hex_digits}"


def parse_sha256(text: object) -> str:
    """Return the hexadecimal digits of ``sha256:<hex>``; raises ValueError for anything else."""
    return _parse(_SHA256, text)


def parse_object_id(text: object) -> str:
    """Return the hexadecimal digits of the git object id ``sha1:<hex>``; raises ValueError for anything else."""
    return _parse(_SHA1, text)


def _parse(pattern: re.Pattern[str], text: object) -> str:
    """Return the hexadecimal digits in ``text``. Raises ValueError if ``text`` does not match ``pattern``."""
    digest_match = pattern.fullmatch(text) if isinstance(text, str) else None
    if digest_match is None:
        raise ValueError("a digest is missing, or names no known algorithm")
    return digest_match[1]
