"""Write and parse witness lines, and compare each with the journal. Pure.

A witness line states a checkpoint in one line. Somebody who cannot write the archive keeps it. An attacker who has
the archive and the signing key can rewrite all of history, but cannot change the line. The external auditor of
immudb works in the same way.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from archiver.errors import LazyMessage, UsageError

#: Version of the line, archive id, number of the checkpoint's event, a SHA-256, compliance clock.
_WITNESS_LINE = re.compile(
    r"archiver-witness (?P<version>[12]) (?P<archive_id>[0-9a-f]{16}) (?P<seq>[1-9][0-9]{0,11}) "
    r"(?P<sha256>[0-9a-f]{64}) (?P<clock_time>\S{20,40})"
)
#: Characters of an invalid line that a message quotes. A longer quotation would hide the rest of the message.
_MAX_QUOTED_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Witness:
    """A checkpoint as stated by a witness line. ``str()`` returns the line."""

    #: The first 16 digits of the SHA-256 of the archive's first event.
    archive_id: str
    #: The number of the checkpoint's event in the journal.
    seq: int
    #: In version 2 the SHA-256 of the checkpoint's signed head; in version 1, for archives of format 1, the
    #: SHA-256 of the checkpoint's event. Both depend on all earlier events, which are chained by their digests.
    sha256: str
    #: The compliance clock at the checkpoint (RFC 3339).
    clock_time: str
    #: The version of the line, 1 or 2.
    version: int

    def __str__(self) -> str:
        return f"archiver-witness {self.version} {self.archive_id} {self.seq} {self.sha256} {self.clock_time}"


def parse_witness(line: str) -> Witness:
    """Parse a witness line.  Raises UsageError for any other text.

    The amount and kind of white space does not matter, because mail programs and word processors change it.
    """
    line_match = _WITNESS_LINE.fullmatch(" ".join(line.split()))
    if line_match is None:
        raise UsageError(
            "{line} is not a witness line. A witness line begins with archiver-witness. To print one, run: "
            "archiver checkpoint --print",
            line=line[:_MAX_QUOTED_CHARACTERS],
        )
    return Witness(
        archive_id=line_match["archive_id"],
        seq=int(line_match["seq"]),
        sha256=line_match["sha256"],
        clock_time=line_match["clock_time"],
        version=int(line_match["version"]),
    )


def find_contradicted_witnesses(
    witnesses: Iterable[Witness], event_digests: Sequence[str], head_digests: Mapping[int, str]
) -> Iterator[tuple[Witness, LazyMessage]]:
    """Yield each witness that contradicts the journal, with the reason.

    ``event_digests`` has the SHA-256 of every event of the journal, oldest first. ``head_digests`` has the
    SHA-256 of each signed head, by the number of its event. A journal that has grown since the witness line was
    written does not contradict the line.
    """
    for witness in witnesses:
        if not event_digests or event_digests[0][:16] != witness.archive_id:
            yield witness, LazyMessage("the line belongs to another archive")
        elif len(event_digests) < witness.seq:
            reason = LazyMessage(
                "the journal ends at event {seq}: the journal was truncated, or replaced by an older copy",
                seq=len(event_digests),
            )
            yield witness, reason
        elif witness.sha256 != (
            event_digests[witness.seq - 1] if witness.version == 1 else head_digests.get(witness.seq)
        ):
            reason = LazyMessage(
                "journal event {seq} differs: this event or an earlier event was replaced", seq=witness.seq
            )
            yield witness, reason
