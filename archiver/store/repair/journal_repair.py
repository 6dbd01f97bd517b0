"""Detect refs that contradict the journal, and find the event from which the archive can continue.

Everything else in an archive is derived from the journal.  If the journal's ref is missing or unreadable, or other
refs contradict the journal, nothing is written and no derived file is deleted, until a person has seen the loss
and accepted it with ``archiver reindex --accept``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from archiver.errors import JournalDamaged, LazyMessage
from archiver.model import JournalPoint
from archiver.naming.ref_names import CHECKPOINTS
from archiver.path_existence import is_folder, is_there
from archiver.store.event_decoding import GENESIS_DIGEST
from archiver.store.events.event_files import read_moved_refs
from archiver.store.git import packed_refs
from archiver.store.git.repository import JOURNAL, Repository
from archiver.store.index.queries import Index
from archiver.store.journal import Journal
from archiver.store.repair import set_aside

#: The forms of the tags that this program creates.  A tag of another form was created by hand.  ``verify`` reports
#: such a tag, but it must not stop the archive.
_VERSION_TAG = re.compile(r"refs/tags/[^/]+/[^/]+/(v\d+|submitted(-\d+)?)")
_CHECKPOINT_TAG = re.compile(rf"refs/tags/{CHECKPOINTS}/(\d+)")
_BRANCH_PREFIX = "refs/heads/filings/"
_TAG_PREFIX = "refs/tags/"
_OID = re.compile(r"\b[0-9a-f]{40}\b")


class WholeEvent(NamedTuple):
    """An event that can be read, and all earlier events as well.

    ``at`` is the wall time of the event (RFC 3339); empty if the event cannot be decoded, so that a stand-in takes
    its place.
    """

    seq: int
    commit: str
    at: str


class _LinkedEvent(NamedTuple):
    """A whole event with its place among the commits of the journal."""

    event: WholeEvent
    #: The commit of the previous event; None for the first event.
    parent: str | None
    #: Ref -> object id for the refs that the event moved.
    moved_refs: dict[str, str]


class RefDifferences(NamedTuple):
    """The differences between the repository's refs and the journal."""

    #: Refs of the journal that the repository lacks.
    missing_refs: tuple[str, ...] = ()
    #: Refs of the repository that no event of the journal created, or moved to their present value.
    unknown_refs: tuple[str, ...] = ()

    @property
    def is_explained_by_crash(self) -> bool:
        """Return True if a crash can have caused all differences: missing refs, and branches at a former value."""
        return all(ref.startswith(_BRANCH_PREFIX) for ref in self.unknown_refs)

    @property
    def problem(self) -> LazyMessage | None:
        """Return the reason for the message of :func:`damage_error`; None if there is no difference."""
        if self.unknown_refs:
            return LazyMessage.define(
                "{count} refs are ahead of its newest event; the first is {first}",
                singular="{count} ref is ahead of its newest event: {first}",
                code="journal.refs-beyond",
            ).with_fields(count=len(self.unknown_refs), first=self.unknown_refs[0])
        if self.missing_refs:
            return LazyMessage.define(
                "{count} refs that it lists are missing or cannot be read; the first is {first}",
                singular="{count} ref that it lists is missing or cannot be read: {first}",
                code="journal.refs-missing",
            ).with_fields(count=len(self.missing_refs), first=self.missing_refs[0])
        return None


def damage_error(path: Path, problem: LazyMessage, last_event: WholeEvent | None) -> JournalDamaged:
    """Return the error with which writing is refused; its message tells the user how to continue.

    ``path`` is the repository.  ``last_event`` is the event from which the archive can continue, or None without
    such an event.
    """
    if last_event is None:
        return JournalDamaged(
            "Cannot continue the journal of {path}: {damage}. The journal has no complete event. Nothing was "
            "changed. Restore the repository from a backup or a clone.",
            path=path,
            damage=problem,
        )
    return JournalDamaged(
        "Cannot continue the journal of {path}: {damage}. The last complete event is number {seq} of {at}. "
        "Nothing was changed. Archived data can still be read. Restore the repository from a backup or a clone. "
        "To continue from the last complete event instead, run: archiver reindex --accept",
        path=path,
        damage=problem,
        seq=last_event.seq,
        at=last_event.at,
    )


def ref_problem(repository: Repository) -> LazyMessage | None:
    """Return the reason why the journal's ref is unusable; None if the ref leads to a readable event.

    Raises StorageError if git fails.
    """
    if not packed_refs.is_whole(repository.path):
        # If the file of packed refs is damaged, git looks up no ref at all.
        return LazyMessage.define(
            "the file {path}, which stores its refs, is damaged", code="journal.packed-refs-damaged"
        ).with_fields(path=repository.path / packed_refs.NAME)
    tip = repository.resolve(JOURNAL)
    if tip is not None:
        try:
            Journal(repository).read_event_files(tip)
            return None
        except KeyError:
            return LazyMessage.define(
                "the event {commit}, to which its ref points, is missing or damaged", code="journal.event-damaged"
            ).with_fields(commit=tip[:12])
    hint_commits = _read_journal_hints(repository)
    if is_there(repository.path / JOURNAL) or hint_commits:
        return LazyMessage.define(
            "the ref {ref} is empty, or points to nothing readable", code="journal.ref-unreadable"
        ).with_fields(ref=JOURNAL)
    return LazyMessage.define("its ref {ref} is missing", code="journal.ref-missing").with_fields(ref=JOURNAL)


