"""What the report shows: facts gathered from the archive, ready for the template."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

from archiver import clock
from archiver.audit.timeline import LABEL, ROW, WIDTH, Mark, Timeline, timeline
from archiver.errors import Phrase
from archiver.filings.differences import compare, texts
from archiver.filings.expected import EXPECTED, compared
from archiver.filings.kinds import kind_of
from archiver.model import Change, Event, Version
from archiver.retention.policy import Decision, Policy
from archiver.store import names
from archiver.store.archive import Archive

#: Events that tell who looked, took, refused or destroyed something.
_LOGGED = frozenset(
    [
        "export",
        "restore",
        "refuse",
        "drill",
        "hold",
        "lift",
        "submit",
        "filing-end",
        "policy",
        "key-rotate",
        "key-replace",
        "key-backup",
        "adopt",
        "protect",
        "dispose-plan",
        "dispose-approve",
        "dispose-begin",
        "dispose-certify",
    ]
)
_LONGEST_LOG = 2000
_MOST_CHANGES = 500
_MOST_TEXTS = 20


Hidden = Callable[[bytes], str]


@dataclass(frozen=True, slots=True)
class Language:
    """The language in which the report opens (zh, en), and what puts a phrase into Chinese."""

    opens: str
    chinese: Callable[[Phrase], str]


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
    """One version with its retention; its materials where they are listed, and their list in the package."""

    version: Version
    decision: Decision
    materials: list[MaterialLine]
    list_file: str


@dataclass(frozen=True, slots=True)
class SubmissionView:
    """One submission: its versions, newest first, and the expected materials that were found."""

    name: str
    kind: str
    versions: list[VersionLine]
    expected: list[tuple[str, list[str]]]


@dataclass(frozen=True, slots=True)
class Difference:
    """What changed between two handing-ins that follow one another."""

    old: str
    new: str
    changes: list[Change]
    more: int
    texts: list[tuple[Change, list[str], str]]


@dataclass(frozen=True, slots=True)
class FilingView:
    """One filing."""

    name: str
    live: bool
    submissions: list[SubmissionView]
    differences: list[Difference]
    timeline: Timeline


@dataclass(slots=True)
class Facts:
    """What the builder has counted on its way; ``pdf``: how many were read, by outcome."""

    files: int = 0
    bytes: int = 0
    pdf: Counter[str] = field(default_factory=Counter)


def render(
    archive: Archive,
    lines: Sequence[VersionLine],
    events: Sequence[Event],
    policy: Policy,
    coverage: Mapping[str, Any],
    facts: Facts,
    language: Language,
    hidden: Hidden,
) -> str:
    """The whole report: self-contained, no script, no network, both languages.

    ``hidden`` says of a path why nothing of its content may be shown; empty: it may.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("archiver.audit"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    zone = policy.zones[0]
    environment.filters["local"] = lambda stamp: clock.parse(stamp).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S")
    environment.filters["href"] = quote
    environment.filters["shown"] = lambda raw: names.screen(names.text(raw))
    environment.filters["size"] = _size
    environment.filters["chinese"] = lambda text: language.chinese(Phrase(text))
    head = events[-1]
    actions = Counter(event.action for event in events)
    logged = [event for event in events if event.action in _LOGGED]
    return environment.get_template("report.html.j2").render(
        lang=language.opens,
        archive=archive.index.archive_id,
        head=head,
        zone=zone.key,
        policy=policy,
        filings=_filings(archive, lines, events, hidden),
        lines=lines,
        submitted=sum(len(line.version.submitted) for line in lines),
        actions=actions,
        actors=Counter(event.actor["user"] or str(event.actor["uid"]) for event in events),
        log=logged[-_LONGEST_LOG:][::-1],
        log_left_out=max(0, len(logged) - _LONGEST_LOG),
        holds=archive.index.holds(lifted=True),
        disposals=archive.index.disposals(),
        token=archive.index.last_token(),
        checkpoint=archive.index.last_checkpoint(),
        drill=next((event for event in reversed(events) if event.action == "drill"), None),
        coverage=coverage,
        facts=facts,
        width=WIDTH,
        label=LABEL,
        row=ROW,
    )


def _size(number: int) -> str:
    amount = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return ""


def _filings(
    archive: Archive, lines: Sequence[VersionLine], events: Sequence[Event], hidden: Hidden
) -> list[FilingView]:
    grouped: dict[str, dict[str, list[VersionLine]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        grouped[line.version.submission.filing][line.version.submission.name].append(line)
    views = []
    for filing, submissions in sorted(grouped.items()):
        newest = {name: each[-1].version for name, each in submissions.items()}
        views.append(
            FilingView(
                filing,
                any(version.live for version in newest.values()),
                [_submission(name, each) for name, each in sorted(submissions.items())],
                _differences(archive, [line.version for each in submissions.values() for line in each], hidden),
                _timeline(filing, submissions, events),
            )
        )
    return views


def _submission(name: str, lines: list[VersionLine]) -> SubmissionView:
    newest = lines[-1]
    kind = next(
        (line.version.submitted[-1].kind for line in reversed(lines) if line.version.submitted),
        kind_of(newest.version.submission.folder),
    )
    there = [material.path for material in newest.materials if material.sha256]
    return SubmissionView(name, kind, lines[::-1], compared(kind, there, EXPECTED))


def _differences(archive: Archive, versions: Sequence[Version], hidden: Hidden) -> list[Difference]:
    """Between each handing-in and the one before, by the time at which they were recorded."""
    handed_in = sorted(
        ((each.at, each.tag, version) for version in versions for each in version.submitted),
        key=lambda item: item[:2],
    )
    found = []
    for (_, old_tag, old), (_, new_tag, new) in zip(handed_in, handed_in[1:], strict=False):
        changes = compare(archive.index, old, new)
        more = max(0, len(changes) - _MOST_CHANGES)
        compared_texts = list(_texts(archive, old, new, changes, hidden))
        found.append(Difference(old_tag, new_tag, changes[:_MOST_CHANGES], more, compared_texts))
    return found


def _texts(
    archive: Archive, old: Version, new: Version, changes: Sequence[Change], hidden: Hidden
) -> Iterator[tuple[Change, list[str], str]]:
    if not old.disposed and not new.disposed:
        shown = [change for change in changes if not hidden(change.path)]
        yield from islice(texts(archive.index, archive.content, old, shown), _MOST_TEXTS)


def _timeline(filing: str, submissions: Mapping[str, list[VersionLine]], events: Sequence[Event]) -> Timeline:
    rows: list[tuple[str, list[Mark]]] = []
    for name, lines in sorted(submissions.items()):
        marks = [Mark("version", _at(line.version.captured_at), line.version.tag) for line in lines]
        for line in lines:
            marks += [Mark("submitted", _at(each.at), f"{each.tag} {each.on}") for each in line.version.submitted]
        for line in lines[-1:]:
            marks += [
                Mark(
                    "hold",
                    _at(hold.placed),
                    f"{hold.name}: {hold.reason}",
                    _at(hold.lifted) if hold.lifted else None,
                )
                for hold in line.version.holds
            ]
        rows.append((name, marks))
    ours = [event for event in events if event.action == "filing-end" and event.object == filing]
    sealed = [event for event in events if event.action in ("checkpoint", "timestamp")]
    rows.append(("", [*(Mark("end", _at(e.at), e.object) for e in ours), *(_checkpoint(e) for e in sealed)]))
    return timeline(rows, _at(events[-1].at))


def _checkpoint(event: Event) -> Mark:
    return Mark(event.action, _at(event.at), event.object)


def _at(stamp: str) -> datetime:
    return clock.parse(stamp)
