"""Why something is kept: the decision for a version, or for one material's content."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from archiver.errors import NotFoundError
from archiver.model import Version
from archiver.retention.policy import Decision, Policy, decide, decide_content
from archiver.store import names
from archiver.store.index.queries import Index


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision, and every version whose content it is about."""

    decision: Decision
    holders: tuple[Version, ...]


def explain(index: Index, version: Version, path: str, policy: Policy, now: datetime) -> Explanation:
    """Explain ``version``, or with ``path`` (as shown) the content of one of its materials.

    Raises NotFoundError where the version has no such material.
    """
    holders = [version]
    if path:
        wanted = names.raw(path)
        materials = index.materials(version.submission, version.number)
        found = next((material for material in materials if material.path == wanted), None)
        if found is None:
            raise NotFoundError(
                "{tag} has no material {path}. See them with: archiver show {tag!q}", tag=version.tag, path=path
            )
        if found.sha256:
            holders = index.holding(found.sha256)
            return Explanation(decide_content(holders, policy, now), tuple(holders))
    return Explanation(decide(version, policy, now), tuple(holders))
