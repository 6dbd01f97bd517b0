"""The durable steps of a version, by name: between any two of them the machine may die.

Each is announced as an audit event of Python's own (``sys.audit``), which costs
nothing when nobody listens.  The crash tests listen, and kill the process.
"""

from __future__ import annotations

import sys
from enum import StrEnum


class Step(StrEnum):
    """What has just been done, in the order of a capture; then what else cannot be taken back."""

    CONTENT_STAGED = "content staged"
    CONTENT_SYNCED = "content synced"
    CONTENT_NAMED = "content named"
    CONTENT_DURABLE = "content durable"
    GIT_OBJECTS_WRITTEN = "git objects written"
    GIT_OBJECTS_DURABLE = "git objects durable"
    REFS_MOVED = "refs moved"
    REFS_DURABLE = "refs durable"
    INDEX_UPDATED = "index updated"
    SNAPSHOT_SAVED = "snapshot saved"
    #: Of a disposal, after its event and before its certificate.
    CONTENT_DESTROYED = "content destroyed"
    #: Of housekeeping.
    OBJECTS_PACKED = "objects packed"
    REFS_PACKED = "refs packed"
    PACKS_MERGED = "packs merged"


def reached(step: Step) -> None:
    """Say that the step is done."""
    sys.audit("archiver.step", step.value)
