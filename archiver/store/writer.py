"""Write to the archive: an event, or a version with an event, either completely and durably or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, TYPE_CHECKING, Any

from archiver import __version__, clock
from archiver.model import Attachment, Change, Event, Op, Submission
from archiver.store import keys, names
from archiver.store.content.objects import lfs_pointer
from archiver.store.events import validation
from archiver.store.events.attached_files import CHANGES_FILE
from archiver.store.events.capture_events import VersionCaptured
from archiver.store.events.event_details import WritableDetails
from archiver.store.failpoints import Step, announce_step
from archiver.store.git.fast_import import IDENTITY, FastImport
from archiver.store.git.ref_transaction import ZERO, RefUpdate
from archiver.store.git.repository import JOURNAL
from archiver.store.journal import (
    EVENT_FILE,
    GENESIS_DIGEST,
    canonical_json,
    compute_compliance_time,
    encode_change_line,
)

if TYPE_CHECKING:
    from archiver.store.archive import Archive

_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"


@dataclass(frozen=True, slots=True)
class Totals:
    """The size of a version and the numbers of changes, as shown by ``log``."""

    files: int
    bytes: int
    added: int
    modified: int
    deleted: int


@dataclass(frozen=True, slots=True)
class Draft:
    """An event that is not in the journal yet.

    ``object`` names the filing, submission, version or part of the archive that the event is about.
    ``attachments`` are open files by their names; the caller closes them.
    """

    object: str
    details: WritableDetails
    attachments: Mapping[str, IO[bytes]] = field(default_factory=dict)
    #: A time that a timestamp authority vouches for: the compliance clock is set to it if it is behind.
    proven: datetime | None = None


class Writer:
    """The right to write to an archive; valid only while the writer's lock is held."""

    def __init__(self, archive: Archive) -> None:
        """Write to ``archive``, whose lock the caller holds."""
        self._archive = archive

    @property
    def next_seq(self) -> int:
        """Return the number that the next event will have."""
        newest = self._archive.journal.newest_event()
        return 1 if newest is None else newest.seq + 1

    def append(
        self,
        draft: Draft,
        signed_tag: tuple[str, str, str] | None = None,
        recovered: Sequence[RefUpdate] = (),
    ) -> Event:
        """Append an event to the journal and apply it to the index; return the event when durable.

        ``signed_tag`` is the name of a tag to sign and create, its commit and its message.  ``recovered`` are
        moves of refs that did not agree with the journal; they are not checked by the guard's hook.

        Raises UsageError for an event that could not be read back, and writes nothing then; StorageError if the
        key cannot sign or git fails.
        """
        validation.check_new_event(
            draft.details.action, draft.object, draft.details.to_details(), draft.attachments.keys()
        )
        archive = self._archive
        reading = clock.read_clocks()
        with archive.repository.importing() as stream:
            refs = {update.ref: update.new for update in recovered if update.new != ZERO}
            if signed_tag is not None:
                name, commit, message = signed_tag
                body = _tag_body(name, commit, message, int(reading.wall.timestamp()))
                body += keys.sign_message(archive.keys_folder, body).encode("ascii")
                refs[f"refs/tags/{name}"] = archive.repository.write_tag(body)
            event = self._event(stream, draft, refs, reading)
        old = dict.fromkeys(refs, ZERO) | {update.ref: update.old for update in recovered}
        self._move(event, old, [update for update in recovered if update.new == ZERO], guarded=not recovered)
        archive.index.apply_events([(event, ())])
        announce_step(Step.INDEX_UPDATED)
        return event

    def write_version(
        self,
        submission: Submission,
        number: int,
        parent: str | None,
        changes: Sequence[Change],
        totals: Totals,
        whole: Sequence[Change] | None = None,
    ) -> Event:
        """Write a version: commit, tag and capture event, and then the refs naming all three.

        ``parent`` is the commit of the version before; None for the first version of a submission.  ``whole``
        lists everything that the version holds, if the tree of ``parent`` is not the state that ``changes`` start
        from; None if it is.  The caller has published the content objects.

        Returns the event when the version is durable, and so counts as archived.  Raises StorageError if git
        fails.
        """
        archive = self._archive
        reading = clock.read_clocks()
        seconds = int(reading.wall.timestamp())
        tag = submission.tag(number)
        message = (
            f"{tag}\n\nadded {totals.added}, modified {totals.modified}, deleted {totals.deleted}; "
            f"{totals.files} files, {totals.bytes} bytes\n"
        )
        details = VersionCaptured(
            filing=names.name_as_text(submission.filing_folder),
            submission=names.name_as_text(submission.folder),
            version=number,
            files=totals.files,
            bytes=totals.bytes,
            added=totals.added,
            modified=totals.modified,
            deleted=totals.deleted,
        )
        with tempfile.TemporaryFile(dir=archive.spool_folder) as lines:
            lines.writelines(encode_change_line(change) for change in changes)
            with archive.repository.importing() as stream:
                tree = _tree_files(parent, changes) if whole is None else _tree_files(None, whole)
                commit = stream.commit(message, seconds, parent, tree, fresh=whole is not None)
                body = _tag_body(tag, commit, message, seconds)
                refs = {
                    submission.branch: commit,
                    f"refs/tags/{tag}": archive.repository.write_tag(body),
                }
                draft = Draft(tag, details, {CHANGES_FILE: lines})
                event = self._event(stream, draft, refs, reading)
        self._move(event, {submission.branch: parent or ZERO, f"refs/tags/{tag}": ZERO})
        archive.index.apply_events([(event, changes)])
        announce_step(Step.INDEX_UPDATED)
        return event

    def _event(self, stream: FastImport, draft: Draft, refs: dict[str, str], reading: clock.ClockReading) -> Event:
        """Write the commit of an event; return the event, to which no ref points yet.

        ``refs`` are the refs that the event moves, with their new object ids, and ``reading`` is the present time.
        """
        newest = self._archive.journal.newest_event()
        now = compute_compliance_time(newest, reading)
        attachments = {name: _measured(name, file) for name, file in draft.attachments.items()}
        document: dict[str, Any] = {
            "seq": 1 if newest is None else newest.seq + 1,
            "at": clock.format_time(reading.wall),
            "clock": clock.make_evidence(max(now, draft.proven or now), reading),
            "actor": {
                "uid": self._archive.actor.uid,
                "user": self._archive.actor.user,
                "program": f"archiver {__version__}",
            },
            "action": draft.details.action.value,
            "object": draft.object,
            "details": draft.details.to_details(),
            "refs": refs,
            "attachments": [
                {"name": item.name, "sha256": item.sha256, "size": item.size} for item in attachments.values()
            ],
            "prev": GENESIS_DIGEST if newest is None else newest.sha256,
        }
        data = canonical_json(document)
        # An event that cannot be read back could never be removed from the journal.
        validation.parse_event_document(data)
        commit = stream.commit(
            f"{document['seq']} {document['action']} {draft.object}\n",
            int(reading.wall.timestamp()),
            None if newest is None else newest.commit,
            [(EVENT_FILE.encode(), data)],
            {name: (file, attachments[name].size) for name, file in draft.attachments.items()},
            fresh=True,
        )
        return Event(
            **{**document, "attachments": tuple(attachments.values())},
            sha256=hashlib.sha256(data).hexdigest(),
            commit=commit,
        )

    def _move(
        self, event: Event, old: Mapping[str, str], deletions: Sequence[RefUpdate] = (), *, guarded: bool = True
    ) -> None:
        """Move the journal to ``event``, and then the refs named by the event; return when durable.

        ``old`` has the present object id of each of these refs, which git checks.  ``deletions`` come last.  With
        ``guarded``, the hook refuses deletions and moves back.
        """
        # The journal moves first: from then on the event counts, and recovery after a crash moves the other refs.
        before = self._archive.repository.resolve(JOURNAL) or ZERO
        updates = [RefUpdate(JOURNAL, before, event.commit)]
        updates += [RefUpdate(ref, old[ref], oid) for ref, oid in event.refs.items()]
        self._archive.repository.move_refs([*updates, *deletions], guarded=guarded)


