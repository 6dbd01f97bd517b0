"""Questions about everything in the archive at once, answered by the index."""

from __future__ import annotations

from collections.abc import Iterator

from archiver.model import Material, Submission
from archiver.store.index.apply import material_of
from archiver.store.index.queries import Index


def content_intervals(index: Index) -> Iterator[tuple[Submission, str, int, int, int | None]]:
    """What every version holds: submission, SHA-256, size, from version, up to but without version."""
    rows = index.query(
        "select s.filing, s.name, s.filing_folder, s.folder, m.sha256, m.size, m.first, m.until "
        "from materials m join submissions s on s.id = m.submission where m.sha256 is not null and m.size > 0"
    )
    for row in rows:
        yield Submission(*row[:4]), row[4], row[5], row[6], row[7]


def contents(index: Index) -> Iterator[tuple[bytes, str]]:
    """Every path that ever held a content, with its SHA-256."""
    yield from (
        (row[0], row[1]) for row in index.query("select distinct path, sha256 from materials where size > 0")
    )


def doubtful(index: Index) -> list[tuple[str, Material]]:
    """Materials of the newest versions that did not look whole when they were captured, with the tags."""
    rows = index.query(
        "select s.filing || '/' || s.name || '/v' || (select max(number) from versions v "
        "where v.submission = s.id), m.path, m.sha256, m.size, m.mtime_ns, m.health "
        "from materials m join submissions s on s.id = m.submission "
        "where m.until is null and m.health <> '' order by s.filing, s.name, m.path"
    )
    return [(row[0], material_of(row[1:])) for row in rows]


def lying_in(index: Index, folder: bytes) -> list[tuple[Submission, Material]]:
    """The present materials below a folder of that name, wherever it lies."""
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
    """Where the newest version is not the one that was handed in last: that one's tag, and the newest's."""
    numbers = index.query("select submission, max(number) from versions group by 1")
    newest = {row[0]: row[1] for row in numbers}
    rows = index.query(
        "select s.id, s.filing || '/' || s.name, v.number, h.tag from submitted h "
        "join versions v on v.id = h.version join submissions s on s.id = v.submission "
        "order by s.filing, s.name, v.number, h.at"
    )
    last = {identity: (name, number, tag) for identity, name, number, tag in rows}
    return [
        (tag, f"{name}/v{newest[identity]}")
        for identity, (name, number, tag) in last.items()
        if newest[identity] > number
    ]


def behind(index: Index, seq: int) -> tuple[int, int, str | None]:
    """What versions after the event ``seq`` brought in: materials, bytes of new content, time of the first."""
    rows = index.query(
        "select coalesce(sum(added + modified), 0), coalesce(sum(stored), 0), min(captured_at) "
        "from versions where seq > ?",
        (seq,),
    )
    ((materials, size, first),) = list(rows)
    return int(materials), int(size), first
