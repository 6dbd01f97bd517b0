"""The chains of format 2: each event belongs to one, besides the chain of all events.

A package for one filing carries that filing's chain and the chain ``archive``.  A reader sees that nothing is
missing in them, because the signed head counts the events of every chain (docs/adr/0012-format-2.md).
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from archiver.store.events.digests import GENESIS, format_sha256

#: The events of the archive itself, without a member that could name a filing, a path, or free text.
ARCHIVE_CHAIN = "archive"
#: The events about the service and the company's own work, which are in no filing's package.
HOUSE_CHAIN = "house"
_FILING_CHAIN = re.compile(r"[0-9a-f]{32}")


class EventClass(StrEnum):
    """Whether an event has an effect on what is archived, or only records something."""

    ACT = "act"
    NOTE = "note"


class ChainPosition(NamedTuple):
    """The place of an event in its chain."""

    chain: str
    #: Counts from 1 within the chain.
    number: int
    #: Digest of the chain's event before, as ``sha256:<hex>``; that of :data:`GENESIS` in the first event.
    previous_digest: str


class ChainHead(NamedTuple):
    """The newest event of a chain."""

    chain: str
    event_count: int
    digest: str

    def following_position(self) -> ChainPosition:
        """Return the position of the next event in the chain."""
        return ChainPosition(self.chain, self.event_count + 1, self.digest)


def begin_chain(chain: str) -> ChainPosition:
    """Return the position of the first event of a chain."""
    return ChainPosition(chain, 1, GENESIS)


def create_filing_chain() -> str:
    """Return the name of a new filing's chain: 128 random bits, which say nothing about the filing."""
    return secrets.token_hex(16)


def is_chain_name(name: object) -> bool:
    """Return True if ``name`` can be that of a chain."""
    return name in (ARCHIVE_CHAIN, HOUSE_CHAIN) or (
        isinstance(name, str) and _FILING_CHAIN.fullmatch(name) is not None
    )


def digest_chain_heads(heads: Iterable[ChainHead]) -> str:
    """Return the digest over the heads of all chains, which a signed head states.

    It is the SHA-256 over one line for each chain, sorted by the chain's name: a JSON list of name, count, and
    digest, without spaces, and a line feed.
    """
    lines = (json.dumps(list(head), separators=(",", ":")) + "\n" for head in sorted(heads))
    return format_sha256(hashlib.sha256("".join(lines).encode("ascii")).digest())
