"""Explain why a version, or the content of one of its materials, is kept."""

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
    """The explanation of how long a version or a content is kept."""

    decision: Decision
    holders: tuple[Version, ...]  # all versions with the content; the version itself if no content was asked for


def explain_retention(
    index: Index, version: Version, path_text: str, policy: Policy, now: datetime
) -> RetentionExplanation:
    """Explain how long ``version`` is kept or, with ``path_text``, the content of its material at that path.

    ``path_text`` is a readable path; empty for the version itself. An empty folder has no content, so it is kept
    as long as the version. Content is kept as long as any version that holds it, so a material may outlast its
    version. ``now`` is the time by the compliance clock.

    Raises NotFoundError if the version has no such material.
    """
    if path_text:
        path = names.name_from_text(path_text)
        materials = index.materials(version.submission, version.number)
        material = next((material for material in materials if material.path == path), None)
        if material is None:
            raise NotFoundError(
                "{tag} has no material {path}. See them with: archiver show {tag!q}",
                tag=version.tag,
                path=path_text,
            )
        if material.sha256:
            holders = index.versions_with_content(material.sha256)
            return RetentionExplanation(decide_content(holders, policy, now), tuple(holders))
    return RetentionExplanation(decide(version, policy, now), (version,))
