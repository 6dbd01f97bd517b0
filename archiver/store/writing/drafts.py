"""Define the drafts of events and of versions, which the writer writes to the archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, NamedTuple

from archiver.model import Change, Submission
from archiver.store.events.event_details import WritableDetails


class Totals(NamedTuple):
    """The size of a version, and the number of changes of each kind, as ``archiver log`` shows them."""

    files: int
    bytes: int
    added: int
    modified: int
    deleted: int


class TagToSign(NamedTuple):
    """A git tag that the archive's key signs."""

    name: str
    commit: str
    text: str  # the tag's message


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is not in the journal yet.

    ``object`` names the filing, submission, version or part of the archive that the event is about.
    ``attachments`` has open files by their names; the caller closes the files.
    """

    object: str
    details: WritableDetails
    attachments: Mapping[str, IO[bytes]] = field(default_factory=dict)
    #: A time that a timestamp authority vouches for: a compliance clock that is behind is set to this time.
    proven: datetime | None = None
    #: A tag that is signed and created with the event.
    tag: TagToSign | None = None


class VersionDraft(NamedTuple):
    """A version that is not in the archive yet."""

    submission: Submission
    number: int
    #: The commit of the previous version, which may be in the same batch; None for the first version of a
    #: submission.
    parent: str | None
    changes: Sequence[Change]
    totals: Totals
    #: All materials of the version as additions.  Needed if ``changes`` do not start from the tree of ``parent``;
    #: otherwise None.
    whole: Sequence[Change] | None = None
