"""What a replica needs of a place that keeps objects: the port, its values and its errors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from archiver.errors import StorageProblem


class BucketProblem(StorageProblem):
    """The bucket cannot be reached, or does not do what it was asked."""


class Refused(Exception):
    """The bucket forbids it: the lock holds, or a right is missing."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One version of an object, as a listing tells it; ``is_marker``: it only hides the others."""

    key: str
    version: str
    size: int
    is_newest: bool
    is_marker: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Stored:
    """What the bucket says of one version of an object.

    ``locked_until`` counts only in compliance mode, which nobody can take back;
    ``sha256`` is the digest (hex) that was given with the upload, empty if the bucket keeps none.
    """

    version: str
    size: int
    sha256: str
    locked_until: datetime | None
    held: bool


class Bucket(ABC):
    """A place for objects below one prefix; all keys are relative to it.

    Every method raises BucketProblem where the bucket cannot be asked, and :class:`Refused` where it forbids.
    """

    @abstractmethod
    def put(self, key: str, source: Path, sha256: str, until: datetime | None) -> str:
        """Upload a file, locked (compliance) until then; returns its version once the lock is known to hold."""

    @abstractmethod
    def lock(self, key: str, version: str, until: datetime) -> None:
        """Move the lock's end, later only."""

    @abstractmethod
    def hold(self, key: str, version: str, *, on: bool) -> None:
        """Place or lift the legal hold."""

    @abstractmethod
    def head(self, key: str, version: str) -> Stored | None:
        """What is known of a version; None where there is none."""

    @abstractmethod
    def get(self, key: str, version: str) -> Iterator[bytes]:
        """Its bytes; raises BucketProblem also where they end early."""

    @abstractmethod
    def versions(self, prefix: str, after: str = "") -> Iterator[Listed]:
        """Every version and delete marker below ``prefix``, by key, the oldest first; behind the key ``after``."""

    @abstractmethod
    def delete(self, key: str, version: str) -> None:
        """Delete one version for good."""

    @abstractmethod
    def is_versioned(self) -> bool:
        """Whether the bucket keeps every version."""

    @abstractmethod
    def has_object_lock(self) -> bool:
        """Whether the bucket was made with object lock."""

    @abstractmethod
    def attack(self, key: str, version: str, until: datetime) -> dict[str, bool]:
        """Try to break every promise of the lock on a probe; promise -> whether it was kept."""

    @abstractmethod
    def stop(self) -> None:
        """End transfers at their next piece; safe from any thread."""
