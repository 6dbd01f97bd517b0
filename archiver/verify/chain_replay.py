"""Replay the public files ``event.json`` of format 2, and compare chains and signed heads with each other.

Pure, and written for Python 3.8 or later with the standard library alone: the verifier in an inspection package
contains the part between the two marks word for word, and a test compares both.
"""

from __future__ import annotations

import datetime
import hashlib
import json
from typing import Any

# --- begin of the part that the verifier of a package contains

#: Used in place of the digest of a predecessor in the first event of a chain, and in the first signed head.
GENESIS = "sha256:" + "0" * 64
#: Members of a signed head that do not follow from the events: the key, the first event of the batch, and the
#: abandoned heads. Of these heads, only one thing is checked: none of them is in the journal.
UNCOMPARED_MEMBERS = ("key", "batch", "abandoned")


def sha256_digest(data: bytes) -> str:
    """Return the SHA-256 of ``data`` in the form of format 2, "sha256:" and hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def read_chain_place(event: dict[str, Any]) -> tuple[str, int] | None:
    """Return the name of the chain, and the number in the chain, that a parsed ``event.json`` states.

    Return None if they are missing or not valid. Nothing else in the event needs to be readable.
    """
    chain, number = event.get("chain"), event.get("n")
    is_filing_chain = isinstance(chain, str) and len(chain) == 32 and not chain.strip("0123456789abcdef")
    if chain not in ("archive", "house") and not is_filing_chain:
        return None
    if not isinstance(number, int) or isinstance(number, bool) or not 0 < number < 10**12:
        return None
    return str(chain), number


def parse_microseconds(text: str) -> int:
    """Return a time in RFC 3339 with a zone, in microseconds since 1970; raises ValueError for any other text."""
    # Before Python 3.11, fromisoformat() does not understand the letter Z.
    time = datetime.datetime.fromisoformat(text[:-1] + "+00:00" if text[-1:] in ("Z", "z") else text)
    if time.tzinfo is None:
        raise ValueError("time without a zone")
    epoch = datetime.datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    return (time - epoch) // datetime.timedelta(microseconds=1)


def largest_clock_gain(earlier: dict[str, Any], later: dict[str, Any], is_next: bool) -> int | None:
    """Return the most microseconds that the compliance clock can gain between two events; None without a limit.

    "earlier" and "later" are the members "clock" of the events. If "is_next", there is no event between them: the
    compliance clock gains the smallest of the gains of the wall clock, BOOTTIME and uptime. It gains nothing
    across a boot, or if a time namespace shifted the clocks. Otherwise the events between them are not known. The
    wall clock can have been set back and forth there, so only BOOTTIME and uptime limit the gain, and across a
    boot nothing limits it.
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
    """Return two numbers of whole seconds: by how much the wall time "at" of an event is before two other times.

    The first is the wall time of the previous event, None for the first event; the second is the compliance clock
    of the event itself, in its member "clock". A number is 0 if "at" is not before that time.
    """
    wall = parse_microseconds(at)
    previous = wall if previous_at is None else parse_microseconds(previous_at)
    return max(0, (previous - wall) // 10**6), max(0, (parse_microseconds(clock["time"]) - wall) // 10**6)


def seconds_claimed(at: str, clock: dict[str, Any]) -> int:
    """Return by how many seconds the time "at" of an event is earlier than the wall clock in its member "clock".

    A wrong wall clock shows in both times, so it causes no difference. Up to ten minutes count as 0: a program may
    read the time before a long copy, and the clocks after it, when it writes the event.
    """
    seconds = (parse_microseconds(clock["wall"]) - parse_microseconds(at)) // 10**6
    return seconds if seconds > 600 else 0


class ChainReplay:
    """Counts the events of each chain, and compares the counts with the statements of events and signed heads."""

    def __init__(self) -> None:
        """Begin before the first event of format 2."""
        #: Name of a chain -> number and digest of its newest event.
        self.heads: dict[str, tuple[int, str]] = {}
        #: The digest of the archive's first event, in either format; the caller sets it.
        self.first_event_digest = ""
        #: The digest of the newest signed head, and the number of the last event that it covers; 0 before the
        #: first head.
        self.head_digest = GENESIS
        self.covered_seq = 0
        #: Number and digest of the newest event of format 2, and number of the first one; 0 before it.
        self.newest_seq = 0
        self.newest_digest = ""
        self._first_seq = 0
        #: The digests of all signed heads so far, and the digests that any of them names as abandoned.
        self.all_head_digests: set[str] = set()
        self.abandoned_digests: set[str] = set()

    def add_event(self, event: dict[str, Any], digest: str, seq: int) -> tuple[bool, bool]:
        """Count the next event of format 2, and check its place in its chain.

        "event" is the parsed ``event.json``, "digest" its digest, and "seq" its number in the journal. Return two
        results: True if the event has the next number of the chain, and True if it names the digest of the chain's
        previous event. An event without a valid place is in no chain, and is unreadable: both are True.
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

    def compare_head(self, head_bytes: bytes) -> list[str]:
        """Compare the signed head in the commit of the newest event with the events so far, and count the head.

        Return the sorted names of the members that differ from the events; of all compared members if the head
        cannot be read.  "abandoned" is among them if any head names this head as abandoned, or if this head names
        a head that is in the journal.  The signature is not checked here.
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
            differing_names = [name for name, value in expected.items() if stated.get(name) != value]
            known_names = {*expected, *UNCOMPARED_MEMBERS}
            differing_names += [name for name in stated if name not in known_names and not name.startswith("x-")]
            abandoned = set(stated.get("abandoned", []))
            self.abandoned_digests |= abandoned
            if self.head_digest in self.abandoned_digests or abandoned & self.all_head_digests:
                differing_names.append("abandoned")
        except (ValueError, AttributeError, TypeError, RecursionError):
            # The head is not a JSON object, or "abandoned" is not a list of texts.
            differing_names = list(expected)
        return sorted(differing_names)

    def chain_heads_digest(self) -> str:
        """Return the digest over one line for each chain, a JSON list: name, number of events, newest digest."""
        lines = [
            json.dumps([chain, count, digest], separators=(",", ":")) + "\n"
            for chain, (count, digest) in sorted(self.heads.items())
        ]
        return sha256_digest("".join(lines).encode("ascii"))


# --- end of the part that the verifier of a package contains
