"""Restricted files and correctable records, as the events so far say."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A content at a path of a filing's submissions: what a restriction covers."""

    filing: str
    path: str
    #: In hexadecimal.
    digest: str


class ReferenceRestriction(NamedTuple):
    """A restriction in force."""

    seq: int
    reason: str


class ReferenceCorrection(NamedTuple):
    """A correction of a record."""

    seq: int
    at: str
    reason: str
    by: str | None
    is_void: bool
    #: Empty if the record is void.
    new_values: dict[str, Any]


@dataclass
class ReferenceRecord:
    """A record of a filing that can be corrected."""

    seq: int
    at: str
    action: str
    filing: str
    #: As they were recorded first.
    details: dict[str, Any]
    #: Oldest first.
    corrections: list[ReferenceCorrection] = field(default_factory=list)

    @property
    def is_void(self) -> bool:
        return any(correction.is_void for correction in self.corrections)

    @property
    def corrected_details(self) -> dict[str, Any]:
        """The details with the newest value of each member."""
        details = dict(self.details)
        for correction in self.corrections:
            for name, value in correction.new_values.items():
                sheet, _, field_name = name.partition(".")
                details[sheet] = {**details[sheet], field_name: value} if field_name else value
        return details