def _tree_files(parent: str | None, changes: Sequence[Change]) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the tree paths in which a version's commit differs from ``parent``, with their bytes; None deletes.

    With ``parent`` None, the tree is empty at first, and gets its ``.gitattributes``.
    """
    # Deletions come first, because a file may have become a folder of the same name.
    for change in changes:
        if change.op is Op.DELETE:
            yield _tree_name(change.path), None
        elif change.source is not None:
            yield _tree_name(change.source), None
    if parent is None:
        yield b".gitattributes", _ATTRIBUTES
    for change in changes:
        if change.op in (Op.ADD, Op.MODIFY, Op.RENAME) and change.sha256 is not None:
            yield _tree_name(change.path), lfs_pointer(change.sha256, change.size)


def _tree_name(path: bytes) -> bytes:
    """Return the path of a material in the tree of a version."""
    return b"materials/" + names.tree_path(path)


def _tag_body(tag: str, commit: str, message: str, seconds: int) -> bytes:
    """Return the bytes of a tag object; ``seconds`` is its time, in seconds since 1970."""
    head = f"object {commit}\ntype commit\ntag {tag}\ntagger {IDENTITY} {seconds} +0000\n\n"
    return (head + message).encode("utf-8")


def _measured(name: str, file: IO[bytes]) -> Attachment:
    """Return name, SHA-256 and size of an attachment; the file's position is at its start afterwards."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    # Hashing does not move the position of a file in memory, so that the size is not there yet.
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return Attachment(name, digest.hexdigest(), size)
