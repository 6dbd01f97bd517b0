"""Explain why a version, or the content of a version's material, is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from archiver.errors import NotFoundError
from archiver.model import Version
from archiver.retention.policy import (
    RetentionDecision,
    RetentionPolicy,
    RetentionReason,
    decide_content_retention,
    decide_retention,
)
from archiver.store import names
from archiver.store.index.queries import Index


@dataclass(frozen=True, slots=True)
class RetentionExplanation:
    """The explanation of how long a version or a content is kept."""

    decision: RetentionDecision
    #: Each version with the content and the reasons to keep that version; for the explanation of a version, only
    #: the version itself. All these reasons together are the reasons of the decision, in the same order.
    reasons_by_version: tuple[tuple[Version, tuple[RetentionReason, ...]], ...]

    @property
    def disposals(self) -> tuple[str, ...]:
        """The names of the disposals that deleted the content; empty while a version still has it."""
        disposal_names = [version.disposed for version, _ in self.reasons_by_version]
        return tuple(dict.fromkeys(filter(None, disposal_names))) if all(disposal_names) else ()


def explain_retention(
    index: Index, version: Version, material_path: str, policy: RetentionPolicy, now: datetime
) -> RetentionExplanation:
    """Explain how long ``version`` is kept or, with ``material_path``, the content of the material at this path.

    ``material_path`` is a readable path; empty for the version itself. Content is kept as long as any version that
    contains it, so a material may outlast its version. An empty folder has no content, and is kept as long as its
    version. ``now`` is the time by the compliance clock, the archive's own clock, which never runs backwards.

    Raises NotFoundError if the version has no such material.
    """
    if material_path:
        raw_path = names.name_from_text(material_path)
        materials = index.materials(version.submission, version.number)
        material = next((material for material in materials if material.path == raw_path), None)
        if material is None:
            raise NotFoundError(
                "{tag} contains no file {path}. To list its files, run: archiver show {tag!q}",
                tag=version.tag,
                path=material_path,
            )
        if material.sha256:
            holding_versions = index.versions_with_content(material.sha256)
            decision = decide_content_retention(holding_versions, policy, now)
            reasons_by_version = tuple(
                (holding_version, decide_retention(holding_version, policy, now).reasons)
                for holding_version in holding_versions
            )
            return RetentionExplanation(decision, reasons_by_version)
    decision = decide_retention(version, policy, now)
    return RetentionExplanation(decision, ((version, decision.reasons),))
