"""Replay the visible parts of events of format 2, and check chains and signed heads against each other.

Pure, and for Python 3.8 or later with the standard library alone: the verifier of a package contains this very
code, between two marks, and a test compares both.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

# --- begin of the part that the verifier of a package contains

#: Stands for the digest of what comes before the first event and the first signed head.
GENESIS = "sha256:" + "0" * 64
#: Members of a signed head that events do not show: the key, where its batch began, and abandoned heads. Of the
#: last, only that none of them is in the journal is checked.
UNCOMPARED_MEMBERS = ("key", "batch", "abandoned")


def sha256_digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` as it is written in format 2."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_chain_place(event: dict[str, Any]) -> tuple[str, int] | None:
    """Return chain and number of a parsed ``event.json``; None if it states no place in a chain.

    Nothing else in the event needs to be readable.
    """
    chain, number = event.get("chain"), event.get("n")
    is_filing_chain = isinstance(chain, str) and len(chain) == 32 and not chain.strip("0123456789abcdef")
    if chain not in ("archive", "house") and not is_filing_chain:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**12:
        return None
    return str(chain), number


def parse_microseconds(text: str) -> int:
    """Return a time in RFC 3339 with a zone, in microseconds since 1970; raises ValueError for anything else."""
    # Before Python 3.11, the letter Z is not understood.
    time = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    if time.tzinfo is None:
        raise ValueError("time without a zone")
    epoch = datetime.datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (time - epoch) // datetime.timedelta(microseconds=1)


def largest_clock_gain(earlier: dict[str, Any], later: dict[str, Any], is_next: bool) -> int | None:
    """Return how many microseconds the compliance clock can gain between two events; both are members "clock".

    If "is_next", there is no event between them, and the clock gains the least of what all three clocks gained.
    Otherwise the events between them are not known. The wall clock can have been set back and forth there, so that
    only BOOTTIME and uptime bound the sum of their gains, and across a boot nothing does: None.
    """
    is_same_boot = bool(earlier["boot_id"]) and earlier["boot_id"] == later["boot_id"]
    is_shifted = earlier["shifted"] or later["shifted"]
    if is_next and (is_shifted or not is_same_boot):
        return 0
    if not is_same_boot:
        return None
    gains = [(int(later["uptime_ns"]) - int(earlier["uptime_ns"])) // 1000]
    if not is_shifted:
        gains.append((int(later["boottime_ns"]) - int(earlier["boottime_ns"])) // 1000)
    if is_next:
        gains.append(parse_microseconds(later["wall"]) - parse_microseconds(earlier["wall"]))
    return max(0, min(gains))


def seconds_behind(at: str, previous_at: str | None, clock: dict[str, Any]) -> tuple[int, int]:
    """Return by how many whole seconds the wall time "at" of an event lies before two other times; 0 if after.

    They are the wall time of the event before, None for the first event, and the event's own compliance clock.
    """
    wall = parse_microseconds(at)
    previous = wall if previous_at is None else parse_microseconds(previous_at)
    return max(0, (previous - wall) // 10**6), max(0, (parse_microseconds(clock["time"]) - wall) // 10**6)


def seconds_claimed(at: str, clock: dict[str, Any]) -> int:
    """Return by how many seconds an event claims to be earlier than its own reading of the wall clock, or 0.

    A wall clock that is wrong shows in both times. Up to ten minutes are none: a program may read the clock before
    a long copy, and write the event behind it.
    """
    seconds = (parse_microseconds(clock["wall"]) - parse_microseconds(at)) // 10**6
    return seconds if seconds > 600 else 0


class ChainReplay:
    """Counts the events of each chain, and compares the counts with the statements of events and signed heads."""

    def __init__(self) -> None:
        """Begin before the first event of format 2."""
        #: Name of a chain -> number and digest of its newest event.
        self.heads: dict[str, tuple[int, str]] = {}
        #: The digest of the archive's first event, of whichever format; the caller sets it.
        self.first_event_digest = ""
        #: The digest of the newest signed head, and the number of the last event that it covers; 0 without any.
        self.head_digest = GENESIS
        self.covered_seq = 0
        #: Number and digest of the newest event, and the number of the first one of format 2; 0 before it.
        self.newest_seq = 0
        self.newest_digest = ""
        self._first_seq = 0
        #: The digests of all signed heads, and those that any of them names as abandoned.
        self.all_head_digests: set[str] = set()
        self.abandoned_digests: set[str] = set()

    def add_event(self, event: dict[str, Any], digest: str, seq: int) -> tuple[bool, bool]:
        """Take the next event, a parsed ``event.json``; ``seq`` is its place in the journal.

        Return whether its number in the chain is the next one, and whether it names the event before it there.
        An event that states no place is in no chain, and cannot be read: both are true.
        """
        self.newest_seq, self.newest_digest = seq, digest
        self._first_seq = self._first_seq or seq
        place = read_chain_place(event)
        if place is None:
            return True, True
        chain, number = place
        count, previous_digest = self.heads.get(chain, (0, GENESIS))
        self.heads[chain] = (number, digest)
        return number == count + 1, event.get("chain_prev") == previous_digest

    def first_uncovered_seq(self) -> int:
        """Return the number of the first event of format 2 that no signed head covers yet."""
        return self.covered_seq + 1 if self.covered_seq else self._first_seq

    def add_head(self, head_bytes: bytes) -> list[str]:
        """Take the signed head in the commit of the newest event; its signature is not checked here.

        Return the names of the members that state something else than the events show; of all members if the head
        cannot be read.  ``abandoned`` is one of them if the head is named as abandoned, or names one that is in
        the journal.
        """
        expected = {
            "archive": self.first_event_digest,
            "format": 2,
            "first": self.first_uncovered_seq(),
            "last": self.newest_seq,
            "event": self.newest_digest,
            "chain_heads": self.chain_heads_digest(),
            "chains": len(self.heads),
            "previous_head": self.head_digest,
        }
        self.head_digest = sha256_digest(head_bytes)
        self.covered_seq = self.newest_seq
        self.all_head_digests.add(self.head_digest)
        try:
            stated = json.loads(head_bytes.decode("utf-8"))
            differing = [name for name, value in expected.items() if stated.get(name) != value]
            known_names = {*expected, *UNCOMPARED_MEMBERS}
            differing += [name for name in stated if name not in known_names and not name.startswith("x-")]
            abandoned = set(stated.get("abandoned", []))
            self.abandoned_digests |= abandoned
            if self.head_digest in self.abandoned_digests or abandoned & self.all_head_digests:
                differing.append("abandoned")
        except (ValueError, AttributeError, TypeError, RecursionError):
            # Not JSON, or no JSON object, or something abandoned that is no list of texts.
            differing = list(expected)
        return sorted(differing)

    def chain_heads_digest(self) -> str:
        """Return the digest over one line for each chain: a JSON list of its name, count and newest digest."""
        lines = [
            json.dumps([chain, count, digest], separators=(",", ":")) + "\n"
            for chain, (count, digest) in sorted(self.heads.items())
        ]
        return sha256_digest("".join(lines).encode("ascii"))


# --- end of the part that the verifier of a package contains
