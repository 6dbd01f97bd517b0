"""Query the index for restricted files: files that were captured by mistake.

A *restriction* covers one content at one path, in all versions of a filing.  The same content at another path, or
in another filing, is another *place*, which the restriction does not cover.  So the content itself counts as
restricted only while restrictions cover all places that hold the content.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from archiver.model import Material, Version
from archiver.naming.ref_names import RefName
from archiver.store.index.index_connection import IndexConnection
from archiver.store.names import name_as_text

#: The columns of the table ``restrictions``, in the order of the fields of :class:`Restriction`.
_RESTRICTION_COLUMNS = 'seq, filing, path, sha256, reason, "by", user, at, lifted, lift_reason'
#: An SQL expression: the version ``v`` has the material ``m`` of the submission ``s``, and was not disposed of.
_HOLDS_MATERIAL = """
v.submission = m.submission and v.number >= m.first and (m.until is null or v.number < m.until)
and v.tag not in (select version from disposed)
"""
#: An SQL expression: a restriction in force covers the material ``m`` of the submission ``s``.
_IS_COVERED = """
exists (select 1 from restrictions r where r.lifted is null and r.filing = s.filing and r.path = m.path
    and r.sha256 = m.sha256)
"""
#: Selects the places of a content: filing, name of the submission, path, first and last version, and 1 if a
#: restriction covers the place.
_SELECT_PLACES = f"""
select s.filing, s.name, m.path, min(v.number), max(v.number), {_IS_COVERED}
from materials m join submissions s on s.id = m.submission join versions v on {_HOLDS_MATERIAL}
where m.sha256 = ? group by m.rowid order by 1, 2, 3, 4
"""
#: A condition on the restriction ``c``: it is in force, and restrictions in force cover all places of its content.
_RESTRICTS_CONTENT = f"""
c.lifted is null and not exists (
    select 1 from materials m join submissions s on s.id = m.submission
    where m.sha256 = c.sha256 and not {_IS_COVERED} and exists (select 1 from versions v where {_HOLDS_MATERIAL}))
"""


class FilePlace(NamedTuple):
    """A content at a path of a filing, which one restriction can cover."""

    filing: RefName
    path: bytes  # relative to the folder of the submission
    sha256: str


class Restriction(NamedTuple):
    """A restriction, in force or lifted.  Times are RFC 3339 in UTC, by the wall clock."""

    seq: int  # the number of the event
    filing: RefName
    path: bytes
    sha256: str
    reason: str
    by: str | None  # the person for whom it was done, if not the user
    user: str
    restricted_at: str
    lifted_at: str | None  # None while it is in force
    lift_reason: str | None

    @property
    def place(self) -> FilePlace:
        """The filing, path and content that the restriction covers."""
        return FilePlace(self.filing, self.path, self.sha256)

    def as_json(self) -> dict[str, Any]:
        """Return the restriction as an object of ``--json``, whose keys must never change."""
        return {
            "seq": self.seq,
            "filing": self.filing,
            "path": name_as_text(self.path),
            "sha256": self.sha256,
            "reason": self.reason,
            "by": self.by,
            "user": self.user,
            "at": self.restricted_at,
        }


class ContentPlace(NamedTuple):
    """Consecutive versions of a submission that hold a content at the same path.

    The first and the last version were not disposed of; versions in between may have been.
    """

    filing: RefName
    submission_name: str  # without the filing
    path: bytes
    first_version: int
    last_version: int
    is_restricted: int  # 1 if a restriction in force covers the place, otherwise 0

    @property
    def tags(self) -> list[RefName]:
        """The tags of these versions, oldest first."""
        prefix = f"{self.filing}/{self.submission_name}/v"
        return [RefName(f"{prefix}{number}") for number in range(self.first_version, self.last_version + 1)]


class RecordedExport(NamedTuple):
    """An inspection package that was exported, as the journal records it."""

    seq: int
    at: str
    target: str
    recipient: str | None


def place_of_material(version: Version, material: Material) -> FilePlace:
    """Return the place that a restriction of ``material``, a material of ``version``, would cover.

    The place of an empty folder has an empty digest, so that no restriction covers it.
    """
    return FilePlace(version.submission.filing, material.path, material.sha256 or "")


def list_restrictions(index: IndexConnection, *, include_lifted: bool = False) -> list[Restriction]:
    """Return the restrictions in force, oldest first; with ``include_lifted``, the lifted ones as well."""
    condition = "1" if include_lifted else "lifted is null"
    query = f"select {_RESTRICTION_COLUMNS} from restrictions where {condition} order by seq"
    return [Restriction(seq, RefName(filing), *columns) for seq, filing, *columns in index.query(query)]


def restrictions_by_place(index: IndexConnection) -> dict[FilePlace, Restriction]:
    """Return the restrictions in force by filing, path and digest."""
    return {restriction.place: restriction for restriction in list_restrictions(index)}


def restricted_content(index: IndexConnection) -> frozenset[str]:
    """Return the SHA-256 of each content whose places are all covered by restrictions in force."""
    return frozenset(place.sha256 for place in places_of_restricted_content(index))


def places_of_restricted_content(index: IndexConnection) -> list[FilePlace]:
    """Return the places covered by restrictions in force, if no place of the same content is uncovered."""
    query = f"select filing, path, sha256 from restrictions c where {_RESTRICTS_CONTENT} order by seq"
    return [FilePlace(RefName(filing), path, sha256) for filing, path, sha256 in index.query(query)]


def places_of_content(index: IndexConnection, sha256: str) -> list[ContentPlace]:
    """Return the places that hold the content ``sha256``, sorted by filing, submission, path and version."""
    return [ContentPlace(RefName(filing), *columns) for filing, *columns in index.query(_SELECT_PLACES, (sha256,))]


def restricted_files(index: IndexConnection) -> dict[str, list[Restriction]]:
    """Return the restrictions in force that cover files of a version, by the version's tag."""
    restrictions_by_tag: dict[str, list[Restriction]] = {}
    for restriction in list_restrictions(index):
        for place in places_of_content(index, restriction.sha256):
            if (place.filing, place.path) == (restriction.filing, restriction.path):
                for tag in place.tags:
                    restrictions_by_tag.setdefault(tag, []).append(restriction)
    return restrictions_by_tag


def exports_of_filing(index: IndexConnection, filing_name: str, since: str) -> list[RecordedExport]:
    """Return the packages exported at ``since`` (RFC 3339, UTC) or later that may hold files of a filing.

    A recorded export without any filing is of all filings.
    """
    export_rows = index.query(
        "select seq, at, target, recipient, filings from exports where at >= ? order by seq", (since,)
    )
    return [
        RecordedExport(*columns)
        for *columns, filings_json in export_rows
        if filing_name in (json.loads(filings_json) or (filing_name,))
    ]


def tags_with_other_content(index: IndexConnection, filing_name: str, path: bytes, sha256: str) -> list[RefName]:
    """Return the tags of the versions of a filing that have other content at ``path``, in the order of capture.

    A restriction of the content ``sha256`` does not cover that other content.  Versions whose other content is
    covered by another restriction are left out, and so are empty files.
    """
    tag_rows = index.query(
        f"select distinct v.tag, v.seq from materials m join submissions s on s.id = m.submission "
        f"join versions v on {_HOLDS_MATERIAL} where s.filing = ? and m.path = ? and m.sha256 <> ? and m.size > 0 "
        f"and not {_IS_COVERED} order by v.seq",
        (filing_name, path, sha256),
    )
    return [RefName(tag) for tag, _ in tag_rows]
