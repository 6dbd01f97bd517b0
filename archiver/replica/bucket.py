"""The port to object storage: the operations on a bucket, and their values and errors.

The terms are those of S3. An object has versions. A version may have a retention lock and a legal hold. A delete
marker hides older versions without removing them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver.errors import StorageError


class BucketProblem(StorageError):
    """The bucket cannot be reached, refuses a request, or sends an invalid reply."""

    code = "bucket"


class RequestForbidden(Exception):
    """The bucket forbids the request, because of a lock or because the access key lacks the permission."""


class ObjectMissing(Exception):
    """The bucket has no such version of the object."""


class TransferStopped(Exception):
    """The transfer was ended because the service stops. The next sync sends the remaining objects."""


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """An entry of a listing: a version of an object, or a delete marker."""

    #: Relative to the prefix of the archive's objects.
    key: str
    version_id: str
    #: In bytes; 0 for a delete marker.
    size: int
    is_newest: bool
    is_delete_marker: bool
    #: When the bucket received the version (UTC). Some servers report whole seconds only.
    modified_at: datetime


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """The properties of a version of an object, as the bucket reports them."""

    version_id: str
    #: In bytes.
    size: int
    #: The hex digest that the uploader stored with the object. Empty if the bucket has no such digest.
    sha256: str
    #: The end of a lock in compliance mode (UTC). None without a lock, and for a lock in another mode, which can
    #: be lifted and so protects nothing.
    locked_until: datetime | None
    has_legal_hold: bool


class Bucket(ABC):
    """The objects below a prefix of a bucket. All keys are relative to the prefix.

    Every method may raise BucketProblem, and :meth:`upload` and :meth:`download` may raise TransferStopped. An
    implementation raises no other errors than these and the ones named in the docstrings below.

    All methods may be called from several threads at once.
    """

    @abstractmethod
    def upload(self, key: str, source: Path, sha256: str, locked_until: datetime | None) -> str:
        """Upload a file and return the id of the new version.

        ``sha256`` is the hex digest of the file and is stored with the object. The version is locked in compliance
        mode through ``locked_until``, or gets no lock if that is None.

        Raises BucketProblem if the bucket turns out to ignore the lock.
        """

    @abstractmethod
    def extend_lock(self, key: str, version_id: str, locked_until: datetime) -> None:
        """Move the end of a lock to ``locked_until``, or lock a version that has no lock.

        Raises BucketProblem if the present lock ends later, because object lock lets nobody shorten a lock.
        """

    @abstractmethod
    def set_legal_hold(self, key: str, version_id: str, *, is_held: bool) -> None:
        """Place a legal hold on a version if ``is_held``, otherwise lift the version's hold."""

    @abstractmethod
    def object_info(self, key: str, version_id: str) -> ObjectInfo | None:
        """Request the properties of a version from the bucket. Return None if the version does not exist."""

    @abstractmethod
    def download(self, key: str, version_id: str) -> Iterator[bytes]:
        """Yield the content of a version in chunks. The request is sent when the first chunk is read.

        Raises ObjectMissing if the version does not exist, and BucketProblem if the content ends early.
        """

    @abstractmethod
    def list_versions(self, prefix: str, after_key: str = "") -> Iterator[ObjectVersion]:
        """Yield the versions and delete markers whose keys begin with ``prefix``, in the order of their keys.

        Only keys that sort after ``after_key`` are listed, or all keys if it is empty. The entries of a key are
        ordered from the oldest to the newest.
        """

    @abstractmethod
    def delete_version(self, key: str, version_id: str) -> None:
        """Delete a version permanently. Raises RequestForbidden while the version is locked."""

    @abstractmethod
    def is_versioned(self) -> bool:
        """Return True if the bucket keeps every version of an object."""

    @abstractmethod
    def has_object_lock(self) -> bool:
        """Return True if object lock is enabled for the bucket, False if not or if the request fails."""

    @abstractmethod
    def try_to_break_lock(self, key: str, version_id: str, locked_until: datetime) -> dict[str, bool]:
        """Try every known way to delete a locked probe, a test object, and to weaken its lock.

        ``locked_until`` is the present end of the lock. Returns a dict by promise (a key of
        :data:`lock_probe.PROMISES`): True if the bucket kept the promise by refusing the attack. A successful
        attack may leave the probe deleted or unlocked. If an attack suspends versioning, versioning is enabled
        again.
        """

    @abstractmethod
    def stop_transfers(self) -> None:
        """Make all transfers, present and future, raise TransferStopped at the next chunk. Return at once."""
