"""Which submission a path of the watched folder belongs to.  Pure."""

from __future__ import annotations

from dataclasses import dataclass

from archiver.config.settings import LAYOUT_FILING
from archiver.model import COMMON, UNFILED, Submission
from archiver.store.names import ref_component


@dataclass(frozen=True, slots=True)
class Group:
    """The paths that become one version together.

    ``folder`` is None where submissions are numbered (layout ``{filing}``) and
    the archive has to be asked which one is open.
    """

    filing_folder: bytes
    folder: bytes | None

    @property
    def prefix(self) -> bytes:
        """Where the group's materials lie, relative to the watched folder."""
        return b"/".join(part for part in (self.filing_folder, self.folder) if part)

    def submission(self, number: int | None = None) -> Submission:
        """The submission of this group; ``number`` for a numbered one."""
        filing = ref_component(self.filing_folder) if self.filing_folder else UNFILED
        if self.folder is None:
            return Submission(filing, f"{number or 1:02d}", self.filing_folder, b"")
        name = ref_component(self.folder) if self.folder else COMMON
        return Submission(filing, name, self.filing_folder, self.folder)


def group_of(submission: Submission) -> Group:
    """The group whose paths a submission's materials come from."""
    return Group(submission.filing_folder, submission.folder if submission.number is None else None)


def locate(path: bytes, layout: str, is_folder: bool = False) -> tuple[Group, bytes]:
    """A path's group and its path as a material; the latter is empty for the group's own folder.

    Nothing is left out for lying in the wrong place: what lies directly in a
    filing's folder is ``_common``, directly in the watched folder ``_unfiled``.
    """
    parts = path.split(b"/")
    if len(parts) == 1 and not is_folder:
        return Group(b"", b""), path
    if layout == LAYOUT_FILING:
        return Group(parts[0], None), b"/".join(parts[1:])
    if len(parts) == 2 and not is_folder:
        return Group(parts[0], b""), parts[1]
    folder = parts[1] if len(parts) > 1 else b""
    return Group(parts[0], folder), b"/".join(parts[2:])
