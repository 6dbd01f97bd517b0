"""The outcome of an attempt to capture a group, and of ``run --once``."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field

from archiver.errors import ArchiverError, LazyMessage, Reporter
from archiver.intake.path_reasons import FAILED, HELD_OPEN, PASSING_CODES, STILL_CHANGING
from archiver.intake.snapshot import SkippedPath
from archiver.model import JournalPoint


@dataclass(slots=True)
class CaptureResult:
    """The result of an attempt to capture a group: the new version, if any, and the paths to be tried again."""

    #: The tag of the new version; None if nothing differed from the newest version.
    tag: str | None = None
    #: The commit of the new version; empty without a new version.
    commit: str = ""
    #: The tag of the newest version before this attempt; empty if there was none.
    before: str = ""
    #: The number of changes in the new version; 0 without a new version.
    changes: int = 0
    #: Paths that need not be pending any longer: they are archived, equal to the newest version, or unreadable.
    done: list[bytes] = field(default_factory=list)
    #: Archived files that must be read again, because they changed just before they were read: a later change
    #: may have the same ctime as the archived one.
    fresh: list[bytes] = field(default_factory=list)
    #: True if the group is not captured because a folder of it was renamed or deleted while it was read.
    has_lost_folder: bool = False
    #: Files that changed or disappeared while they were read.
    unstable: list[bytes] = field(default_factory=list)
    #: Files that a process has open for writing.
    held: list[bytes] = field(default_factory=list)
    #: Files that cannot be read, with the reason.
    unreadable: list[SkippedPath] = field(default_factory=list)
    #: The newest event of the journal after the attempt; None if the journal is empty.
    point: JournalPoint | None = None

    @property
    def obstacles(self) -> dict[bytes, str]:
        """Path of each file that waits for another attempt -> the code of the reason.

        After a folder was lost, nothing waits: its files are pending under their new names.
        """
        if self.has_lost_folder:
            return {}
        return {
            **dict.fromkeys(self.unstable, STILL_CHANGING.code),
            **dict.fromkeys(self.held, HELD_OPEN.code),
            **{skipped.path: skipped.code for skipped in self.unreadable if skipped.code in PASSING_CODES},
        }


@dataclass(frozen=True, slots=True)
class Remainder:
    """The paths still not archived at the end of ``run --once``."""

    #: The pending paths with their reasons, and the time since which each is pending (RFC 3339).
    pending: list[tuple[SkippedPath, str]]
    unreadable: list[SkippedPath]  # files and folders that cannot be read, with the reasons
    refusal: ArchiverError | None  # the error because of which the archive refuses pending paths, if any

    @property
    def failures(self) -> int:
        """Return the number of paths that could not be archived; files still being written do not count."""
        return len(self.unreadable) + sum(item.code == FAILED.code for item, _ in self.pending)


def report_capture(result: CaptureResult, report: Reporter, known_refusals: Container[bytes] = ()) -> None:
    """Report the new version, if any, and each file that cannot be read, except for ``known_refusals``, paths."""
    if result.tag is not None:
        report(
            LazyMessage.define(
                "Captured {tag} ({changes} changes).",
                singular="Captured {tag} ({changes} change).",
                count_field="changes",
            ),
            tag=result.tag,
            changes=result.changes,
        )
    for skipped_path in result.unreadable:
        if skipped_path.path in known_refusals:
            continue
        report(
            "Not archived: {path}: {reason}. Trying again automatically.",
            problem="unreadable",
            path=skipped_path.path,
            reason=skipped_path.reason,
        )
