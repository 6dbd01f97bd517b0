"""Maintain the archive itself: packing, replication, restore drills, and notes in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.registry import action, unknown_action_error
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import UsageError
from archiver.restore import drill
from archiver.store import maintenance, names
from archiver.store.events import validation
from archiver.store.events.event_details import GivenDetails
from archiver.store.events.evidence_events import ContentProtected, PackageExported, VersionsRestored
from archiver.store.journal import canonical_json
from archiver.store.writer import Draft

#: Lower, and a restore of thousands of versions could not be journalled, because its note names each of them.
#: Higher, and every reader of the journal pays for one note.
_MAX_NOTE_BYTES = 1 << 20
#: Characters of an event's object: the tags of restored versions are cut off here, and the details hold them all.
_MAX_OBJECT_LENGTH = 500
#: Higher, and a drill takes longer than a caller waits for the daemon.
_MAX_DRILL_FILES = 100_000
#: The kinds of events that a caller may ask the daemon to journal, because the command runs as another user.
_NOTED_ACTIONS = {
    str(details_class.action): details_class.action
    for details_class in (VersionsRestored, PackageExported, ContentProtected)
}
#: Members of a note's details that a person typed. All others are written by the program, or are names of folders
#: and versions, which must not be altered.
_PERSON_TYPED_DETAILS = frozenset({"recipient", "reason"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRepository(Request):
    """A request to pack the git repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReplica(Request):
    """A request to replicate to the bucket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRestoreDrill(Request):
    """A request for a restore drill."""

    #: How many files to restore; limited to 1 through ``_MAX_DRILL_FILES``.
    file_count: Annotated[int, Argument("files")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNote(Request):
    """A request to journal a *note*: the event about a command that a caller ran without writing the journal."""

    #: The kind of the event: ``restore``, ``export`` or ``protect``.
    action: Annotated[str, Argument("what", TextRule.LOOKED_UP)]
    #: The event's ``object``, such as the tags of restored versions.
    about: Annotated[str, Argument("about", TextRule.LOOKED_UP)]
    details: Annotated[Mapping[str, Any], Argument("details")]


@action("drill")
def run_restore_drill(context: ActionContext, request: RunRestoreDrill) -> dict[str, Any]:
    """Restore a random sample to a scratch folder, compare every byte, and journal the outcome.

    The number of files is limited to ``_MAX_DRILL_FILES``, and is at least 1. The result lists the tags of the
    ``versions`` in the sample, sorted, and counts its files and bytes.

    Raises StorageError if a restored file differs from the archived file; the outcome is journalled first.
    """
    file_count = min(max(request.file_count, 1), _MAX_DRILL_FILES)
    result = drill.run_drill(context.archive, file_count, context.lock_timeout)
    return {
        "versions": sorted(result.version_tags),
        "files": result.file_count,
        "bytes": result.byte_count,
    }


@action("maintain")
def pack_repository(context: ActionContext, _: PackRepository) -> dict[str, Any]:
    """Move git objects from files of their own into pack files, and merge small packs.

    The result counts the packed objects, and by how many packs the repository shrank.

    Raises Busy if another process keeps writing, and StorageError if git cannot write. An object is removed only
    after its copy is on disk, so an interruption loses nothing.
    """
    result = maintenance.maintain(context.archive, context.lock_timeout)
    return {"objects": result.objects, "packs": result.packs}


@action("replica-sync")
def sync_replica(context: ActionContext, _: SyncReplica) -> dict[str, Any]:
    """Upload everything the bucket lacks, extend the locks, and delete the disposed content.

    The result counts the uploads, holds and deletions. It lists each lock that was extended (``extended``), each
    disposed content object that a lock still protects (``locked``), and the SHA-256 of content that is missing in
    both places (``missing``). Every ``until`` is RFC 3339 in UTC.

    Raises NotFoundError if the archive has no replica, ConfigError if boto3 or the credentials are missing, and
    StorageError if the bucket fails. Uploads that were completed before a failure stay recorded, and are not
    repeated.
    """
    # Imported here because boto3 takes longer to load than any other action takes to run.
    from archiver.replica import connect

    archive = context.archive
    with connect.open_replica(archive, context.config) as replica:
        policy = context.disposal_rules.policy
        result = connect.sync_replica(
            archive, replica, policy, context.lock_timeout, progress=context.report_progress
        )
    return {
        "done": result.describe(),
        "sent": result.sent_count,
        "bytes": result.sent_bytes,
        "holds": result.changed_holds,
        "deleted": result.deleted_count,
        "extended": [
            {"object": key, "until": clock.format_time(until)} for key, until in sorted(result.extended_locks)
        ],
        "locked": [
            {"sha256": sha256, "until": clock.format_time(until)} for sha256, until in sorted(result.still_locked)
        ],
        "missing": result.missing_content,
    }


@action("note")
def journal_note(context: ActionContext, request: RecordNote) -> dict[str, Any]:
    """Journal what a command did, on behalf of the caller; the result holds the event's number (``seq``).

    ``request.about`` is cut to ``_MAX_OBJECT_LENGTH`` characters.

    Raises UsageError if ``request.action`` is not one of ``_NOTED_ACTIONS``, if the details hold a value that the
    journal cannot represent, if a detail that a person typed is not UTF-8 or has control characters, or if the
    details exceed ``_MAX_NOTE_BYTES`` as JSON. Nothing is journalled then.
    """
    if request.action not in _NOTED_ACTIONS:
        raise unknown_action_error(request.action)
    validation.check_new_details(request.details)
    details = _normalize_typed_details(request.details)
    if len(canonical_json(details)) > _MAX_NOTE_BYTES:
        raise UsageError(
            "The journal note is longer than {longest} bytes. Nothing was recorded. Use shorter texts.",
            longest=_MAX_NOTE_BYTES,
        )
    note = Draft(request.about[:_MAX_OBJECT_LENGTH], GivenDetails(_NOTED_ACTIONS[request.action], details))
    with context.archive.writing(context.lock_timeout) as writer:
        return {"seq": writer.append(note).seq}


def _normalize_typed_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a note's details, with the texts that a person typed in the form for the journal.

    Raises UsageError if such a text is not UTF-8 or contains control characters.
    """
    return {
        name: names.clean_typed_text(value, name)
        if name in _PERSON_TYPED_DETAILS and isinstance(value, str)
        else value
        for name, value in details.items()
    }
