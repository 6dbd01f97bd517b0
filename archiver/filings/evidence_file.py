"""Name the file handed over as proof of a record: a receipt, a notice, a screenshot.  Pure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import IO

from archiver.store import names

#: Any other suffix is left out: names in the journal's trees are ours.
_PLAIN_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file to be kept with a record."""

    name: str  # as the person gave it; folders in front are left out
    stream: IO[bytes]  # closed by whoever opened it

    def journal_name(self, stem: str) -> str:
        """Return the attachment's name in the journal: ``stem`` with the file's suffix, if plain.

        No foreign name may get into the journal's trees.
        """
        suffix = os.path.splitext(self.name)[1].lower()
        return stem + (suffix if _PLAIN_SUFFIX.fullmatch(suffix) else "")

    @property
    def display_name(self) -> str:
        """Return the file's own name, for people."""
        return names.text(os.path.basename(self.name).encode("utf-8", "surrogateescape"))
