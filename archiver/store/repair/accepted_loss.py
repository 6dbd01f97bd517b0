"""Going on after a loss: a person has seen what is missing, and the journal says so from then on."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiver.errors import LazyMessage
from archiver.model import Event
from archiver.store import sqlite
from archiver.store.events.actions import Action
from archiver.store.events.archive_events import LossAccepted
from archiver.store.git.repository import ANY, JOURNAL, ZERO, RefUpdate, Repository
from archiver.store.index.queries import Index
from archiver.store.repair import journal_repair, set_aside
from archiver.store.repair.journal_repair import WholeEvent
from archiver.store.repair.set_aside import LostRecord, LostVersion
from archiver.store.writer import Draft

if TYPE_CHECKING:
    from archiver.store.archive import Archive

#: Where refs go that the journal does not know: their objects stay, their names are free again.
_LOST_REFS = "refs/lost"


@dataclass(slots=True)
class Loss:
    """What the journal, from its last whole event on, does not have any more.

    ``newest_seq``: the newest event that any database knew; ``beyond``: refs to put away, ``restored``:
    refs to set again, each with its object id; ``empty``: those of ``beyond`` whose object is missing;
    ``databases``: how many were set aside; ``records``: what was recorded beside versions.
    """

    last: WholeEvent
    problem: LazyMessage | None
    newest_seq: int
    versions: list[LostVersion] = field(default_factory=list)
    beyond: dict[str, str] = field(default_factory=dict)
    restored: dict[str, str] = field(default_factory=dict)
    empty: set[str] = field(default_factory=set)
    databases: int = 0
    records: list[LostRecord] = field(default_factory=list)

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to accept."""
        return self.problem is None and not self.databases

    @property
    def lost_events(self) -> int:
        """How many events are known to be missing; more may be."""
        return max(0, self.newest_seq - self.last.seq)

    def kept_as(self, ref: str, seq: int) -> str | None:
        """The name under which a ref that the journal does not know is kept, for the event ``seq``.

        None where its object is missing: there is nothing to keep.
        """
        return None if ref in self.empty else f"{_LOST_REFS}/{seq}/{ref.removeprefix('refs/')}"


def lost_versions(archive: Archive) -> list[LostVersion]:
    """The versions that only databases set aside know, until the loss is accepted."""
    if not set_aside.databases(archive.root):
        return []
    known = {version.tag: version.commit for version in archive.index.versions()}
    return set_aside.lost_versions(archive.root, known)


def lost_records(archive: Archive) -> list[set_aside.LostRecord]:
    """The holds and submissions that only databases set aside know, until the loss is accepted."""
    if not set_aside.databases(archive.root):
        return []
    return set_aside.lost_records(archive.root, set(archive.index.records()))


def assess(archive: Archive) -> Loss:
    """Compare refs and databases with the longest whole journal; raises JournalDamaged where no event is whole."""
    repository = archive.repository
    problem = journal_repair.ref_problem(repository)
    last = archive.last_whole_event()
    if last is None:
        raise journal_repair.damaged(
            repository.path, problem or LazyMessage.define("it holds no event", code="journal.empty"), None
        )
    events = list(archive.journal.since(None, tip=last.commit))
    expected = journal_repair.expected_refs((event.commit, event.refs) for event in events)
    captured = {event.object: event.refs for event in events if event.action == Action.CAPTURE}
    differences = journal_repair.differences(journal_repair.readable_refs(repository), expected)
    index = archive.index
    point = index.point
    loss = Loss(last, problem, point.seq if point else 0, databases=len(set_aside.databases(archive.root)))
    loss.beyond, loss.restored = differences
    loss.empty = {ref for ref, oid in loss.beyond.items() if not _is_there(repository, oid)}
    loss.problem = problem or journal_repair.RefDifferences(tuple(loss.restored), tuple(loss.beyond)).problem
    if loss.problem is None and repository.resolve(JOURNAL) != last.commit:
        loss.problem = LazyMessage.define(
            "its ref {ref} does not name its newest event", code="journal.ref-behind"
        ).with_fields(ref=JOURNAL)
    known = {
        tag: oid for tag, refs in captured.items() for ref, oid in refs.items() if ref.startswith("refs/heads/")
    }
    lost = {each.tag: each for each in set_aside.lost_versions(archive.root, known)}
    for version in index.versions():
        if known.get(version.tag) != version.commit:
            lost[version.tag] = LostVersion(version.tag, version.captured_at)
    for ref in loss.beyond:
        if (tag := ref.removeprefix("refs/tags/")) != ref and tag.rpartition("/v")[2].isdigit():
            lost.setdefault(tag, LostVersion(tag))
    loss.versions = [lost[tag] for tag in sorted(lost)]
    with closing(Index.in_memory()) as whole:
        whole.apply(archive.journal.since_with_changes(None, last.commit))
        recorded = set(whole.records())
    beyond = {LostRecord(*each) for each in index.records() if each not in recorded}
    loss.records = sorted(beyond.union(set_aside.lost_records(archive.root, recorded)))
    loss.newest_seq = max([loss.newest_seq, *set_aside.newest_events(archive.root)])
    return loss


