"""Which versions go into a package, and which materials are left out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archiver.errors import NotFound, Phrase
from archiver.model import Version
from archiver.store.archive import Archive
from archiver.store.sensitive import fitting


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """``since`` and ``until`` are capture times, UTC; ``kinds`` those of handing-ins.

    ``without``, ``sensitive``: patterns of materials whose bytes are left out,
    though their lines stay; ``expand``: every version with all of its files.
    """

    filings: Sequence[str] = ()
    submissions: Sequence[str] = ()
    kinds: Sequence[str] = ()
    since: str = ""
    until: str = ""
    without: Sequence[str] = ()
    sensitive: Sequence[str] = ()
    expand: bool = False

    @property
    def is_everything(self) -> bool:
        """Whether no filing and no submission is left out."""
        return not (self.filings or self.submissions or self.kinds)

    def versions(self, archive: Archive) -> list[Version]:
        """The chosen versions, oldest first; raises NotFound where none is."""
        chosen = [version for version in reversed(archive.index.versions()) if self._holds(version)]
        if not chosen:
            raise NotFound(
                "No version fits this choice of filings and dates, so no package was written. "
                "See what there is with: archiver log"
            )
        return chosen

    def _holds(self, version: Version) -> bool:
        return (
            (not self.filings or version.submission.filing in self.filings)
            and (not self.submissions or str(version.submission) in self.submissions)
            and (not self.kinds or any(each.kind in self.kinds for each in version.submitted))
            and version.captured_at >= self.since
            and (not self.until or version.captured_at <= self.until)
        )

    def leaves_out(self, path: bytes) -> Phrase | None:
        """Why a material's bytes are left out; None if they are not."""
        if pattern := fitting(path, self.without):
            return Phrase("left out: {pattern}", pattern=pattern)
        if pattern := fitting(path, self.sensitive):
            return Phrase("sensitive: {pattern}", pattern=pattern)
        return None

    def described(self) -> dict[str, Any]:
        """For the journal and the export's record."""
        return {
            "filings": list(self.filings),
            "submissions": list(self.submissions),
            "kinds": list(self.kinds),
            "since": self.since,
            "until": self.until,
            "without": list(self.without),
            "sensitive": list(self.sensitive),
            "expand": self.expand,
        }
