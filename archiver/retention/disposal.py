"""Disposal after retention: what may go, and the refusal of everything else."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from archiver.errors import ArchiverError, NotFound, RetentionRefused
from archiver.model import Version
from archiver.retention.policy import Policy, decide
from archiver.store.archive import Archive, Draft


def plan(
    archive: Archive, versions: Iterable[Version], policy: Policy, now: datetime, wait_seconds: float
) -> None:
    """Look for what may be disposed of.

    Raises RetentionRefused, with the earliest date on which anything could go.
    The refusal is journalled.
    """
    decided = [(version, decide(version, policy, now)) for version in versions]
    if not decided:
        raise NotFound("The archive holds no version yet, so there is nothing to plan.")
    version, decision = min(decided, key=lambda pair: pair[1].keep_until)
    names = ", ".join(version.tag for version, _ in decided[:3])
    refused = RetentionRefused(
        "Disposal of {names} is refused. {first} is kept until {until}{open}. Nothing was deleted. "
        "See why with: archiver explain {first}",
        names=names + (", ..." if len(decided) > 3 else ""),
        first=version.tag,
        until=decision.keep_until.date().isoformat(),
        open=decision.conditions,
    )
    _journal(archive, "dispose plan", refused, wait_seconds)
    raise refused


def refuse_without_plan(archive: Archive, identity: str, action: str, wait_seconds: float) -> None:
    """No approved plan allows it; raises RetentionRefused, journalled."""
    refused = RetentionRefused(
        "{action} {identity} is refused: no approved disposal plan of that name allows it. Nothing was "
        "deleted. See what may go, and when, with: archiver dispose plan",
        action=action,
        identity=identity,
    )
    _journal(archive, action, refused, wait_seconds)
    raise refused


def _journal(archive: Archive, action: str, refused: RetentionRefused, wait_seconds: float) -> None:
    try:
        with archive.writing(wait_seconds) as writer:
            writer.append(Draft("refuse", action, {"reason": str(refused)}))
    except ArchiverError:
        # Refused all the same; a reader without write access cannot journal it.
        return
