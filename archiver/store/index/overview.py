"""Query the index for facts about the whole archive.  All sizes are in bytes."""

from __future__ import annotations

from collections.abc import Iterator, Set
from typing import NamedTuple

from archiver.clock import WallClockMark
from archiver.model import Material, Submission
from archiver.naming.ref_names import RefName
from archiver.store.index.queries import Index
from archiver.store.index.submission_files import FileKey, list_submission_files
from archiver.store.index.version_rows import build_material, proven_time_sql


class ContentInterval(NamedTuple):
    """Consecutive versions of a submission that hold the same content at the same path."""

    submission: Submission
    sha256: str
    size: int
    first_version: int
    end_version: int | None  # the first version without the content; None if the newest version holds it


class ContentPath(NamedTuple):
    """A path of a material, with a content at this path in some version."""

    path: bytes  # relative to the folder of the submission
    sha256: str


class DoubtfulMaterial(NamedTuple):
    """A material that looked damaged at capture."""

    version_tag: RefName
    material: Material


class FolderMaterial(NamedTuple):
    """A material of a submission's newest version."""

    submission: Submission
    material: Material


class UnsubmittedChange(NamedTuple):
    """A submission with versions newer than the version submitted to the regulator."""

    submitted_tag: RefName  # the signed tag of the last submission
    newest_tag: RefName  # the tag of the newest version


class FirstCapture(NamedTuple):
    """The first file with a content."""

    version_tag: RefName
    path: bytes
    proven_time: str  # from which the content's retention runs (RFC 3339, UTC)


class Additions(NamedTuple):
    """What the versions after an event added to the archive."""

    material_count: int  # added and modified materials
    new_bytes: int  # the size of content that no earlier version has
    first_captured_at: str | None  # the time of the first of these captures (RFC 3339, UTC); None without any


def content_intervals(index: Index) -> Iterator[ContentInterval]:
    """Yield the intervals of versions that hold a content, in no particular order.

    Empty files are left out, because they have no content object.
    """
    interval_rows = index.query(
        "select s.filing, s.name, s.filing_folder, s.folder, m.sha256, m.size, m.first, m.until "
        "from materials m join submissions s on s.id = m.submission where m.sha256 is not null and m.size > 0"
    )
    for *submission_columns, sha256, size, first_version, end_version in interval_rows:
        yield ContentInterval(Submission(*submission_columns), sha256, size, first_version, end_version)


def content_paths(index: Index) -> Iterator[ContentPath]:
    """Yield each path once for each past or present content, in any submission. Empty files are left out."""
    for path, sha256 in index.query("select distinct path, sha256 from materials where size > 0"):
        yield ContentPath(path, sha256)


def doubtful_materials(index: Index) -> list[DoubtfulMaterial]:
    """Return the materials of newest versions that looked damaged at capture.

    The result is sorted by filing, submission and path.
    """
    material_rows = index.query(
        "select s.filing || '/' || s.name || '/v' || (select max(number) from versions v "
        "where v.submission = s.id), m.path, m.sha256, m.size, m.mtime_ns, m.health "
        "from materials m join submissions s on s.id = m.submission "
        "where m.until is null and m.health <> '' order by s.filing, s.name, m.path"
    )
    return [
        DoubtfulMaterial(RefName(version_tag), build_material(tuple(columns)))
        for version_tag, *columns in material_rows
    ]


def materials_in_folder(index: Index, folder: bytes) -> list[FolderMaterial]:
    """Return the files of newest versions that are in a folder named ``folder``, at any depth.

    ``folder`` is a single name, and may be that of a submission's own folder. The result is sorted by filing,
    submission and path.
    """
    # The small table of folder names saves a scan of all materials if no such folder exists.
    if not list(index.query("select 1 from folders where name = ?", (folder,))):
        return []
    material_rows = index.query(
        "select s.filing, s.name, s.filing_folder, s.folder, m.path, m.sha256, m.size, m.mtime_ns, m.health "
        "from materials m join submissions s on s.id = m.submission where m.until is null and m.sha256 "
        "is not null and (s.folder = ?1 or instr(x'2f' || m.path, x'2f' || ?1 || x'2f')) order by 1, 2, 5",
        (folder,),
    )
    return [FolderMaterial(Submission(*row[:4]), build_material(row[4:])) for row in material_rows]


