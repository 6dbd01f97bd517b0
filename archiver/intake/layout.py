"""Assign each path of the watched folder to a submission by the folders that the path leads through.  Pure."""

from __future__ import annotations

from typing import NamedTuple

from archiver.config.settings import LAYOUT_FILING, Config
from archiver.errors import ConfigError
from archiver.model import Submission
from archiver.naming.ref_names import COMMON, UNFILED, RefName
from archiver.store.names import ref_component


class Group(NamedTuple):
    """The paths captured together, as a version of a submission; named by the folders above the paths."""

    #: The name of the filing's folder; empty for files directly in the watched folder.
    filing_folder: bytes
    #: The name of the submission's folder; empty for files directly in the filing's folder.  None if submissions
    #: are numbered (layout ``{filing}``), because only the archive knows which number still receives materials.
    submission_folder: bytes | None

    @property
    def prefix(self) -> bytes:
        """Return the path of the group's folder, relative to the watched folder; empty for the watched folder."""
        folder_names = (self.filing_folder, self.submission_folder)
        return b"/".join(folder_name for folder_name in folder_names if folder_name)

    def submission(self, submission_number: int | None = None) -> Submission:
        """Return the group's submission.

        A group outside of any filing's folder belongs to the filing UNFILED, and a group directly in a filing's
        folder to the submission COMMON.  If submissions are numbered, ``submission_number`` names the submission;
        None means the first one.
        """
        filing = ref_component(self.filing_folder) if self.filing_folder else RefName(UNFILED)
        if self.submission_folder is None:
            return Submission(filing, RefName(f"{submission_number or 1:02d}"), self.filing_folder, b"")
        submission_name = ref_component(self.submission_folder) if self.submission_folder else RefName(COMMON)
        return Submission(filing, submission_name, self.filing_folder, self.submission_folder)


class MaterialLocation(NamedTuple):
    """The place of a path of the watched folder in the archive."""

    group: Group
    material_path: bytes  # relative to the group's folder; empty for the group's folder itself


def group_of_submission(submission: Submission) -> Group:
    """Return the group whose paths become the materials of ``submission``."""
    return Group(submission.filing_folder, submission.folder if submission.number is None else None)


def locate_path(path: bytes, layout: str, is_folder: bool = False) -> MaterialLocation:
    """Return the group of ``path``, and the path relative to the group's folder.

    ``path`` is relative to the watched folder, and ``layout`` is the setting ``watch.layout``.  ``is_folder`` is
    True for a folder, which may belong to another group than a file with the same path.

    Every path has a group, so that a file in an unexpected place is archived too: a file directly in a filing's
    folder belongs to the submission ``_common``, a file directly in the watched folder to the filing ``_unfiled``.
    """
    path_parts = path.split(b"/")
    if len(path_parts) == 1 and not is_folder:
        return MaterialLocation(Group(b"", b""), path)
    if layout == LAYOUT_FILING:
        return MaterialLocation(Group(path_parts[0], None), b"/".join(path_parts[1:]))
    if len(path_parts) == 2 and not is_folder:
        return MaterialLocation(Group(path_parts[0], b""), path_parts[1])
    submission_folder = path_parts[1] if len(path_parts) > 1 else b""
    return MaterialLocation(Group(path_parts[0], submission_folder), b"/".join(path_parts[2:]))


def check_layout(config: Config, archive_layout: str) -> None:
    """Raise ConfigError if the configured layout is not ``archive_layout``, with which the archive was created.

    Another layout would assign the same paths to other submissions.
    """
    if config.layout != archive_layout:
        raise ConfigError(
            "{config}: watch.layout is {given}, but this archive was created with {made}. Nothing was changed. "
            "Restore the setting, or create a new archive for the other layout.",
            config=config.source,
            given=config.layout,
            made=archive_layout,
        )
