"""Continue an archive after a person has accepted a loss of history, and journal everything that was lost.

The archive continues from its last *whole* event, which can be read together with all earlier events.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archiver.errors import LazyMessage
from archiver.model import Event
from archiver.naming.ref_names import RefName
from archiver.store import keys, sqlite
from archiver.store.events.event_kinds import Action
from archiver.store.git.ref_transaction import ANY, ZERO, RefUpdate
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.index import index_files
from archiver.store.index.queries import Index
from archiver.store.repair import journal_repair, set_aside
from archiver.store.repair.journal_repair import WholeEvent
from archiver.store.repair.set_aside import LostRecord, LostVersion
from archiver.store.writing.drafts import Draft

if TYPE_CHECKING:
    from archiver.store.archive import Archive
    from archiver.store.events.archive_events import LossAccepted

#: Refs that are unknown to the journal are moved below this prefix, so that git keeps their objects, and new
#: versions can use their names.
_LOST_REFS = "refs/lost"


@dataclass(slots=True)
class Loss:
    """The history that refs and databases prove, and that the journal up to its last whole event lacks."""

    #: The event from which the archive continues.
    last_event: WholeEvent
    #: The reason why the archive refuses writing; None if only databases were set aside.
    problem: LazyMessage | None
    #: Number of the newest event in any database; 0 if no database has an event.
    newest_seq: int
    #: The versions that the journal lacks, sorted by tag.
    versions: list[LostVersion] = field(default_factory=list)
    #: Refs that are unknown to the journal, and going to be renamed -> present object id.
    unknown_refs: dict[str, str] = field(default_factory=dict)
    #: Refs that are going to be set again -> object id according to the journal.
    refs_to_restore: dict[str, str] = field(default_factory=dict)
    #: Unknown refs whose object is missing or damaged.
    dangling_refs: set[str] = field(default_factory=set)
    #: Number of databases that were set aside.
    database_count: int = 0
    #: Holds, submissions to the regulator and other records besides versions.
    records: list[LostRecord] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Return True if nothing was lost, so that there is nothing to accept."""
        return self.problem is None and not self.database_count

    @property
    def lost_events(self) -> int:
        """Return the number of events known to be missing; more may be missing that no database knows."""
        return max(0, self.newest_seq - self.last_event.seq)

    def name_for_kept_ref(self, ref: str, seq: int) -> str | None:
        """Return the name to which an unknown ref is renamed.

        ``seq`` is the number of the event that accepts the loss. Returns None if the ref's object is missing, so
        that nothing can be kept.
        """
        return None if ref in self.dangling_refs else f"{_LOST_REFS}/{seq}/{ref.removeprefix('refs/')}"


def lost_versions(archive: Archive) -> list[LostVersion]:
    """Return the versions that only the databases set aside have, sorted by tag.

    Returns none after the loss was accepted, because that deletes these databases.
    """
    if not set_aside.databases(archive.root):
        return []
    commits_by_tag = {version.tag: version.commit for version in archive.index.versions()}
    return set_aside.lost_versions(archive.root, archive.index.archive_id, commits_by_tag)


def lost_records(archive: Archive) -> list[set_aside.LostRecord]:
    """Return the holds, submissions and other records that only the databases set aside have, sorted.

    Returns none after the loss was accepted, because that deletes these databases.
    """
    if not set_aside.databases(archive.root):
        return []
    return set_aside.lost_records(archive.root, archive.index.archive_id, set(archive.index.comparable_records()))


def assess(archive: Archive) -> Loss:
    """Return the history that refs and databases prove, and that the journal up to its last whole event lacks.

    Changes nothing.  Raises JournalDamaged if no event is whole, so that the archive cannot continue, StorageError
    if git fails.
    """
    repository = archive.repository
    problem = journal_repair.ref_problem(repository)
    last_event = (_find_last_continuing_event(archive) if problem is None else None) or archive.last_whole_event()
    if last_event is None:
        raise journal_repair.damage_error(
            repository.path, problem or LazyMessage.define("it contains no event", code="journal.empty"), None
        )
    events = list(archive.journal.events_since(None, tip=last_event.commit))
    archive_id = events[0].sha256
    expected = journal_repair.expected_refs((event.commit, event.refs) for event in events)
    refs_by_tag = {event.object: event.refs for event in events if event.action == Action.CAPTURE}
    ref_repair = journal_repair.plan_ref_repair(journal_repair.readable_refs(repository), expected)
    index_point = archive.index.journal_point
    loss = Loss(
        last_event,
        problem,
        index_point.seq if index_point else 0,
        database_count=len(set_aside.databases(archive.root)),
    )
    loss.unknown_refs, loss.refs_to_restore = ref_repair
    loss.dangling_refs = {ref for ref, oid in loss.unknown_refs.items() if not _object_exists(repository, oid)}
    loss.problem = (
        problem or journal_repair.RefDifferences(tuple(loss.refs_to_restore), tuple(loss.unknown_refs)).problem
    )
    if loss.problem is None and repository.resolve(JOURNAL) != last_event.commit:
        loss.problem = LazyMessage.define(
            "the ref {ref} does not point to the newest event", code="journal.ref-behind"
        ).with_fields(ref=JOURNAL)
    commits_by_tag = {
        tag: oid for tag, refs in refs_by_tag.items() for ref, oid in refs.items() if ref.startswith("refs/heads/")
    }
    loss.versions = _find_lost_versions(archive, archive_id, commits_by_tag, loss.unknown_refs)
    loss.records = _find_lost_records(archive, archive_id, last_event)
    loss.newest_seq = max([loss.newest_seq, *set_aside.newest_events(archive.root, archive_id)])
    return loss


