"""Keep the newest event of each chain of events, from which the writer computes the position of the next one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archiver.store.events.chain_rules import ChainKind, filing_of_event, find_chain_rule
from archiver.store.events.chains import (
    ChainHead,
    ChainPosition,
    EventClass,
    begin_chain,
    create_filing_chain,
    digest_chain_heads,
)
from archiver.store.events.event_files import FORMAT
from archiver.store.head_history import HeadHistory
from archiver.store.index.queries import Index


class ChainHeads:
    """The heads, or newest events, of all chains.

    Each batch works with a new object, which is dropped if the batch fails.
    """

    def __init__(self, index: Index) -> None:
        """Read the heads from ``index``, which has caught up with the journal."""
        chains = index.chains()
        self._heads = {chain: head for chain, (head, _) in chains.items()}
        self._chain_by_filing = {filing: chain for chain, (_, filing) in chains.items() if filing is not None}

    def place_event(
        self, action: str, object_name: str, details: Mapping[str, Any]
    ) -> tuple[ChainPosition, EventClass]:
        """Return the position of a new event in its chain, and the class of the event.

        The first event of a filing begins the chain of this filing.  Raises ValueError if the event belongs to the
        chain of a filing but names none, or if events with this action belong to no chain.
        """
        rule = find_chain_rule(action, details)
        if rule is None:
            raise ValueError(f"{action} belongs to no chain")
        chain = rule.kind.value
        if rule.kind is ChainKind.FILING:
            filing_name = filing_of_event(action, object_name, details)
            chain = self._chain_by_filing.setdefault(filing_name, create_filing_chain())
        head = self._heads.get(chain)
        return (begin_chain(chain) if head is None else head.following_position()), rule.event_class

    def advance(self, chain: str, number: int, digest: str) -> None:
        """Make an event the newest of its chain, given the number in the chain and the digest ``sha256:<hex>``."""
        self._heads[chain] = ChainHead(chain, number, digest)

    def compute_digest(self) -> str:
        """Return the digest of the heads of all chains, as a signed head of the journal states it."""
        return digest_chain_heads(self._heads.values())

    def __len__(self) -> int:
        """Return the number of chains."""
        return len(self._heads)


def agree_with_signed_head(index: Index, history: HeadHistory) -> bool:
    """Return True unless the newest event's signed head proves that the chain heads in ``index`` are wrong.

    ``index`` has caught up with the journal.  Also returns True, without a comparison, if the newest event is not
    signed, and in an archive of the old format 1, which has no chains.
    """
    if index.format_number < FORMAT or index.head_commit is None:
        return True
    # Do not search older events for a signed head: after the key was lost, each write to the archive would search
    # further back.
    signed_head = history.signed_head_in(index.head_commit)
    if signed_head is None or signed_head.head is None:
        return True
    return ChainHeads(index).compute_digest() == signed_head.head.chain_heads
