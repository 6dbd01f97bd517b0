"""What the writer is given to write: drafts of events and of versions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, NamedTuple

from archiver.model import Change, Submission
from archiver.store.events.event_details import WritableDetails


class Totals(NamedTuple):
    """The size of a version and the numbers of changes, as shown by ``log``."""

    files: int
    bytes: int
    added: int
    modified: int
    deleted: int


class TagToSign(NamedTuple):
    """A tag that the archive's key signs."""

    name: str
    commit: str
    text: str  # below the tag's header


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is not in the journal yet.

    ``object`` names the filing, submission, version or part of the archive that the event is about.
    ``attachments`` are open files by their names; the caller closes them.
    """

    object: str
    details: WritableDetails
    attachments: Mapping[str, IO[bytes]] = field(default_factory=dict)
    #: A time that a timestamp authority vouches for: the compliance clock is set to it if it is behind.
    proven: datetime | None = None
    #: A tag to be signed and created with the event.
    tag: TagToSign | None = None


class VersionDraft(NamedTuple):
    """A version that is not in the archive yet."""

    submission: Submission
    number: int
    #: The commit of the version before, which may be of the same batch; None for the first version of a
    #: submission.
    parent: str | None
    changes: Sequence[Change]
    totals: Totals
    #: Everything that the version holds, if the tree of ``parent`` is not the state that ``changes`` start from;
    #: None if it is.
    whole: Sequence[Change] | None = None