def _find_lost_versions(
    archive: Archive, archive_id: str, commits_by_tag: Mapping[RefName, str], unknown_refs: Iterable[str]
) -> list[LostVersion]:
    """Return the versions that databases or ``unknown_refs`` have and the journal lacks, sorted by tag.

    ``commits_by_tag`` has the commit of each version in the journal.
    """
    lost_by_tag = {lost.tag: lost for lost in set_aside.lost_versions(archive.root, archive_id, commits_by_tag)}
    for version in archive.index.versions():
        if commits_by_tag.get(version.tag) != version.commit:
            lost_by_tag[version.tag] = LostVersion(version.tag, version.captured_at)
    for ref in unknown_refs:
        # Only tags of versions end in /v and a number.
        if (tag := ref.removeprefix("refs/tags/")) != ref and tag.rpartition("/v")[2].isdigit():
            lost_by_tag.setdefault(RefName(tag), LostVersion(RefName(tag)))
    return [lost_by_tag[tag] for tag in sorted(lost_by_tag)]


def _find_lost_records(archive: Archive, archive_id: str, last_event: WholeEvent) -> list[LostRecord]:
    """Return the records that databases have and the journal up to ``last_event`` lacks, sorted."""
    with closing(Index.in_memory()) as journal_index:
        journal_index.apply_events(archive.journal.events_with_changes_since(None, last_event.commit))
        journal_records = set(journal_index.comparable_records())
    indexed_records = archive.index.comparable_records()
    lost = {
        LostRecord(action, RefName(record_object), at)
        for action, record_object, at in indexed_records
        if (action, record_object, at) not in journal_records
    }
    return sorted(lost.union(set_aside.lost_records(archive.root, archive_id, journal_records)))


def _find_last_continuing_event(archive: Archive) -> WholeEvent | None:
    """Return the newest whole event that is the end of the present journal, or continues from it.

    Returns None if refs contradict the journal, or if an event of the journal is damaged.  Otherwise, the archive
    may have captured versions after the loss.  A longer history, which a database set aside or a packed ref names,
    must not replace these acknowledged versions.
    """
    repository = archive.repository
    tip = repository.resolve(JOURNAL)
    last_event = archive.last_whole_event(after=tip)
    if tip is None or last_event is None:
        # There is no journal, or one of its events is damaged.
        return None
    # The writer compares refs with index.db, which may be older than the present journal.
    with closing(index_files.build_index_in_memory(archive.journal, tip)) as index:
        problem = journal_repair.compare_refs(repository.refs(), index).problem
    return last_event if problem is None else None


