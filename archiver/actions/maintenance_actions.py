"""Maintain the archive itself: packing, replication, restore drills, and notes in the journal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.registry import action, unknown_action_error
from archiver.actions.request_fields import Argument, Request, TextRule
from archiver.errors import UsageError
from archiver.restore import drill
from archiver.retention import file_restriction
from archiver.retention.policy import accepted_policy
from archiver.store import maintenance, names
from archiver.store.events import validation
from archiver.store.events.canonical_json import encode_canonical
from archiver.store.events.event_details import FILING_MEMBER, GivenDetails
from archiver.store.events.evidence_events import ContentProtected, PackageExported, VersionsRestored
from archiver.store.resolve import find_filing
from archiver.store.writing.drafts import Draft

#: The most bytes of a note's details as JSON. With a lower limit, a restore of thousands of versions could not be
#: journalled, because the note names each version. With a higher limit, one note could slow down every reader.
_MAX_NOTE_BYTES = 1 << 20
#: The most characters of the ``object`` of a note's event. A longer list of tags is cut; the details hold all.
_MAX_OBJECT_LENGTH = 500
#: With a higher limit, a drill takes longer than a caller waits for the daemon.
_MAX_DRILL_FILES = 100_000
#: Name on the wire -> the kind of event that a note may journal. No other kinds are allowed, because the daemon
#: journals notes for callers who may not write to the archive.
_NOTE_ACTION_BY_NAME = {
    str(details_class.action): details_class.action
    for details_class in (VersionsRestored, PackageExported, ContentProtected)
}
#: Members of a note's details that hold a text typed by a person. All other members hold texts of the program, or
#: names of folders and versions, which must not be altered.
_TYPED_MEMBERS = frozenset({"recipient", "reason"})
#: Members of a note's details that list names of filings, submissions or versions.
_NAME_LIST_MEMBERS = frozenset({"versions", "filings", "submissions"})
#: The member of a note's details that ties the events of one note together. A value from the caller is dropped.
_ACT_MEMBER = "act"


@dataclass(frozen=True, slots=True, kw_only=True)
class PackRepository(Request):
    """A request to pack the git repository."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncReplica(Request):
    """A request to replicate to the bucket."""

    #: True: new content is not held back.
    ends_grace_period: Annotated[bool | None, Argument("now", is_omitted_when_empty=True)] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRestoreDrill(Request):
    """A request for a restore drill."""

    #: How many files to restore; limited to 1 through ``_MAX_DRILL_FILES``.
    file_count: Annotated[int, Argument("files")]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordNote(Request):
    """A request to journal a *note*: an event about a command that ran without writing to the journal."""

    #: The kind of the event: ``restore``, ``export`` or ``protect``.
    action: Annotated[str, Argument("what", TextRule.LOOKED_UP)]
    #: The event's ``object``, such as the tags of restored versions.
    about: Annotated[str, Argument("about", TextRule.LOOKED_UP)]
    details: Annotated[Mapping[str, Any], Argument("details")]
    #: The filings that the note is about; there is an event for each. None or empty: the note is about no filing.
    filings: Annotated[
        tuple[str, ...] | None, Argument("filings", TextRule.LOOKED_UP, is_omitted_when_empty=True)
    ] = None


@action("drill")
def run_restore_drill(context: ActionContext, request: RunRestoreDrill) -> dict[str, Any]:
    """Restore a random sample to a scratch folder, compare every byte, and journal the outcome.

    ``request.file_count`` is limited to 1 through ``_MAX_DRILL_FILES``.

    Returns ``versions``, the sorted tags of the versions in the sample, and ``files`` and ``bytes``, the number
    and the total size of the restored files.

    Raises StorageError if a restored file differs from the archived file; the outcome is journalled first.
    """
    file_count = min(max(request.file_count, 1), _MAX_DRILL_FILES)
    drill_result = drill.run_drill(context.archive, file_count, context.lock_timeout)
    return {
        "versions": sorted(drill_result.version_tags),
        "files": drill_result.file_count,
        "bytes": drill_result.byte_count,
    }


@action("maintain")
def pack_repository(context: ActionContext, _: PackRepository) -> dict[str, Any]:
    """Move loose git objects into packs, and merge small packs.

    Also enforces restrictions again: after a crash or a copy of the archive, restricted content may be readable.

    Returns ``objects``, the number of packed objects; ``packs``, the decrease in the number of packs; and
    ``open``, the SHA-256 of each restricted content that others can still read.

    Raises Busy if another process keeps writing, and StorageError if git cannot write. An object is removed only
    after its copy is on disk, so an interruption loses nothing.
    """
    packing_result = maintenance.maintain(context.archive, context.lock_timeout)
    open_digests = file_restriction.enforce_restrictions(context.archive)
    return {"objects": packing_result.objects, "packs": packing_result.packs, "open": open_digests}


