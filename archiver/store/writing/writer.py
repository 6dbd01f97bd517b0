"""Write events, and versions with one event each, to the archive: completely and durably, or not at all."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from enum import Enum
from typing import IO, TYPE_CHECKING, NamedTuple

from archiver import clock
from archiver.errors import StorageError
from archiver.model import Attachment, Change, Event, Op
from archiver.store import keys, names
from archiver.store.content.objects import lfs_pointer
from archiver.store.event_decoding import EVENT_FILE
from archiver.store.events import validation
from archiver.store.events.attached_files import CHANGES_FILE, SIGNERS_FILE
from archiver.store.events.change_lines import encode_change_lines
from archiver.store.events.event_files import BODY_FILE
from archiver.store.events.event_kinds import Action
from archiver.store.events.signed_head import HEAD_FILE, HEAD_SIGNATURE_FILE
from archiver.store.failpoints import Step, announce_step
from archiver.store.git.object_writer import IDENTITY, FileContent, ObjectWriter
from archiver.store.git.ref_transaction import ZERO, RefUpdate
from archiver.store.git.repository import JOURNAL
from archiver.store.writing.chain_heads import ChainHeads
from archiver.store.writing.drafts import Draft, VersionDraft
from archiver.store.writing.event_batch import EventBatch, PreparedEvent
from archiver.store.writing.head_signing import CoveredEvents, HeadFiles

if TYPE_CHECKING:
    from archiver.store.archive import Archive

#: A larger batch is not faster, and a crash would lose more work.
MAX_BATCH_VERSIONS = 64
_ATTRIBUTES = b"materials/** filter=lfs diff=lfs merge=lfs -text\n"


class HeadRule(Enum):
    """The choice of the key that signs the head of a batch."""

    #: The key in use. Without a usable one the batch is written unsigned, and the next head covers it.
    IF_POSSIBLE = "if possible"
    #: The key in use. Without a usable one nothing is written.
    REQUIRED = "required"
    #: The prepared key, because the key in use is lost. Without a usable one nothing is written.
    NEXT_KEY = "next key"


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

    def append(self, draft: Draft) -> Event:
        """Write a single event, as :meth:`write_batch` does."""
        return self.write_batch([draft])[0]

    def write_version(self, draft: VersionDraft) -> Event:
        """Write a single version, as :meth:`write_batch` does."""
        return self.write_batch([draft])[0]

    def write_batch(
        self,
        drafts: Sequence[Draft | VersionDraft],
        *,
        recovered: Sequence[RefUpdate] = (),
        head_rule: HeadRule = HeadRule.IF_POSSIBLE,
        check_stop: Callable[[], None] = lambda: None,
    ) -> list[Event]:
        """Write versions and events together: in one pack, with one signed head and one transaction of refs.

        The caller passes the drafts that it has, with at most :data:`MAX_BATCH_VERSIONS` versions, and does not
        wait for more.  Versions of the same submission are in the order of their numbers.  The caller has
        published the content objects.  ``recovered`` has moves of refs that contradicted the journal; the first
        draft explains them, and no ref is checked by the guard's rules then.  ``check_stop`` is called for each
        changed file of a version, and may raise to abandon the batch: nothing is written then.

        Returns the events, in the order of the drafts, when all of them are durable.  After a crash, either all
        events of a batch count, or none of them does.  Raises UsageError for an event that could not be read
        back, ConfigError for an archive of another format, StorageError if git fails, or if a required head
        cannot be signed; nothing is written then.
        """
        if not drafts:
            return []
        archive = self._archive
        if not any(_states_format(draft) for draft in drafts):
            archive.check_writable()
        for draft in drafts:
            if isinstance(draft, Draft):
                _check_draft(draft)
        batch = EventBatch(
            archive.journal.newest_event(), clock.read_clocks(), ChainHeads(archive.index), archive.actor
        )
        recovered_refs = {update.ref: update.new for update in recovered if update.new != ZERO}
        signers = self._signers_in_force(drafts, head_rule)
        with ExitStack() as lists, archive.repository.writing_objects() as objects:
            for number, draft in enumerate(drafts, 1):
                head = _HeadToSign(signers, head_rule) if number == len(drafts) else None
                if isinstance(draft, VersionDraft):
                    lines = lists.enter_context(tempfile.TemporaryFile(dir=archive.spool_folder))
                    self._add_version(objects, draft, lines, batch, head, check_stop)
                else:
                    self._add_event(objects, draft, recovered_refs if number == 1 else {}, batch, head)
        batch.old_oids |= {update.ref: update.old for update in recovered}
        self._move(batch, [update for update in recovered if update.new == ZERO], guarded=not recovered)
        return batch.events

    def _signers_in_force(self, drafts: Sequence[Draft | VersionDraft], head_rule: HeadRule) -> bytes:
        """Return the text of ``allowed_signers`` whose last key signs the head of a batch.

        This is the text in the journal.  But the first batch of an archive, and a batch that replaces a lost key,
        bring the text as an attachment.  Returns empty bytes if no draft has this attachment.
        """
        if head_rule is not HeadRule.NEXT_KEY and self._archive.index.key_commit:
            return self._archive.journalled_signers()
        for draft in reversed(drafts):
            if isinstance(draft, Draft) and SIGNERS_FILE in draft.attachments:
                stream = draft.attachments[SIGNERS_FILE]
                stream.seek(0)
                return stream.read()
        return b""

    def _add_event(
        self,
        objects: ObjectWriter,
        draft: Draft,
        recovered_refs: Mapping[str, str],
        batch: EventBatch,
        head: _HeadToSign | None,
    ) -> None:
        """Write the commit of a draft's event, and the draft's signed tag, if any; add the event to ``batch``.

        ``recovered_refs`` has object ids of further refs that the event moves.
        """
        refs = dict(recovered_refs)
        if draft.tag is not None:
            body = _tag_body(draft.tag.name, draft.tag.commit, draft.tag.text, batch.seconds)
            body += keys.sign_message(self._archive.keys_folder, body).encode("ascii")
            refs[f"refs/tags/{draft.tag.name}"] = objects.write_tag(body)
        event = self._write_event(objects, draft, refs, batch, head)
        batch.add(event, (), dict.fromkeys(refs, ZERO))

    def _add_version(
        self,
        objects: ObjectWriter,
        draft: VersionDraft,
        lines: IO[bytes],
        batch: EventBatch,
        head: _HeadToSign | None,
        check_stop: Callable[[], None],
    ) -> None:
        """Write the commit, the tag and the capture event of a version; add the event to ``batch``.

        ``lines`` is an empty file for the list of changes, which the caller closes after the batch is written.
        """
        from archiver.store.events.capture_events import VersionCaptured

        submission, totals = draft.submission, draft.totals
        tag = submission.tag(draft.number)
        message = (
            f"{tag}\n\nadded {totals.added}, modified {totals.modified}, deleted {totals.deleted}; "
            f"{totals.files} files, {totals.bytes} bytes\n"
        )
        details = VersionCaptured(
            filing=names.name_as_text(submission.filing_folder),
            submission=names.name_as_text(submission.folder),
            version=draft.number,
            files=totals.files,
            bytes=totals.bytes,
            added=totals.added,
            modified=totals.modified,
            deleted=totals.deleted,
        )
        lines.writelines(encode_change_lines(draft.changes))
        base = draft.parent if draft.whole is None else None
        files = _tree_files(base, draft.changes if draft.whole is None else draft.whole, check_stop)
        commit = objects.write_version(message, batch.seconds, draft.parent, base, files)
        refs = {
            submission.branch: commit,
            f"refs/tags/{tag}": objects.write_tag(_tag_body(tag, commit, message, batch.seconds)),
        }
        event = self._write_event(objects, Draft(tag, details, {CHANGES_FILE: lines}), refs, batch, head)
        batch.add(event, draft.changes, {submission.branch: draft.parent or ZERO, f"refs/tags/{tag}": ZERO})

    def _write_event(
        self,
        objects: ObjectWriter,
        draft: Draft,
        refs: Mapping[str, str],
        batch: EventBatch,
        head: _HeadToSign | None,
    ) -> Event:
        """Write the commit of the batch's next event; return the event, to which no ref points yet.

        ``refs`` has the new object ids of the refs that the event moves.  ``head`` is None for all but the last
        event of the batch.
        """
        attachments = {name: _measured(name, file) for name, file in draft.attachments.items()}
        parent = batch.newest
        prepared = batch.prepare_event(draft.object, draft.details, refs, list(attachments.values()), draft.proven)
        batch.advance_chain(prepared.event)
        files: dict[bytes, FileContent] = {
            EVENT_FILE.encode(): prepared.files.event,
            BODY_FILE.encode(): prepared.files.body,
        }
        if head is not None and (head_files := self._sign_head(batch, prepared, head)) is not None:
            files |= {HEAD_FILE.encode(): head_files.head, HEAD_SIGNATURE_FILE.encode(): head_files.signature}
        files |= {name.encode(): (file, attachments[name].size) for name, file in draft.attachments.items()}
        event = prepared.event
        commit = objects.write_commit(
            f"{event.seq} {event.action} {event.object}\n",
            batch.seconds,
            None if parent is None else parent.commit,
            files,
        )
        return event._replace(commit=commit)

    def _sign_head(self, batch: EventBatch, last: PreparedEvent, head: _HeadToSign) -> HeadFiles | None:
        """Sign and return the head of the batch; None if no key is usable and the head is not required."""
        events = [*batch.events, last.event]
        # From the index, as the heads of the chains: git would walk through the whole journal.
        first_event_digest = self._archive.index.first_event_digest or events[0].sha256
        covered = CoveredEvents(f"sha256:{first_event_digest}", events[0].seq, last.event, batch.chain_heads)
        try:
            return self._archive.head_signer.sign(
                covered, head.signers, with_next_key=head.rule is HeadRule.NEXT_KEY
            )
        except StorageError:
            if head.rule is not HeadRule.IF_POSSIBLE:
                raise
            # Capturing goes on: ``archiver status`` reports the unsigned events, and the next head covers them.
            return None

    def _move(self, batch: EventBatch, deletions: Sequence[RefUpdate] = (), *, guarded: bool = True) -> None:
        """Move the journal to the last event of the batch, and then the refs that the events name.

        ``deletions`` are refs to be deleted after that.  With ``guarded``, deletions and moves back are refused.
        Returns when all moves are durable, and the index has the events.
        """
        # The journal moves first: from then on the events count, and recovery after a crash moves the other refs.
        before = self._archive.repository.resolve(JOURNAL) or ZERO
        updates = [RefUpdate(JOURNAL, before, batch.events[-1].commit)]
        updates += [RefUpdate(ref, batch.old_oids[ref], oid) for ref, oid in batch.new_oids().items()]
        self._archive.repository.move_refs([*updates, *deletions], guarded=guarded)
        self._archive.index.apply_events(zip(batch.events, batch.changes, strict=True))
        announce_step(Step.INDEX_UPDATED)


class _HeadToSign(NamedTuple):
    """The instructions for signing the head of a batch."""

    signers: bytes  # the text of ``allowed_signers`` whose last key signs
    rule: HeadRule


def _states_format(draft: Draft | VersionDraft) -> bool:
    """Return True for a draft of the event that begins format 2 in an archive."""
    return isinstance(draft, Draft) and draft.details.action in (Action.INIT, Action.FORMAT)


def _check_draft(draft: Draft) -> None:
    """Raise UsageError for an event that could not be read back."""
    validation.check_new_event(
        draft.details.action, draft.object, draft.details.to_details(), draft.attachments.keys()
    )


def _tree_files(
    parent: str | None, changes: Sequence[Change], check_stop: Callable[[], None]
) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield the paths in which a version's tree differs from the tree of ``parent``, with the new bytes.

    None in place of bytes deletes the path.  If ``parent`` is None, the tree is empty at first, and
    ``.gitattributes`` is added.  ``check_stop`` is called for each change, and may raise.
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
        check_stop()
        if change.op in (Op.ADD, Op.MODIFY, Op.RENAME) and change.sha256 is not None:
            yield _tree_name(change.path), lfs_pointer(change.sha256, change.size)


def _tree_name(path: bytes) -> bytes:
    """Return the path of a material in the tree of a version."""
    return b"materials/" + names.tree_path(path)


def _tag_body(tag: str, commit: str, message: str, seconds: int) -> bytes:
    """Return the bytes of an unsigned tag object; ``seconds`` is the time of the tag, in seconds since 1970."""
    head = f"object {commit}\ntype commit\ntag {tag}\ntagger {IDENTITY} {seconds} +0000\n\n"
    return (head + message).encode("utf-8")


def _measured(name: str, file: IO[bytes]) -> Attachment:
    """Return the name, the SHA-256 and the size of an attachment; leave the file's position at the start."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")  # type: ignore[arg-type]
    # Move to the end to learn the size: hashing does not move the position of a file in memory.
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return Attachment(name, digest.hexdigest(), size)
