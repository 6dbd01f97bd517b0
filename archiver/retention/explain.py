"""Explain why something is kept: the decision for a version, or for the content of one material."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from archiver.errors import NotFoundError
from archiver.model import Version
from archiver.retention.policy import Decision, Policy, decide, decide_content
from archiver.store import names
from archiver.store.index.queries import Index


@dataclass(frozen=True, slots=True)
class RetentionExplanation:
    """A decision, and all versions with the content in question."""

    decision: Decision
    holders: tuple[Version, ...]


def explain_retention(
    index: Index, version: Version, path_text: str, policy: Policy, now: datetime
) -> RetentionExplanation:
    """Explain how long ``version`` is kept, or the content at ``path_text``, a path as people read it, if given.

    Content lasts as long as the strictest version with it, so a material may outlast its version. ``now`` is the
    time by the compliance clock.

    Raises NotFoundError if the version has no such material.
    """
    if path_text:
        path = names.raw(path_text)
        materials = index.materials(version.submission, version.number)
        material = next((material for material in materials if material.path == path), None)
        if material is None:
            raise NotFoundError(
                "{tag} has no material {path}. See them with: archiver show {tag!q}",
                tag=version.tag,
                path=path_text,
            )
        if material.sha256:
            holders = index.holding(material.sha256)
            return RetentionExplanation(decide_content(holders, policy, now), tuple(holders))
    return RetentionExplanation(decide(version, policy, now), (version,))