def accept(archive: Archive, wait_seconds: float) -> tuple[Loss, Event | None]:
    """Continue the archive from its last whole event, and journal the loss.

    Returns the loss, and the event that lists it; the event is None if nothing was lost, or if the newest event
    about a loss already lists exactly this one.  Unknown refs are kept below ``refs/lost``, so that no object
    disappears.  If the process crashes halfway, the archive still refuses writing, and the loss can be accepted
    again.

    Raises Busy if another process holds the lock after ``wait_seconds``, JournalDamaged if no event is whole,
    StorageError if git fails.
    """
    with archive.writing_for_repair(wait_seconds) as writer:
        loss = assess(archive)
        whole_events = archive.journal.events_since(None, tip=loss.last_event.commit)
        acceptances = [event for event in whole_events if event.action == Action.RECOVER]
        if loss.is_empty or (acceptances and _lists_loss(acceptances[-1], loss)):
            archive.reindex()
            if acceptances:
                # An earlier run may have been killed between writing its event and cleaning up.
                _clean_up(archive)
            return loss, None
        repository = archive.repository
        journal_repair.drop_broken_refs(archive.root, repository, [JOURNAL, *loss.refs_to_restore])
        if repository.resolve(JOURNAL) != loss.last_event.commit:
            repository.move_refs([RefUpdate(JOURNAL, ANY, loss.last_event.commit)], guarded=False)
        index_path = archive.root / "index.db"
        if (point := sqlite.read_journal_point_of_file(index_path)) is not None and not archive.journal.has_event(
            point
        ):
            # This index may be the only proof of the loss. If this process is killed before it writes the event,
            # the next process needs the index.
            set_aside.set_aside(archive.root, index_path.name)
        archive.reindex()
        seq = writer.next_seq
        # Imported here: status uses this module to read lost records, and must not load the code that writes.
        from archiver.store.writing.upgrade import draft_upgrade

        accepted = Draft("archive", _build_details(loss, seq))
        event = writer.write_batch([accepted, *draft_upgrade(archive)], recovered=_build_ref_updates(loss, seq))[0]
        keys.write_signers(archive.keys_folder, archive.journalled_signers())
        _clean_up(archive)
        return loss, event


def _build_ref_updates(loss: Loss, seq: int) -> list[RefUpdate]:
    """Return the updates that rename the unknown refs and set the refs of the journal again.

    ``seq`` is the number of the event that accepts the loss.
    """
    kept_names = {ref: loss.name_for_kept_ref(ref, seq) for ref in loss.unknown_refs}
    ref_updates = [
        RefUpdate(kept_name, ZERO, loss.unknown_refs[ref])
        for ref, kept_name in kept_names.items()
        if kept_name is not None
    ]
    ref_updates += [
        RefUpdate(ref, oid, loss.refs_to_restore.get(ref, ZERO)) for ref, oid in loss.unknown_refs.items()
    ]
    ref_updates += [
        RefUpdate(ref, ZERO, oid) for ref, oid in loss.refs_to_restore.items() if ref not in loss.unknown_refs
    ]
    return ref_updates


def _clean_up(archive: Archive) -> None:
    """Remove the evidence of a loss that an event of the journal lists: databases, and former values of refs.

    Raises StorageError or OSError; the next call of :func:`accept` completes the work.
    """
    # Former values in the reflog and in packed refs name missing objects, which verify would report for ever.
    set_aside.put_away(archive.root, archive.repository.path / "logs")
    archive.repository.pack_refs()
    set_aside.discard(archive.root)
    _drop_foreign_state(archive)


def _lists_loss(acceptance: Event, loss: Loss) -> bool:
    """Return True if the event ``acceptance`` lists exactly this loss; a second event would report a second loss.

    Returns False if the loss names no version and no record, because two such losses cannot be told apart.
    """
    # Imported here: status imports this module, and needs no class of an event.
    from archiver.store.events.archive_events import LossAccepted

    if loss.problem is not None or not (loss.versions or loss.records):
        return False
    accepted = LossAccepted.from_details(acceptance.details)
    present = LossAccepted.from_details(_build_details(loss, acceptance.seq).to_details())
    return (accepted.lost_versions, accepted.lost_records) == (present.lost_versions, present.lost_records)


def _object_exists(repository: Repository, oid: str) -> bool:
    """Return True if git can read the object with the id ``oid``."""
    try:
        repository.object(oid)
    except KeyError:
        # An object that is missing or damaged cannot be kept.
        return False
    return True


def _build_details(loss: Loss, seq: int) -> LossAccepted:
    """Return the details of the event that accepts ``loss``; ``seq`` is the number of that event."""
    from archiver.store.events.archive_events import LossAccepted

    return LossAccepted(
        last_event=loss.last_event.seq,
        problem=str(loss.problem) if loss.problem else None,
        lost_events=loss.lost_events,
        lost_versions=[
            {"tag": version.tag, "captured_at": version.captured_at or None} for version in loss.versions
        ],
        lost_records=[
            {"action": record.action, "object": record.object, "at": record.at} for record in loss.records
        ],
        lost_refs={ref: loss.name_for_kept_ref(ref, seq) for ref in loss.unknown_refs},
        restored_refs=sorted(loss.refs_to_restore),
    )


def _drop_foreign_state(archive: Archive) -> None:
    """Delete ``state.db`` if its newest event is not in the journal.

    Without the file, the next capture reads the whole watched folder.
    """
    state_path = archive.root / "state.db"
    point = sqlite.read_journal_point_of_file(state_path)
    if point is not None and not archive.journal.has_event(point):
        sqlite.delete_database(state_path)
