"""The records in the life of a filing, and corrections of records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple


class FieldChange(NamedTuple):
    """A field of a record that a correction replaced."""

    #: As in the journal; ``fields.`` and a name for a field of the sheet.
    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Correction:
    """A correction of a record (更正), or its voiding (作废)."""

    seq: int
    at: str
    #: The user who recorded it.
    user: str
    #: The person who did it or for whom it was done. None: the user who recorded it.
    by: str | None
    reason: str
    is_void: bool
    #: Empty if the record is void.
    changes: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class LifeEvent:
    """An event in the life of a filing (备案进程): a submission, a notice, a decision, a check of the review."""

    seq: int
    at: str
    user: str
    action: str
    filing: str
    #: As the newest corrections say.
    details: dict[str, Any]
    #: Oldest first.
    corrections: tuple[Correction, ...] = ()

    @property
    def is_void(self) -> bool:
        """True if a correction says that the record never applied."""
        return any(correction.is_void for correction in self.corrections)
