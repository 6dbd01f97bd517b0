"""Name the steps between which the machine may die, so crash tests can kill the process at each step.

A step is announced as an audit event of Python (``sys.audit``), which costs nothing without a listener.
"""

from __future__ import annotations

import sys
from enum import StrEnum


class Step(StrEnum):
    """A step just completed; the steps of a capture come first, in the order of execution."""

    CONTENT_STAGED = "content staged"
    CONTENT_SYNCED = "content synced"
    CONTENT_NAMED = "content named"
    CONTENT_DURABLE = "content durable"
    HEAD_SIGNED = "head signed"
    GIT_OBJECTS_WRITTEN = "git objects written"
    GIT_OBJECTS_DURABLE = "git objects durable"
    REFS_MOVED = "refs moved"
    REFS_DURABLE = "refs durable"
    INDEX_UPDATED = "index updated"
    SNAPSHOT_SAVED = "snapshot saved"
    # A disposal reaches this step after its event is written, and before its certificate is.
    CONTENT_DESTROYED = "content destroyed"
    # Maintenance reaches these steps.
    OBJECTS_PACKED = "objects packed"
    REFS_PACKED = "refs packed"
    PACKS_MERGED = "packs merged"


def announce_step(step: Step) -> None:
    """Announce to listeners of audit events that ``step`` is complete; a crash test may kill the process then."""
    sys.audit("archiver.step", step.value)
