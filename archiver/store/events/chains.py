"""The chains of format 2: every event is linked to the previous event of the journal, and to that of one chain.

An inspection package for one filing carries two chains: that of the filing, and the chain ``archive``.  The signed
head of the journal counts the events of every chain, which proves to the reader of a package that no event of
these two chains is missing (docs/adr/0012-format-2.md).
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from archiver.store.events.digests import GENESIS, format_sha256

#: The chain of the events about the archive itself. None of their members can name a filing or a path, or hold
#: free text.
ARCHIVE_CHAIN = "archive"
#: The chain of the events about the service and the company's own work, which are in no package for a filing.
HOUSE_CHAIN = "house"
_FILING_CHAIN = re.compile(r"[0-9a-f]{32}")


class EventClass(StrEnum):
    """The two classes of events: an act has an effect on the archive, and a note only records something.

    A reader that does not know the kind of an event can ignore a note, but not an act.
    """

    ACT = "act"
    NOTE = "note"


class ChainPosition(NamedTuple):
    """The place of an event in its chain."""

    chain: str
    #: Counts from 1 within the chain.
    number: int
    #: Digest (``sha256:<hex>``) of the previous event of the chain; :data:`GENESIS` for the first event.
    previous_digest: str


class ChainHead(NamedTuple):
    """The head of a chain: its newest event, and the number of its events."""

    chain: str
    event_count: int
    #: Digest (``sha256:<hex>``) of the newest event's ``event.json``.
    digest: str

    def following_position(self) -> ChainPosition:
        """Return the position of the next event in the chain."""
        return ChainPosition(self.chain, self.event_count + 1, self.digest)


def begin_chain(chain: str) -> ChainPosition:
    """Return the position of the first event of a chain."""
    return ChainPosition(chain, 1, GENESIS)


def create_filing_chain() -> str:
    """Return a name for the chain of a new filing: 128 random bits in hexadecimal, which reveal nothing."""
    # Commands that only read import this module, and this import takes milliseconds.
    import secrets

    return secrets.token_hex(16)


def is_chain_name(name: object) -> bool:
    """Return True if ``name`` is the name of a chain, or has the form of one for a filing."""
    return name in (ARCHIVE_CHAIN, HOUSE_CHAIN) or (
        isinstance(name, str) and _FILING_CHAIN.fullmatch(name) is not None
    )


def digest_chain_heads(heads: Iterable[ChainHead]) -> str:
    """Return the digest (``sha256:<hex>``) of the heads of all chains, as a signed head states it.

    The hashed text has one line for each chain, sorted by the names of the chains. A line is a JSON list of name,
    event count, and digest, without spaces, and ends with a line feed.
    """
    lines = (json.dumps(list(head), separators=(",", ":")) + "\n" for head in sorted(heads))
    return format_sha256(hashlib.sha256("".join(lines).encode("ascii")).digest())
