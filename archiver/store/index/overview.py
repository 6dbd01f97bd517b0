"""Query the index for what concerns the whole archive."""

from __future__ import annotations

from collections.abc import Iterator

from archiver.model import Material, Submission
from archiver.store.index.apply import material_of
from archiver.store.index.queries import Index


def content_intervals(index: Index) -> Iterator[tuple[Submission, str, int, int, int | None]]:
    """Yield for each content: submission, SHA-256, size, the first version with it, the first one without it."""
    rows = index.query(
        "select s.filing, s.name, s.filing_folder, s.folder, m.sha256, m.size, m.first, m.until "
        "from materials m join submissions s on s.id = m.submission where m.sha256 is not null and m.size > 0"
    )
    for row in rows:
        yield Submission(*row[:4]), row[4], row[5], row[6], row[7]


def contents(index: Index) -> Iterator[tuple[bytes, str]]:
    """Yield every path that ever had content, with the SHA-256."""
    yield from (
        (row[0], row[1]) for row in index.query("select distinct path, sha256 from materials where size > 0")
    )


def doubtful(index: Index) -> list[tuple[str, Material]]:
    """Return the tags and materials of newest versions that looked damaged when they were captured."""
    rows = index.query(
        "select s.filing || '/' || s.name || '/v' || (select max(number) from versions v "
        "where v.submission = s.id), m.path, m.sha256, m.size, m.mtime_ns, m.health "
        "from materials m join submissions s on s.id = m.submission "
        "where m.until is null and m.health <> '' order by s.filing, s.name, m.path"
    )
    return [(row[0], material_of(row[1:])) for row in rows]


def lying_in(index: Index, folder: bytes) -> list[tuple[Submission, Material]]:
    """Return the materials of newest versions below any folder with that name."""
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
    # Of rows with one submission, the last one stays.
    last_submitted = {submission: (name, number, tag) for submission, name, number, tag in rows}
    return [
        (tag, f"{name}/v{newest_numbers[submission]}")
        for submission, (name, number, tag) in last_submitted.items()
        if newest_numbers[submission] > number
    ]


def behind(index: Index, seq: int) -> tuple[int, int, str | None]:
    """Return what versions after event ``seq`` added: materials, bytes of new content, time of the first one."""
    rows = index.query(
        "select coalesce(sum(added + modified), 0), coalesce(sum(stored), 0), min(captured_at) "
        "from versions where seq > ?",
        (seq,),
    )
    ((material_count, new_bytes, first_captured_at),) = list(rows)
    return int(material_count), int(new_bytes), first_captured_at
