"""The witness line: a checkpoint in one line, to keep out of reach of everybody who can write the archive.  Pure.

With the archive and the key anybody can rewrite all of history, but not a line that somebody else has kept. The
outside auditor of immudb works in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from archiver.errors import LazyMessage, UsageError

_LINE = re.compile(r"archiver-witness 1 ([0-9a-f]{16}) ([1-9][0-9]{0,11}) ([0-9a-f]{64}) (\S{20,40})")


@dataclass(frozen=True, slots=True)
class Witness:
    """A checkpoint as the witness line states it."""

    #: Beginning of the SHA-256 of the archive's first event.
    archive_id: str
    seq: int
    sha256: str
    #: The compliance clock at the checkpoint (RFC 3339).
    clock_time: str

    def __str__(self) -> str:
        return f"archiver-witness 1 {self.archive_id} {self.seq} {self.sha256} {self.clock_time}"


def parse_witness(line: str) -> Witness:
    """Parse a witness line; white space may have changed on the way.  Raises UsageError for any other line."""
    match = _LINE.fullmatch(" ".join(line.split()))
    if match is None:
        raise UsageError(
            "{line} is not a witness line. Nothing was checked. It is one line that begins with archiver-witness, "
            "as printed by: archiver checkpoint --print",
            line=line[:80],
        )
    return Witness(match[1], int(match[2]), match[3], match[4])


def find_contradictions(
    witnesses: Iterable[Witness], event_digests: Sequence[str]
) -> Iterator[tuple[Witness, LazyMessage]]:
    """Yield each witness that the journal does not continue, with the reason.

    ``event_digests`` are the SHA-256 of all events in order.
    """
    for witness in witnesses:
        if not event_digests or event_digests[0][:16] != witness.archive_id:
            yield witness, LazyMessage("the line is of another archive")
        elif len(event_digests) < witness.seq:
            yield (
                witness,
                LazyMessage(
                    "the journal ends at event {seq}: it was cut, or an older copy put in its place",
                    seq=len(event_digests),
                ),
            )
        elif event_digests[witness.seq - 1] != witness.sha256:
            reason = LazyMessage("event {seq} is another one: it, or one before it, was replaced", seq=witness.seq)
            yield witness, reason