@action("replica-sync")
def sync_replica(context: ActionContext, request: SyncReplica) -> dict[str, Any]:
    """Upload everything that the bucket lacks, extend the locks, and delete the disposed content.

    Returns ``done``, a summary for people; ``sent`` and ``bytes``, the number and the total size of the uploads;
    ``holds`` and ``deleted``, the numbers of changed holds and deleted objects; ``extended``, the extended locks;
    ``locked``, the content objects that should be deleted but are still locked (``restricted`` is True for a
    restricted file, and absent after a disposal); ``missing``, the SHA-256 of each content that both the archive
    and the bucket lack; and ``held_back``, the new content that was not sent yet: the number of ``objects``, their
    ``bytes``, and ``until``, when the last of them will be sent. Every ``until`` is RFC 3339 in UTC.

    Raises NotFoundError if the archive has no replica, ConfigError if boto3 or the credentials are missing, and
    StorageError if the bucket fails. After a failure, completed uploads stay recorded and are not repeated.
    """
    # Imported here because boto3 takes longer to load than any other action takes to run.
    from archiver.replica import connect
    from archiver.replica.sync_result import held_back_to_json

    archive = context.archive
    with connect.open_replica(archive, context.config) as replica:
        # A lock is never shortened, so it lasts only as long as the retention that was accepted.
        policy = accepted_policy(context.config, archive.index.retention_promises())
        sync_result = connect.sync_replica(
            archive,
            replica,
            policy,
            context.lock_timeout,
            ends_grace_period=bool(request.ends_grace_period),
            progress=context.report_progress,
        )
    return {
        "done": sync_result.describe(),
        "sent": sync_result.sent_count,
        "bytes": sync_result.sent_bytes,
        "holds": sync_result.changed_holds,
        "deleted": sync_result.deleted_count,
        "extended": [
            {"object": object_key, "until": clock.format_time(locked_until)}
            for object_key, locked_until in sorted(sync_result.extended_locks)
        ],
        "locked": [
            {"sha256": sha256, "until": clock.format_time(locked_until)}
            | ({"restricted": True} if is_restricted else {})
            for sha256, locked_until, is_restricted in sorted(sync_result.still_locked)
        ],
        "missing": sync_result.missing_content,
        "held_back": held_back_to_json(sync_result.held_back),
    }


@action("note")
def journal_note(context: ActionContext, request: RecordNote) -> dict[str, Any]:
    """Journal a note on behalf of the caller; return the number of the note's first event (``seq``).

    ``request.about`` is cut to ``_MAX_OBJECT_LENGTH`` characters.

    Raises UsageError if ``request.action`` is not a key of ``_NOTE_ACTION_BY_NAME``, if the details have a value
    that the journal cannot represent, if a text that a person typed is not UTF-8 or contains control characters,
    or if the details of all events together exceed ``_MAX_NOTE_BYTES`` as JSON. Raises NotFoundError for an
    unknown filing, because its event would begin a new chain of events. Nothing is journalled then.
    """
    if request.action not in _NOTE_ACTION_BY_NAME:
        raise unknown_action_error(request.action)
    validation.check_new_details(request.details)
    normalized_details = _normalize_typed_details(request.details)
    filing_names = dict.fromkeys(find_filing(context.archive, name) for name in request.filings or ())
    event_details = list(_split_by_filing(normalized_details, [*filing_names])) or [normalized_details]
    # The sum is checked, because each event repeats all details that are not split by filing.
    if sum(len(encode_canonical(details)) for details in event_details) > _MAX_NOTE_BYTES:
        raise UsageError(
            "The journal note is longer than {longest} bytes. Nothing was recorded. Use shorter texts.",
            longest=_MAX_NOTE_BYTES,
        )
    note_action = _NOTE_ACTION_BY_NAME[request.action]
    about = request.about[:_MAX_OBJECT_LENGTH]
    notes = [
        Draft(_name_filing_object(about, details) if filing_names else about, GivenDetails(note_action, details))
        for details in event_details
    ]
    with context.archive.writing(context.lock_timeout) as writer:
        return {"seq": writer.write_batch(notes)[0].seq}


def _split_by_filing(details: Mapping[str, Any], filing_names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the details for the event of each filing; lists of names keep only the names of that filing.

    If there are several filings, the details of all of them get the same random id as ``_ACT_MEMBER``.
    """
    act_id = secrets.token_hex(16) if len(filing_names) > 1 else None
    for filing_name in filing_names:
        # Each listed name, such as FILING/SUBMISSION/v1, begins with the name of its filing.
        filing_details = {
            name: [listed_name for listed_name in value if str(listed_name).split("/", 1)[0] == filing_name]
            if name in _NAME_LIST_MEMBERS and isinstance(value, list)
            else value
            for name, value in details.items()
        }
        yield filing_details | {FILING_MEMBER: filing_name} | ({_ACT_MEMBER: act_id} if act_id else {})


def _name_filing_object(about: str, filing_note: Mapping[str, Any]) -> str:
    """Return the ``object`` for the event of one filing: the versions in its note, or ``about`` without any."""
    tags = filing_note.get("versions")
    return ", ".join(map(str, tags))[:_MAX_OBJECT_LENGTH] if isinstance(tags, list) and tags else about


def _normalize_typed_details(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a note's details, in which the texts that a person typed have the form for the journal.

    The copy lacks the members that place an event in a filing's chain: only ``RecordNote.filings`` names filings.
    Raises UsageError if a typed text is not UTF-8 or contains control characters.
    """
    return {
        detail_name: names.clean_typed_text(detail_value, detail_name)
        if detail_name in _TYPED_MEMBERS and isinstance(detail_value, str)
        else detail_value
        for detail_name, detail_value in details.items()
        if detail_name not in (FILING_MEMBER, _ACT_MEMBER)
    }