def accept(archive: Archive, wait_seconds: float) -> tuple[Loss, Event | None]:
    """Go on from the last whole event, and journal what was lost; returns None for the event where nothing was.

    Refs that the journal does not know are kept below ``refs/lost``: no object disappears.  Whatever is killed
    on the way leaves a state that is refused as before and can be accepted again.
    """
    with archive.repairing(wait_seconds) as writer:
        loss = assess(archive)
        if loss.is_nothing:
            archive.reindex()
            if any(event.action == Action.RECOVER for event in archive.journal.since(None)):
                # One before may have been killed after its event.
                _tidy(archive)
            return loss, None
        repository = archive.repository
        journal_repair.drop_broken_refs(archive.root, repository, [JOURNAL, *loss.restored])
        if repository.resolve(JOURNAL) != loss.last.commit:
            repository.move_refs([RefUpdate(JOURNAL, ANY, loss.last.commit)], guarded=False)
        path = archive.root / "index.db"
        if (point := sqlite.point_of(path)) is not None and not archive.has_event(point):
            # Only it may know what is lost, and until the event is written a kill must not cost that.
            set_aside.set_aside(archive.root, path.name)
        archive.reindex()
        seq = writer.next_seq
        kept = {ref: loss.kept_as(ref, seq) for ref in loss.beyond}
        moves = [RefUpdate(name, ZERO, loss.beyond[ref]) for ref, name in kept.items() if name is not None]
        moves += [RefUpdate(ref, oid, loss.restored.get(ref, ZERO)) for ref, oid in loss.beyond.items()]
        moves += [RefUpdate(ref, ZERO, oid) for ref, oid in loss.restored.items() if ref not in loss.beyond]
        event = writer.append(Draft("archive", _accepted(loss, seq)), recovered=moves)
        _tidy(archive)
        return loss, event


def _tidy(archive: Archive) -> None:
    """Remove what the event has made needless."""
    # Former values that are gone would be findings for ever: in packed refs, and in the reflog.
    set_aside.put_away(archive.root, archive.repository.path / "logs")
    archive.repository.pack_refs()
    set_aside.discard(archive.root)
    _drop_foreign_state(archive)


def _is_there(repository: Repository, oid: str) -> bool:
    try:
        repository.object(oid)
    except KeyError:
        return False
    return True


def _accepted(loss: Loss, seq: int) -> LossAccepted:
    return LossAccepted(
        last_event=loss.last.seq,
        problem=str(loss.problem) if loss.problem else None,
        lost_events=loss.lost_events,
        lost_versions=[{"tag": each.tag, "captured_at": each.captured_at or None} for each in loss.versions],
        lost_records=[{"action": each.action, "object": each.object, "at": each.at} for each in loss.records],
        lost_refs={ref: loss.kept_as(ref, seq) for ref in loss.beyond},
        restored_refs=sorted(loss.restored),
    )


def _drop_foreign_state(archive: Archive) -> None:
    """What the state of before knew is in the event now; the folder is read once in full."""
    path = archive.root / "state.db"
    point = sqlite.point_of(path)
    if point is not None and not archive.has_event(point):
        sqlite.remove(path)
