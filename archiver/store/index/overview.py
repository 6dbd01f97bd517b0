"""Query the index for facts about the whole archive."""

from __future__ import annotations

from collections.abc import Iterator

from archiver.model import Material, Submission
from archiver.store.index.apply import material_of
from archiver.store.index.queries import Index


def content_intervals(index: Index) -> Iterator[tuple[Submission, str, int, int, int | None]]:
    """Yield the intervals of versions that hold a content: submission, SHA-256, size, first version, end.

    The end is the first version without the content again; None if the newest version holds the content.
    """
    interval_rows = index.query(
        "select s.filing, s.name, s.filing_folder, s.folder, m.sha256, m.size, m.first, m.until "
        "from materials m join submissions s on s.id = m.submission where m.sha256 is not null and m.size > 0"
    )
    for row in interval_rows:
        yield Submission(*row[:4]), row[4], row[5], row[6], row[7]


def content_paths(index: Index) -> Iterator[tuple[bytes, str]]:
    """Yield every pair of a path and a SHA-256 that the path ever had."""
    yield from (
        (row[0], row[1]) for row in index.query("select distinct path, sha256 from materials where size > 0")
    )


def doubtful_materials(index: Index) -> list[tuple[str, Material]]:
    """Return the tags and materials of newest versions that looked damaged at their capture."""
    rows = index.query(
        "select s.filing || '/' || s.name || '/v' || (select max(number) from versions v "
        "where v.submission = s.id), m.path, m.sha256, m.size, m.mtime_ns, m.health "
        "from materials m join submissions s on s.id = m.submission "
        "where m.until is null and m.health <> '' order by s.filing, s.name, m.path"
    )
    return [(row[0], material_of(row[1:])) for row in rows]


def materials_in_folder(index: Index, folder: bytes) -> list[tuple[Submission, Material]]:
    """Return the materials of newest versions below any folder named ``folder``, with their submissions."""
    if not list(index.query("select 1 from folders where name = ?", (folder,))):
        return []
    rows = index.query(
        "select s.filing, s.name, s.filing_folder, s.folder, m.path, m.sha256, m.size, m.mtime_ns, m.health "
        "from materials m join submissions s on s.id = m.submission where m.until is null and m.sha256 "
        "is not null and (s.folder = ?1 or instr(x'2f' || m.path, x'2f' || ?1 || x'2f')) order by 1, 2, 5",
        (folder,),
    )
    return [(Submission(*row[:4]), material_of(row[4:])) for row in rows]


def changed_since_submitted(index: Index) -> list[tuple[str, str]]:
    """Return pairs of the tag submitted last and the newest version, of submissions where the two differ."""
    newest_numbers = dict(index.query("select submission, max(number) from versions group by 1"))
    rows = index.query(
        "select s.id, s.filing || '/' || s.name, v.number, h.tag from submitted h "
        "join versions v on v.id = h.version join submissions s on s.id = v.submission "
        "order by s.filing, s.name, v.number, h.at"
    )
    # Of several rows of a submission, the dictionary keeps the last.
    last_submitted = {
        submission_row: (submission_name, version_number, tag)
        for submission_row, submission_name, version_number, tag in rows
    }
    return [
        (tag, f"{submission_name}/v{newest_numbers[submission_row]}")
        for submission_row, (submission_name, version_number, tag) in last_submitted.items()
        if newest_numbers[submission_row] > version_number
    ]


def additions_since(index: Index, seq: int) -> tuple[int, int, str | None]:
    """Return the additions of versions after event ``seq``: materials, bytes of new content, time of the first."""
    totals = index.query(
        "select coalesce(sum(added + modified), 0), coalesce(sum(stored), 0), min(captured_at) "
        "from versions where seq > ?",
        (seq,),
    )
    ((material_count, new_bytes, first_captured_at),) = list(totals)
    return int(material_count), int(new_bytes), first_captured_at
