"""The port to object storage: operations, values and errors.

The words are those of S3: an object has versions, a version may have a retention lock and a legal hold, and a
delete marker hides older versions without removing them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver.errors import StorageError


class BucketProblem(StorageError):
    """The bucket cannot be reached, or did not do as asked."""

    code = "bucket"


class RequestForbidden(Exception):
    """The bucket forbids the request: a lock is in force, or a right is missing."""


class ObjectMissing(Exception):
    """The bucket has no such version of the object."""


class TransferStopped(Exception):
    """:meth:`Bucket.stop_transfers` was called; the next sync sends the rest."""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """An entry of a listing: a version of an object, or a delete marker."""

    key: str
    version_id: str
    size: int
    is_newest: bool
    is_delete_marker: bool
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The bucket's own answer about a version of an object."""

    version_id: str
    size: int
    #: Hex digest that was given with the upload; empty if the bucket has none.
    sha256: str
    #: End of a lock in compliance mode. Other modes can be lifted, so they count as no lock: None.
    locked_until: datetime | None
    has_legal_hold: bool


class Bucket(ABC):
    """Objects below a prefix of a bucket; all keys are relative to the prefix.

    Every method may raise BucketProblem, and an implementation lets nothing else out but the errors named below
    and TransferStopped. All methods may be called from several threads.
    """

    @abstractmethod
    def upload(self, key: str, source: Path, sha256: str, locked_until: datetime | None) -> str:
        """Upload a file and return the version id.

        With ``locked_until`` the version is locked in compliance mode, and the lock is known to hold on return.
        """

    @abstractmethod
    def extend_lock(self, key: str, version_id: str, locked_until: datetime) -> None:
        """Move the end of a lock to a later time; an earlier time is refused by a bucket with object lock."""

    @abstractmethod
    def set_legal_hold(self, key: str, version_id: str, *, on: bool) -> None:
        """Place or lift the legal hold of a version."""

    @abstractmethod
    def object_info(self, key: str, version_id: str) -> ObjectInfo | None:
        """Ask the bucket about a version; return None if the version does not exist."""

    @abstractmethod
    def download(self, key: str, version_id: str) -> Iterator[bytes]:
        """Yield the bytes of a version.

        Raises ObjectMissing if the version does not exist, BucketProblem also if the bytes end early.
        """

    @abstractmethod
    def list_versions(self, prefix: str, after: str = "") -> Iterator[ObjectVersion]:
        """Yield versions and delete markers below ``prefix`` with keys behind ``after``.

        Ordered by key, then from the oldest to the newest.
        """

    @abstractmethod
    def delete_version(self, key: str, version_id: str) -> None:
        """Delete a version permanently.  Raises RequestForbidden while the version is locked."""

    @abstractmethod
    def is_versioned(self) -> bool:
        """Return True if the bucket keeps every version of an object."""

    @abstractmethod
    def has_object_lock(self) -> bool:
        """Return True if the bucket was created with object lock; False also if the bucket does not say."""

    @abstractmethod
    def try_to_break_lock(self, key: str, version_id: str, locked_until: datetime) -> dict[str, bool]:
        """Attack the lock of a probe in every known way.

        Returns each promise (a key of :data:`lock_probe.PROMISES`) with True if the bucket kept it.
        """

    @abstractmethod
    def stop_transfers(self) -> None:
        """End transfers at their next chunk with TransferStopped, now and later."""