def readable_refs(repository: Repository) -> dict[str, str]:
    """Return ref -> object id for each readable ref, even if a damaged file keeps git from reading any ref."""
    if packed_refs.is_whole(repository.path):
        return repository.refs()
    return packed_refs.read_with_loose(repository.path)


def compare_refs(refs: Mapping[str, str], index: Index) -> RefDifferences:
    """Compare the repository's ``refs`` (name -> object id) with ``index``, which is up to date with the journal.

    Returns no difference if the journal has an unreadable event, because that event may have created any ref.
    """
    if index.unread_events():
        return RefDifferences()
    branches, point = index.branch_heads(), index.journal_point
    # Tags have no object id here: only branches are compared by value.
    expected = {f"refs/tags/{tag}": "" for tag in index.all_tags()} | branches
    newest_seq = point.seq if point else 0
    unknown_refs = {ref for ref, oid in refs.items() if _contradicts_journal(ref, oid, expected, newest_seq)}
    return RefDifferences(tuple(sorted(expected.keys() - refs.keys())), tuple(sorted(unknown_refs)))


def plan_ref_repair(refs: Mapping[str, str], expected: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Compare the present ``refs`` with the ``expected`` refs of the journal; both map names to object ids.

    Returns two such mappings: the refs to rename, with their present object ids, and the refs to set again, with
    the expected object ids.  A ref with a wrong object id is in both.
    """
    unknown_refs = {ref: oid for ref, oid in refs.items() if _contradicts_journal(ref, oid, expected, 0)}
    unknown_refs = {ref: oid for ref, oid in unknown_refs.items() if ref not in expected or expected[ref] != oid}
    missing_refs = {ref: oid for ref, oid in expected.items() if ref != JOURNAL and refs.get(ref) != oid}
    return unknown_refs | {ref: refs[ref] for ref in missing_refs if ref in refs}, missing_refs


def _contradicts_journal(ref: str, oid: str, expected: Mapping[str, str], newest_seq: int) -> bool:
    """Return True if only this program creates such a ref, and the journal does not account for it.

    ``newest_seq`` is the number of the newest event.  The tag of a checkpoint up to that number proves no loss.
    """
    if (checkpoint_match := _CHECKPOINT_TAG.fullmatch(ref)) is not None:
        return ref not in expected and int(checkpoint_match[1]) > newest_seq
    if ref.startswith(_BRANCH_PREFIX):
        return expected.get(ref) != oid
    return _VERSION_TAG.fullmatch(ref) is not None and ref not in expected


def last_whole_event(
    repository: Repository, points: Iterable[JournalPoint | None] = (), after: str | None = None
) -> WholeEvent | None:
    """Find the newest event that can be read together with all earlier events; return None without such an event.

    ``points`` are the newest events of databases.  With ``after``, the commit of an event, only this event and the
    events that continue from it are considered.

    A process that died may have left commits of events that never became part of the journal.  So events are
    preferred for which there is evidence, and all events before these.  There are three kinds of evidence: the
    journal's ref named the event, according to ref files and the reflog of an earlier release; a database included
    the event; or the tags that the event created exist.

    Reads every commit.  Raises StorageError if git fails.
    """
    linked_events = _read_whole_events(repository)
    refs = readable_refs(repository)
    hint_commits = _read_journal_hints(repository) | {point.commit for point in points if point is not None}
    for commit, linked_event in linked_events.items():
        # Tags never move, and are created after the journal has moved.  Branches are no evidence, because later
        # events move them again.
        tags = {ref: oid for ref, oid in linked_event.moved_refs.items() if ref.startswith(_TAG_PREFIX)}
        if tags and all(refs.get(ref) == oid for ref, oid in tags.items()):
            hint_commits.add(commit)
    if after is not None:
        hint_commits.add(after)
        linked_events = _select_continuing_events(linked_events, after)
    proven_commits: set[str] = set()
    for commit in hint_commits:
        ancestor: str | None = commit
        while ancestor in linked_events and ancestor not in proven_commits:
            proven_commits.add(ancestor)
            ancestor = linked_events[ancestor].parent
    candidates = [linked_events[commit].event for commit in proven_commits or linked_events]
    return max(candidates, key=lambda event: event.seq, default=None)


def _select_continuing_events(linked_events: Mapping[str, _LinkedEvent], after: str) -> dict[str, _LinkedEvent]:
    """Return the event in the commit ``after``, and all events that continue from it, by commit."""
    continuing_events: dict[str, _LinkedEvent] = {}
    # One pass is enough, because a parent comes before its children.
    for commit, linked_event in linked_events.items():
        if commit == after or linked_event.parent in continuing_events:
            continuing_events[commit] = linked_event
    return continuing_events


def _read_whole_events(repository: Repository) -> dict[str, _LinkedEvent]:
    """Return the whole events by commit; a parent comes before its children.

    Reads every commit of the repository.
    """
    events_by_commit: dict[str, tuple[str | None, bytes, bytes | None]] = {}
    for commit in repository.all_commits():
        try:
            data, body = Journal(repository).read_event_files(commit)
            header_lines = repository.read(commit).split(b"\n\n", 1)[0].split(b"\n")
        except KeyError:
            # The commit does not belong to the journal, or is damaged: either way, it has no whole event.
            continue
        parents = [line.removeprefix(b"parent ") for line in header_lines if line.startswith(b"parent ")]
        events_by_commit[commit] = (parents[0].decode("ascii") if parents else None, data, body)
    children_by_parent: dict[str | None, list[str]] = {}
    for commit, (parent, _, _) in events_by_commit.items():
        children_by_parent.setdefault(parent, []).append(commit)
    linked_events: dict[str, _LinkedEvent] = {}
    # Follow children from the first event on, so that all events before a commit that is reached are readable.
    # Each entry is a commit, the number that its event must have, and the digest of the preceding event, which its
    # event must state.
    pending_commits = [(commit, 1, GENESIS_DIGEST) for commit in children_by_parent.get(None, ())]
    while pending_commits:
        commit, seq, previous_digest = pending_commits.pop()
        parent, data, body = events_by_commit[commit]
        event_facts = _read_event_at(data, body, seq, previous_digest)
        if event_facts is not None:
            at, moved_refs = event_facts
            linked_events[commit] = _LinkedEvent(WholeEvent(seq, commit, at), parent, moved_refs)
            digest = hashlib.sha256(data).hexdigest()
            pending_commits += [(child, seq + 1, digest) for child in children_by_parent.get(commit, ())]
    return linked_events


def _read_event_at(
    data: bytes, body: bytes | None, seq: int, previous_digest: str
) -> tuple[str, dict[str, str]] | None:
    """Return time and moved refs of an event; None if its number or ``prev`` shows that it does not belong here.

    ``previous_digest`` is in hexadecimal.  ``body`` is None in format 1.

    An event that cannot be decoded is accepted, with an empty time and no refs: it does belong here if the next
    event states its digest.
    """
    try:
        event_fields = json.loads(data)
        if (event_fields["seq"], event_fields["prev"].removeprefix("sha256:")) != (seq, previous_digest):
            return None
        return str(event_fields["at"]), read_moved_refs(data, body)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # The commit names exactly these bytes, so the event was damaged before it was written.  A stand-in takes
        # its place.
        return "", {}


def _read_journal_hints(repository: Repository) -> set[str]:
    """Return all object ids, present and former ones, that ref files and the reflog state for the journal's ref.

    The files may be damaged.  A missing file states none.
    """
    hint_commits: set[str] = set()
    for file_name in (JOURNAL, f"logs/{JOURNAL}"):
        hint_commits.update(_OID.findall(_read_text(repository.path / file_name)))
    for line in _read_text(repository.path / "packed-refs").splitlines():
        if line.endswith(f" {JOURNAL}"):
            hint_commits.update(_OID.findall(line))
    return hint_commits


def _read_text(path: Path) -> str:
    """Return the text of a file with object ids and names of refs; empty if the file cannot be read."""
    try:
        return path.read_text("ascii", "replace")
    except OSError:
        # Without the file there is no object id to find.
        return ""


def expected_refs(events: Iterable[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """Return ref -> object id according to the journal, the journal's own ref included.

    ``events`` are the commit and the moved refs of each event, oldest first.  A later event overrules an earlier
    event.
    """
    refs: dict[str, str] = {}
    for commit, event_refs in events:
        refs |= {JOURNAL: commit, **event_refs}
    return refs


def drop_broken_refs(root: Path, repository: Repository, refs: list[str]) -> None:
    """Remove files and folders without an object id at the paths of ``refs``, because git cannot write there.

    Files are deleted, and folders are set aside.  A damaged ``packed-refs`` is set aside, too, and replaced by a
    file with its readable lines.  Raises OSError.
    """
    if not packed_refs.is_whole(repository.path):
        intact_refs = packed_refs.read(repository.path)
        set_aside.put_away(root, repository.path / packed_refs.NAME)
        packed_refs.write(repository.path, intact_refs)
    for ref in refs:
        path = repository.path / ref
        if is_folder(path, follow_links=False):
            set_aside.put_away(root, path)
        elif is_there(path, follow_links=False) and not _OID.fullmatch(_read_text(path).strip()):
            os.unlink(path)