def changed_since_submitted(index: Index) -> list[UnsubmittedChange]:
    """Return the submission folders with changes since the last version that was submitted to the regulator.

    Folders of which no version was submitted are left out. Receipts and notices that are about a submission do not
    count as changes. The result is sorted by filing and name.
    """
    file_keys = {file.key for file in list_submission_files(index)}
    newest_numbers = dict(index.query("select submission, max(number) from versions group by 1"))
    submitted_rows = index.query(
        "select s.id, s.filing || '/' || s.name, v.number, h.tag from submitted h "
        "join versions v on v.id = h.version join submissions s on s.id = v.submission "
        "order by s.filing, s.name, v.number, h.at"
    )
    # A submission may have several rows. The dictionary keeps the last: the newest version that was submitted.
    last_submitted = {
        submission_id: (submission_name, version_number, tag)
        for submission_id, submission_name, version_number, tag in submitted_rows
    }
    return [
        UnsubmittedChange(RefName(tag), RefName(f"{submission_name}/v{newest_numbers[submission_id]}"))
        for submission_id, (submission_name, version_number, tag) in last_submitted.items()
        if newest_numbers[submission_id] > version_number
        and (not file_keys or _has_other_changes(index, submission_id, version_number, file_keys))
    ]


def _has_other_changes(index: Index, submission_id: int, version_number: int, ignored_files: Set[FileKey]) -> bool:
    """Return True if the newest version differs from ``version_number`` in a file that is not ignored.

    The row of a material that was added, changed, renamed or deleted since then begins or ends after that version.
    """
    material_rows = index.query(
        "select path, sha256 from materials where submission = ?1 and (first > ?2 and until is null "
        "or first <= ?2 and until > ?2)",
        (submission_id, version_number),
    )
    return any((path, sha256) not in ignored_files for path, sha256 in material_rows)


def clock_marks_by_tag(index: Index) -> dict[str, WallClockMark]:
    """Return the marks of versions and submissions that were recorded while the wall clock was behind, by tag."""
    mark_rows = index.query(
        "select t.tag, m.behind_previous_event, m.behind_compliance_clock from clock_marks m "
        "join (select seq, tag from versions union all select seq, tag from submitted) t on t.seq = m.seq"
    )
    return {tag: WallClockMark(*sizes) for tag, *sizes in mark_rows}


def first_capture(index: Index, sha256: str) -> FirstCapture | None:
    """Return the first file with the content ``sha256``; None if no version has it."""
    capture_rows = index.query(
        f"select v.tag, m.path, {proven_time_sql('v')} from materials m join versions v "
        "on v.submission = m.submission and v.number = m.first where m.sha256 = ? order by v.seq, m.path limit 1",
        (sha256,),
    )
    return next((FirstCapture(RefName(tag), *columns) for tag, *columns in capture_rows), None)


def contents_submitted_since(index: Index, seq: int) -> dict[str, str]:
    """Return SHA-256 -> submission time for all content of versions submitted after the event number ``seq``.

    The time (RFC 3339, UTC) is that of the first of these submissions.  Empty files are left out.
    """
    submitted_rows = index.query(
        "select m.sha256, min(h.at) from submitted h join versions v on v.id = h.version "
        "join materials m on m.submission = v.submission and m.first <= v.number "
        "and (m.until is null or m.until > v.number) where h.seq > ? and m.size > 0 group by 1",
        (seq,),
    )
    return dict(submitted_rows)


def additions_since(index: Index, seq: int) -> Additions:
    """Return the total additions of all versions captured after the event number ``seq``."""
    total_rows = index.query(
        "select coalesce(sum(added + modified), 0), coalesce(sum(stored), 0), min(captured_at) "
        "from versions where seq > ?",
        (seq,),
    )
    ((material_count, new_bytes, first_captured_at),) = list(total_rows)
    return Additions(int(material_count), int(new_bytes), first_captured_at)
