"""Name the file that a person adds to a record as evidence: a receipt, a notice, a screenshot.  Pure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import IO

from archiver.store import names

#: A suffix that may become part of a name in the journal.  Any other suffix is dropped, because it could contain
#: arbitrary characters.
_PLAIN_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file to be journalled with a record."""

    name: str  # as the person gave it; may contain folders
    stream: IO[bytes]  # seekable; closed by the caller that opened it

    def attachment_name(self, stem: str) -> str:
        """Return the attachment's name in the journal: ``stem``, and the file's suffix in lower case if plain.

        The rest of the file's name is dropped, because no name chosen by a user may become part of a git tree.
        """
        suffix = os.path.splitext(self.name)[1].lower()
        return stem + (suffix if _PLAIN_SUFFIX.fullmatch(suffix) else "")

    @property
    def display_name(self) -> str:
        """The file's own name without folders, in readable form."""
        return names.name_as_text(os.path.basename(self.name).encode("utf-8", "surrogateescape"))
