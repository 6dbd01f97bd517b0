"""Select the versions of an inspection package, and the materials to list without their content."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from archiver import __version__, clock
from archiver.errors import LazyMessage, NotFoundError
from archiver.model import Version
from archiver.store.archive import Archive
from archiver.store.sensitive import matching_pattern


@dataclass(frozen=True, slots=True)
class ExportSelection:
    """The versions to put into a package, as chosen on the command line.

    A version is selected if it satisfies every field.  An empty field restricts nothing.
    """

    filings: Sequence[str] = ()  # names of filings
    submissions: Sequence[str] = ()  # as FILING/SUBMISSION
    kinds: Sequence[str] = ()  # codes of kinds of submission; the version was submitted as one of these kinds
    captured_since: str = ""  # the earliest and the latest time of capture, inclusive (RFC 3339, UTC)
    captured_until: str = ""
    omitted_patterns: Sequence[str] = ()  # patterns of materials to list without their content
    sensitive_patterns: Sequence[str] = ()  # more such patterns, from the configuration file
    #: True: the folder of each version has all files of the version.  False: a filing has each content only once.
    repeats_content: bool = False  # ``expand`` on the command line and in ``export.json``

    @property
    def includes_every_filing(self) -> bool:
        """True if the selection names no filing, submission or kind; it may still restrict the capture time."""
        return not (self.filings or self.submissions or self.kinds)

    def select_versions(self, archive: Archive) -> list[Version]:
        """Return the selected versions, oldest first.  Raises NotFoundError if no version is selected."""
        selected_versions = [version for version in reversed(archive.index.versions()) if self._includes(version)]
        if not selected_versions:
            raise NotFoundError(
                "No version matches the selected filings, submission folders, and dates; no inspection package "
                "was written. To list the versions, run: archiver log"
            )
        return selected_versions

    def _includes(self, version: Version) -> bool:
        """Return True if ``version`` is selected."""
        # Times can be compared as text, because all have the same form (RFC 3339, UTC).
        return (
            (not self.filings or version.submission.filing in self.filings)
            and (not self.submissions or version.submission.ref_name in self.submissions)
            and (not self.kinds or any(record.kind in self.kinds for record in version.valid_submissions))
            and version.captured_at >= self.captured_since
            and (not self.captured_until or version.captured_at <= self.captured_until)
        )

    def omission_reason(self, path: bytes) -> LazyMessage | None:
        """Return the reason to leave out the content of a material; None if no pattern matches ``path``."""
        if pattern := matching_pattern(path, self.omitted_patterns):
            return LazyMessage("omitted: {pattern}", pattern=pattern)
        if pattern := matching_pattern(path, self.sensitive_patterns):
            return LazyMessage("sensitive: {pattern}", pattern=pattern)
        return None

    def to_record(self) -> dict[str, Any]:
        """Return the selection in the form that the journal and ``export.json`` store."""
        return {
            "filings": list(self.filings),
            "submissions": list(self.submissions),
            "kinds": list(self.kinds),
            "since": self.captured_since,
            "until": self.captured_until,
            "without": list(self.omitted_patterns),
            "sensitive": list(self.sensitive_patterns),
            "expand": self.repeats_content,
        }


def build_export_record(
    archive: Archive, selection: ExportSelection, recipient: str | None, reason: str | None
) -> dict[str, Any]:
    """Return the content of ``export.json``: who exports which selection, when, for whom and why.

    ``recipient`` and ``reason`` are the user's own words, or None.  The time is the present wall-clock time.
    """
    return {
        "at": clock.format_time(clock.read_clocks().wall),
        "user": archive.actor.user,
        "uid": os.getuid(),
        "recipient": recipient,
        "reason": reason,
        "program": f"archiver {__version__}",
        "selection": selection.to_record(),
    }
