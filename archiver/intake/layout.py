"""Assign each path of the watched folder to a submission, by the names of its folders.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from archiver.config.settings import LAYOUT_FILING, Config
from archiver.errors import ConfigError
from archiver.model import COMMON, UNFILED, Submission
from archiver.store.names import ref_component


@dataclass(frozen=True, slots=True)
class Group:
    """The paths that become one version together.

    ``submission_folder`` is None where submissions are numbered (layout ``{filing}``): then only the archive knows
    which one is open.
    """

    filing_folder: bytes
    submission_folder: bytes | None

    @property
    def prefix(self) -> bytes:
        """Return the path of the group's folder, relative to the watched folder; empty for the folder itself."""
        return b"/".join(part for part in (self.filing_folder, self.submission_folder) if part)

    def submission(self, number: int | None = None) -> Submission:
        """Return the group's submission; ``number`` counts only where submissions are numbered."""
        filing = ref_component(self.filing_folder) if self.filing_folder else UNFILED
        if self.submission_folder is None:
            return Submission(filing, f"{number or 1:02d}", self.filing_folder, b"")
        name = ref_component(self.submission_folder) if self.submission_folder else COMMON
        return Submission(filing, name, self.filing_folder, self.submission_folder)


def group_of(submission: Submission) -> Group:
    """Return the group that a submission's materials come from."""
    return Group(submission.filing_folder, submission.folder if submission.number is None else None)


def locate_path(path: bytes, layout: str, is_folder: bool = False) -> tuple[Group, bytes]:
    """Return the group of a path, and its path as a material; the latter is empty for the group's own folder.

    Every path has a group, so that a file in an unexpected place is archived too: a file directly in a filing's
    folder goes to ``_common``, one directly in the watched folder to ``_unfiled``.
    """
    parts = path.split(b"/")
    if len(parts) == 1 and not is_folder:
        return Group(b"", b""), path
    if layout == LAYOUT_FILING:
        return Group(parts[0], None), b"/".join(parts[1:])
    if len(parts) == 2 and not is_folder:
        return Group(parts[0], b""), parts[1]
    submission_folder = parts[1] if len(parts) > 1 else b""
    return Group(parts[0], submission_folder), b"/".join(parts[2:])


def check_layout(config: Config, archive_layout: str) -> None:
    """Refuse a layout other than ``archive_layout``, the one of the archive: its versions would be put elsewhere.

    Raises ConfigError.
    """
    if config.layout != archive_layout:
        raise ConfigError(
            "{config}: watch.layout is {given}, but this archive was made for {made}. Nothing was changed. "
            "Set it back, or make a new archive for the other layout.",
            config=config.source,
            given=config.layout,
            made=archive_layout,
        )
