"""Events of the archive itself: its beginning, retention promises, keys, settings, replica and losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from archiver.store.events.attached_files import ROOTS_FILE, SIGNERS_FILE, AttachedFile
from archiver.store.events.event_details import EventDetails, checked, noted
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

_YEARS = "years that everything is kept at least"
_SCOPES = "years by scope: a filing's folder, or FILING/SUBMISSION"
_TIMEZONE = "time zone in which the days of periods end"
_LIVE = "whether nothing goes while its filing is live"
_WATCH = "path of the watched folder, readable"
_PUBLIC = "the new key, as its line in `allowed_signers`"
_WHY = "reason, as a person gave it"


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPromise(EventDetails):
    """Retention as promised from the event on: three kinds of events carry these members."""

    retention_years: int = field(metadata=checked(INTEGER, _YEARS))
    scopes: Mapping[str, int] | None = field(
        default=None, metadata=checked(YEARS_BY_SCOPE, _SCOPES, optional=True)
    )
    timezone: str | None = field(default=None, metadata=checked(TIMEZONE, _TIMEZONE, optional=True))
    hold_while_live: bool | None = field(default=None, metadata=noted(FLAG, _LIVE, optional=True))

    @property
    def years_by_scope(self) -> dict[str, int]:
        """Return the promised years by scope; the empty scope is everything."""
        return {"": self.retention_years, **(self.scopes or {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveCreated(RetentionPromise):
    """Written once, as the first event, when `archiver init` makes the archive."""

    action: ClassVar = Action.INIT
    about: ClassVar = "`archive`"
    attached: ClassVar = (
        AttachedFile(SIGNERS_FILE, "the first signing key, as `ssh-keygen -Y verify` takes it", is_required=True),
        AttachedFile(ROOTS_FILE, "certificates (PEM) of the time-stamp authority, pinned for good"),
    )
    layout: str = field(metadata=checked(TEXT, "what the folder levels mean, such as `{filing}/{submission}`"))
    watch: str | None = field(default=None, metadata=checked(TEXT, _WATCH, optional=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveAdopted(RetentionPromise):
    """Written when `archiver init --adopt` makes an archive of a mirror clone and the keys."""

    action: ClassVar = Action.ADOPT
    about: ClassVar = "`archive`"
    watch: str | None = field(default=None, metadata=checked(TEXT, _WATCH, optional=True))
    layout: str | None = field(
        default=None,
        metadata=noted(TEXT, "what the folder levels mean; `init` decides", optional=True),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetentionPromised(RetentionPromise):
    """Written when the daemon takes a configuration with longer promises than before.

    Promises only grow: of every scope the most years ever journalled count, and every time zone.
    """

    action: ClassVar = Action.POLICY
    about: ClassVar = "`retention`"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCreated(EventDetails):
    """Written when `archiver replica init` has tested a bucket and claimed a prefix in it."""

    action: ClassVar = Action.REPLICA_INIT
    about: ClassVar = "`replica`"
    url: str = field(metadata=checked(BUCKET_URL, "bucket and prefix of the replica"))
    #: Any value counts by its truth: nothing was asked of it when the first replicas were journalled.
    lock: bool = field(metadata=checked(ANYTHING, "whether the bucket locks its objects (true or false)"))
    endpoint: str | None = field(
        default=None, metadata=checked(ENDPOINT, "URL of the S3 server, empty for AWS", optional=True)
    )
    region: str | None = field(default=None, metadata=checked(TEXT, "region of the bucket", optional=True))
    style: str | None = field(
        default=None, metadata=checked(TEXT, "addressing of buckets: `auto`, `path` or `virtual`", optional=True)
    )
    promises: Mapping[str, bool] | None = field(
        default=None, metadata=noted(OBJECT, "promise -> whether trying it proved it", optional=True)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsReplaced(EventDetails):
    """Written when the repository's settings or hooks were put back, once for each reason."""

    action: ClassVar = Action.REPOSITORY_SETTINGS
    about: ClassVar = "`archive.git`"
    replaced: Sequence[str] = field(metadata=noted(TEXTS, "files of `archive.git` that were put back"))
    reason: str = field(metadata=noted(TEXT, "why: of an earlier release, of git-lfs, missing or foreign"))
    found: Mapping[str, str | None] = field(
        metadata=noted(OBJECT, "file -> SHA-256 of what stood there, null where nothing could be read")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LossAccepted(EventDetails):
    """Written when `archiver reindex --accept` continues after a loss; lists everything known to be lost."""

    action: ClassVar = Action.RECOVER
    about: ClassVar = "`archive`"
    last_event: int = field(metadata=noted(INTEGER, "number of the last event that is whole"))
    problem: str | None = field(metadata=noted(nullable(TEXT), "what contradicted the journal"))
    lost_events: int = field(metadata=noted(INTEGER, "how many events are known to be missing; more may be"))
    lost_versions: Sequence[Mapping[str, Any]] = field(
        metadata=noted(OBJECTS, "versions that only databases or refs knew: `tag` and `captured_at`")
    )
    lost_records: Sequence[Mapping[str, Any]] = field(
        metadata=noted(OBJECTS, "other events that only databases knew: `action`, `object` and `at`")
    )
    lost_refs: Mapping[str, str | None] = field(
        metadata=noted(OBJECT, "ref unknown to the journal -> the name that keeps it, null if it was empty")
    )
    restored_refs: Sequence[str] = field(metadata=noted(TEXTS, "refs that were set again as the journal has them"))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRotated(EventDetails):
    """Written when a new signing key takes over, endorsed by the old key with a signed tag."""

    action: ClassVar = Action.KEY_ROTATE
    about: ClassVar = "name of the signed tag, `_checkpoints/key-<seq>`"
    attached: ClassVar = (
        AttachedFile(SIGNERS_FILE, "every key so far, one a line; the last one signs", is_required=True),
    )
    public: str = field(metadata=noted(TEXT, _PUBLIC))
    reason: str = field(metadata=noted(TEXT, _WHY))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyReplaced(EventDetails):
    """Written when a new signing key takes the place of a lost key, without an endorsement."""

    action: ClassVar = Action.KEY_REPLACE
    about: ClassVar = "`key`"
    attached: ClassVar = KeyRotated.attached
    public: str = field(metadata=noted(TEXT, _PUBLIC))
    reason: str | None = field(metadata=noted(TEXT, _WHY))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBackedUp(EventDetails):
    """Written when `archiver key backup` has copied the signing key."""

    action: ClassVar = Action.KEY_BACKUP
    about: ClassVar = "`key`"
    target: str = field(metadata=noted(TEXT, "folder of the copy"))
