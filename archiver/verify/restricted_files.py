"""Check that only the archive's owner can read the content of restricted files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.naming.ref_names import RefName
from archiver.store.events.digests import parse_sha256
from archiver.store.events.event_kinds import Action
from archiver.store.events.restriction_events import FileRestricted, RestrictionLifted
from archiver.verify.expected import JournalEntry, JournalState
from archiver.verify.findings import VerifyReport

#: Part of a branch's name before the name of the filing.
_BRANCH_PREFIX = "refs/heads/filings/"
#: Mode bits of any access for anybody but the owner.
_OPEN_TO_OTHERS = 0o077


def apply_restriction(entry: JournalEntry, journal_state: JournalState, _: VerifyReport) -> None:
    """Record in ``journal_state`` that a file is restricted, or that its restriction was lifted.

    Raises ValueError if the details are malformed.
    """
    details_class = FileRestricted if entry.event["action"] == Action.RESTRICT else RestrictionLifted
    details = details_class.from_details(entry.event["details"])
    filing_name = entry.event["object"].split("/", 1)[0]
    restriction = (filing_name, details.path, parse_sha256(details.digest))
    if details_class is FileRestricted:
        journal_state.active_restrictions.add(restriction)
    else:
        journal_state.active_restrictions.discard(restriction)


def check_restricted_files(
    root: Path, lfs_folder: Path, journal_state: JournalState, report: VerifyReport
) -> None:
    """Report restricted content that others than the owner can read (A059), and note each restriction.

    Content that a version also has at a path without a restriction may be readable.  In an archive that only the
    owner may enter, the mode of an object does not matter.  Missing objects are not reported here, but by
    :func:`archiver.verify.content_objects.check_content_objects`.

    Raises OSError if ``root`` is missing.
    """
    is_shared = os.stat(root).st_mode & _OPEN_TO_OTHERS != 0
    digests = {sha256 for _, _, sha256 in journal_state.active_restrictions}
    for sha256 in sorted(digests) if is_shared else ():
        if not _is_restricted_everywhere(sha256, journal_state):
            continue
        try:
            mode_bits = stat.S_IMODE(os.stat(lfs_folder / "objects" / sha256[:2] / sha256[2:4] / sha256).st_mode)
        except OSError:
            # The content was disposed of, or is reported as missing.
            continue
        if mode_bits & _OPEN_TO_OTHERS:
            report.add_finding("A059", sha256, LazyMessage("mode {mode}", mode=f"{mode_bits:04o}"))
    for filing_name, path, _ in sorted(journal_state.active_restrictions):
        report.add_note(
            f"{RefName(filing_name).for_people}:{path}",
            LazyMessage("restricted: only the archive owner can read it, and it is in no package or replica"),
        )


def _is_restricted_everywhere(sha256: str, journal_state: JournalState) -> bool:
    """Return True if the content is restricted at every path in every version that was not disposed of."""
    for span in journal_state.planned_content_spans.get(sha256, ()):
        restriction = (span.branch.removeprefix(_BRANCH_PREFIX).split("/", 1)[0], span.path, sha256)
        tags = span.version_tags(journal_state.newest_numbers[span.branch])
        if restriction not in journal_state.active_restrictions and any(
            tag not in journal_state.disposed_tags for tag in tags
        ):
            return False
    return True
