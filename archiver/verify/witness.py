"""The witness line: a checkpoint in one line, to keep where nobody of the archive can reach it.  Pure.

Whoever holds the archive and its key can rewrite everything in it, but not a
line that somebody else has kept: the outside auditor of immudb does the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from archiver.errors import UsageProblem

_LINE = re.compile(r"archiver-witness 1 ([0-9a-f]{16}) ([1-9][0-9]{0,11}) ([0-9a-f]{64}) (\S{20,40})")


@dataclass(frozen=True, slots=True)
class Witness:
    """Which archive (the beginning of its first event's SHA-256), which event, its SHA-256, the clock then."""

    archive: str
    seq: int
    sha256: str
    time: str

    def __str__(self) -> str:
        return f"archiver-witness 1 {self.archive} {self.seq} {self.sha256} {self.time}"


def parse(line: str) -> Witness:
    """Read a witness line; raises UsageProblem."""
    match = _LINE.fullmatch(" ".join(line.split()))
    if match is None:
        raise UsageProblem(
            "{line} is not a witness line. Nothing was checked. It is one line that begins with archiver-witness, "
            "as printed by: archiver checkpoint --print",
            line=line[:80],
        )
    return Witness(match[1], int(match[2]), match[3], match[4])


def contradictions(witnesses: Iterable[Witness], digests: list[str]) -> Iterator[tuple[Witness, str]]:
    """Which lines the archive, whose events have these SHA-256 in order, does not continue, and why."""
    for each in witnesses:
        if not digests or digests[0][:16] != each.archive:
            yield each, "the line is of another archive"
        elif len(digests) < each.seq:
            yield each, f"the journal ends at event {len(digests)}: it was cut, or an older copy put in its place"
        elif digests[each.seq - 1] != each.sha256:
            yield each, f"event {each.seq} is another one: it, or one before it, was replaced"
