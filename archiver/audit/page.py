"""The package's page: filings, submissions, versions and retention, in both languages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from archiver import clock
from archiver.model import Version
from archiver.retention.policy import Decision, Policy

_KINDS = {
    "subject": "主体 subject",
    "first": "首次 first",
    "correction": "补正 correction",
    "change": "变更 change",
    "deregistration": "注销 deregistration",
    "inspection": "抽查 inspection",
    "annual": "年度 annual",
    "other": "其他 other",
}


@dataclass(frozen=True, slots=True)
class MaterialLine:
    """One material of one version, and where the package holds it."""

    path: str
    sha256: str | None
    size: int
    mtime_ns: int
    file: str | None
    pages: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class VersionLine:
    """One version with its retention."""

    version: Version
    decision: Decision
    materials: list[MaterialLine]


def render(lines: Sequence[VersionLine], exported: str, policy: Policy) -> str:
    """The whole page: self-contained, no script, no network."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("archiver.audit"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters["local"] = lambda stamp: (
        clock.parse(stamp).astimezone(policy.zones[0]).strftime("%Y-%m-%d %H:%M:%S")
    )
    environment.filters["href"] = quote
    filings: dict[str, dict[str, list[VersionLine]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        filings[line.version.submission.filing][line.version.submission.name].append(line)
    ordered = {filing: dict(sorted(submissions.items())) for filing, submissions in sorted(filings.items())}
    template = environment.get_template("index.html.j2")
    return template.render(
        filings=ordered,
        kinds=_KINDS,
        exported=exported,
        zone=policy.zones[0].key,
        years=max(profile.years for profile in policy.scopes[""]),
        count=len(lines),
    )
