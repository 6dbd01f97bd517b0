"""Events of the archive itself: its creation and format, promises, keys, settings, replica, losses, records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from archiver.store.events.attached_files import ROOTS_FILE, SIGNERS_FILE, AttachedFile
from archiver.store.events.event_details import (
    MAX_LISTING_LENGTH,
    EventDetails,
    act_member,
    checked_member,
    filing_member,
    noted_member,
)
from archiver.store.events.event_kinds import Action
from archiver.store.events.value_kinds import (
    ANYTHING,
    BUCKET_URL,
    ENDPOINT,
    FLAG,
    INTEGER,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXTS,
    TIMEZONE,
    YEARS_BY_SCOPE,
    nullable,
)

_YEARS = "minimum retention of everything in years"
_SCOPES = "minimum retention in years by scope, a filing's folder or FILING/SUBMISSION"
_TIMEZONE = "time zone in which the days of retention periods end"
_HOLD_WHILE_LIVE = "whether everything is retained while its filing is live"
_WATCH_PATH = "path of the watched folder as readable text"
_PUBLIC_KEY = "the new public key, as its line in `allowed_signers`"
_REASON = "reason, as a person gave it"
_KEY_REASON = "reason, only in format 1; format 2 has the event before, `key-reason`"
_FEATURES = "features of the format that a program may lack and still"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPromise(EventDetails):
    """The retention promised by an event; base class of the three kinds of such events."""

    retention_years: int = field(metadata=checked_member(INTEGER, _YEARS))
    scopes: Mapping[str, int] | None = field(
        default=None, metadata=checked_member(YEARS_BY_SCOPE, _SCOPES, optional=True)
    )
    timezone: str | None = field(default=None, metadata=checked_member(TIMEZONE, _TIMEZONE, optional=True))
    hold_while_live: bool | None = field(
        default=None, metadata=noted_member(FLAG, _HOLD_WHILE_LIVE, optional=True)
    )

    @property
    def years_by_scope(self) -> dict[str, int]:
        """Return the promised years by scope; the scope ``""`` stands for the whole archive."""
        return {"": self.retention_years, **(self.scopes or {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveCreated(RetentionPromise):
    """Written once, as the first event, when `archiver init` creates the archive."""

    action: ClassVar = Action.INIT
    object_meaning: ClassVar = "`archive`"
    attached_files: ClassVar = (
        AttachedFile(SIGNERS_FILE, "the first signing key, as `ssh-keygen -Y verify` takes it", is_required=True),
        AttachedFile(ROOTS_FILE, "certificates (PEM) of the timestamp authority, pinned permanently"),
    )
    layout: str = field(
        metadata=checked_member(TEXT, "meaning of the folder levels, such as `{filing}/{submission}`")
    )
    watch: str | None = field(default=None, metadata=checked_member(TEXT, _WATCH_PATH, optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatStated(EventDetails):
    """Written when an archive is created, and when `archiver upgrade` moves it to another format."""

    action: ClassVar = Action.FORMAT
    object_meaning: ClassVar = "`archive`"
    attached_files: ClassVar = (
        AttachedFile(SIGNERS_FILE, "only of an upgrade: every key so far, the last one for signed heads as well"),
    )
    number: int = field(metadata=checked_member(INTEGER, "number of the format of this event and of later ones"))
    optional_features: Sequence[str] = field(metadata=checked_member(TEXTS, f"{_FEATURES} write", name="optional"))
    writing_features: Sequence[str] = field(
        metadata=checked_member(
            TEXTS, "features without which a program only reads the archive", name="needed_to_write"
        )
    )
    reading_features: Sequence[str] = field(
        metadata=checked_member(
            TEXTS, "features without which a program does not open the archive", name="needed_to_read"
        )
    )
    release: str = field(metadata=checked_member(TEXT, "oldest release with all these features"))


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierEventsCounted(EventDetails):
    """Written by `archiver upgrade` for each filing, to count its events of format 1, which belong to no chain."""

    action: ClassVar = Action.EARLIER_EVENTS
    object_meaning: ClassVar = "name of the filing, as in refs"
    count: int = field(metadata=checked_member(INTEGER, "number of events of format 1 about the filing"))
    salt: str = field(metadata=checked_member(TEXT, "128 random bits in hexadecimal"))
    digest: str = field(
        metadata=checked_member(
            TEXT,
            "`sha256:` and the SHA-256 of the salt's 16 bytes and then the `event.json` of each, oldest first",
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAdopted(RetentionPromise):
    """Written when `archiver init --adopt` creates an archive from a mirror clone and the keys."""

    action: ClassVar = Action.ADOPT
    object_meaning: ClassVar = "`archive`"
    watch: str | None = field(default=None, metadata=checked_member(TEXT, _WATCH_PATH, optional=True))
    layout: str | None = field(
        default=None,
        metadata=noted_member(
            TEXT, "meaning of the folder levels; the one in the `init` event applies", optional=True
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPromised(RetentionPromise):
    """Written when a person accepts a longer retention, and by `init` for the retention in its settings.

    Promises never shrink. The longest retention ever journalled for a scope applies, and every journalled time
    zone counts.
    """

    action: ClassVar = Action.POLICY
    object_meaning: ClassVar = "`retention`"
    filing: str | None = filing_member()
    act: str | None = act_member()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCreated(EventDetails):
    """Written when `archiver replica init` has tested a bucket and claimed a prefix in it."""

    action: ClassVar = Action.REPLICA_INIT
    object_meaning: ClassVar = "`replica`"
    url: str = field(metadata=checked_member(BUCKET_URL, "bucket and prefix of the replica"))
    #: Any value is accepted, and its truth value counts, because early releases did not check this member.
    lock: bool = field(metadata=checked_member(ANYTHING, "whether the bucket locks its objects (true or false)"))
    endpoint: str | None = field(
        default=None, metadata=checked_member(ENDPOINT, "URL of the S3 server, empty for AWS", optional=True)
    )
    region: str | None = field(default=None, metadata=checked_member(TEXT, "region of the bucket", optional=True))
    style: str | None = field(
        default=None,
        metadata=checked_member(TEXT, "addressing of buckets: `auto`, `path` or `virtual`", optional=True),
    )
    promises: Mapping[str, bool] | None = field(
        default=None,
        metadata=noted_member(OBJECT, "promise of the bucket -> whether a test confirmed it", optional=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReplaced(EventDetails):
    """Written when the repository's settings or hooks were restored, one event for each reason."""

    action: ClassVar = Action.REPOSITORY_SETTINGS
    object_meaning: ClassVar = "`archive.git`"
    replaced: Sequence[str] = field(metadata=noted_member(TEXTS, "files of `archive.git` that were restored"))
    reason: str = field(
        metadata=noted_member(TEXT, "reason: from an earlier release, from git-lfs, missing or foreign")
    )
    found: Mapping[str, str | None] = field(
        metadata=noted_member(OBJECT, "file -> SHA-256 of its previous content, null if it could not be read")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossAccepted(EventDetails):
    """Written when `archiver reindex --accept` continues after a loss; lists all that is known to be lost."""

    action: ClassVar = Action.RECOVER
    max_details_length: ClassVar = MAX_LISTING_LENGTH
    object_meaning: ClassVar = "`archive`"
    last_event: int = field(metadata=noted_member(INTEGER, "number of the last intact event"))
    problem: str | None = field(
        metadata=noted_member(nullable(TEXT), "description of what contradicted the journal")
    )
    lost_events: int = field(
        metadata=noted_member(INTEGER, "number of events known to be missing; more may be missing")
    )
    lost_versions: Sequence[Mapping[str, Any]] = field(
        metadata=noted_member(OBJECTS, "versions known only from databases or refs: `tag` and `captured_at`")
    )
    lost_records: Sequence[Mapping[str, Any]] = field(
        metadata=noted_member(OBJECTS, "other events known only from databases: `action`, `object` and `at`")
    )
    lost_refs: Mapping[str, str | None] = field(
        metadata=noted_member(OBJECT, "unknown ref -> name under which it is kept, null if its object is missing")
    )
    restored_refs: Sequence[str] = field(
        metadata=noted_member(TEXTS, "refs that were reset to their object in the journal")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(EventDetails):
    """Written when a new signing key takes over: the old key signs the head of this event."""

    action: ClassVar = Action.KEY_ROTATE
    object_meaning: ClassVar = "`key`; in format 1 the name of the signed tag, `_checkpoints/key-<seq>`"
    attached_files: ClassVar = (
        AttachedFile(SIGNERS_FILE, "every key so far, one per line; the last one signs", is_required=True),
    )
    public: str = field(metadata=noted_member(TEXT, _PUBLIC_KEY))
    reason: str | None = field(default=None, metadata=noted_member(TEXT, _KEY_REASON, optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReplaced(EventDetails):
    """Written when a new signing key replaces a lost key: the new key signs the head of this event."""

    action: ClassVar = Action.KEY_REPLACE
    object_meaning: ClassVar = "`key`"
    attached_files: ClassVar = KeyRotated.attached_files
    public: str = field(metadata=noted_member(TEXT, _PUBLIC_KEY))
    reason: str | None = field(default=None, metadata=noted_member(TEXT, _KEY_REASON, optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReasonGiven(EventDetails):
    """Written just before the event of a new signing key, which is in every package and so has no free text."""

    action: ClassVar = Action.KEY_REASON
    object_meaning: ClassVar = "`key`"
    reason: str = field(metadata=checked_member(TEXT, _REASON, typed=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBackedUp(EventDetails):
    """Written when `archiver key backup` has copied the signing key."""

    action: ClassVar = Action.KEY_BACKUP
    object_meaning: ClassVar = "`key`"
    target: str = field(metadata=noted_member(TEXT, "folder of the copy"))


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAdded(EventDetails):
    """Written for a record without effect on the archive; a record of an unknown kind is shown unchanged."""

    action: ClassVar = Action.RECORD
    object_meaning: ClassVar = "subject of the record"
    kind: str = field(metadata=checked_member(TEXT, "kind of the record"))
    version: int = field(metadata=checked_member(INTEGER, "version of the kind's fields"))
    fields: Mapping[str, Any] = field(metadata=checked_member(OBJECT, "fields of this kind"))
    links: Sequence[Mapping[str, Any]] | None = field(
        default=None,
        metadata=checked_member(OBJECTS, "events, paths and digests that the record is about", optional=True),
    )
    filing: str | None = filing_member()
    act: str | None = act_member()
