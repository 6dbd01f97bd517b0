"""What the report shows: facts gathered from the archive, ready for the template."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice
from typing import Any
from urllib.parse import quote

from archiver import clock
from archiver.audit.report_model import Facts, Presentation, VersionLine
from archiver.audit.timeline import LABEL, ROW, WIDTH, Mark, Timeline, timeline
from archiver.documents.reader import Reader
from archiver.errors import Phrase
from archiver.filings.due.deadlines import Due, deadlines
from archiver.filings.expected_materials import compared
from archiver.filings.register import FIELDS, Filing, register
from archiver.filings.submission_kinds import kind_of
from archiver.filings.version_differences import TextChange, compare, texts
from archiver.model import ACTIONS, Change, Event, Version
from archiver.retention.policy import Policy
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
        "filing-set",
        "notice",
        "notice-answer",
        "change-question",
        "change-decision",
        "display-check",
        "reminder",
        "policy",
        "key-rotate",
        "key-replace",
        "key-backup",
        "adopt",
        "watch-path",
        "recover",
        "repository-settings",
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


#: Why nothing of a path may be shown; None: it may.
Hidden = Callable[[bytes], Phrase | None]


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
    texts: list[TextChange]


@dataclass(frozen=True, slots=True)
class FilingView:
    """One filing."""

    name: str
    live: bool
    sheet: Filing
    dues: list[Due]
    submissions: list[SubmissionView]
    differences: list[Difference]
    timeline: Timeline


class PackageReport:
    """Makes the report of one package: self-contained, no script, no network, both languages.

    ``hidden`` tells of what path nothing of its content may be shown.
    """

    def __init__(
        self, archive: Archive, policy: Policy, presentation: Presentation, hidden: Hidden, reader: Reader
    ) -> None:
        self._archive = archive
        self._policy = policy
        self._presentation = presentation
        self._hidden = hidden
        self._reader = reader

    def render(
        self, lines: Sequence[VersionLine], events: Sequence[Event], coverage: Mapping[str, Any], facts: Facts
    ) -> str:
        """The whole page."""
        head = events[-1]
        logged = [event for event in events if event.action in _LOGGED or event.action not in ACTIONS]
        index = self._archive.index
        page: str = self._template().render(
            lang=self._presentation.opens,
            archive=index.archive_id,
            head=head,
            zone=self._policy.zones[0].key,
            policy=self._policy,
            filings=self._filings(lines, events),
            lines=lines,
            submitted=sum(len(line.version.submitted) for line in lines),
            actions=Counter(event.action for event in events),
            actors=Counter(event.actor["user"] or str(event.actor["uid"]) for event in events),
            log=logged[-_LONGEST_LOG:][::-1],
            log_left_out=max(0, len(logged) - _LONGEST_LOG),
            holds=index.holds(lifted=True),
            disposals=index.disposals(),
            token=index.last_token(),
            checkpoint=index.last_checkpoint(),
            drill=next((event for event in reversed(events) if event.action == "drill"), None),
            coverage=coverage,
            facts=facts,
            width=WIDTH,
            label=LABEL,
            row=ROW,
            fields=FIELDS,
            today=clock.parse(head.at).astimezone(self._policy.zones[0]).date(),
        )
        return page

    def _template(self) -> Any:
        from archiver.templating import template

        zone = self._policy.zones[0]
        return template(
            "archiver.audit",
            "report.html.j2",
            local=lambda at: clock.parse(at).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
            href=quote,
            shown=lambda raw: names.screen(names.text(raw)),
            size=_size,
            chinese=self._chinese,
        )

    def _chinese(self, text: Phrase | str) -> str:
        return self._presentation.chinese(text if isinstance(text, Phrase) else Phrase(text))

    def _filings(self, lines: Sequence[VersionLine], events: Sequence[Event]) -> list[FilingView]:
        known = register(self._archive.index.life())
        grouped: dict[str, dict[str, list[VersionLine]]] = defaultdict(lambda: defaultdict(list))
        for line in lines:
            grouped[line.version.submission.filing][line.version.submission.name].append(line)
        return [
            self._filing(known.get(filing) or Filing(filing), submissions, events)
            for filing, submissions in sorted(grouped.items())
        ]

    def _filing(
        self, sheet: Filing, submissions: Mapping[str, list[VersionLine]], events: Sequence[Event]
    ) -> FilingView:
        return FilingView(
            sheet.name,
            any(each[-1].version.live for each in submissions.values()),
            sheet,
            deadlines([sheet]),
            [self._submission(name, each) for name, each in sorted(submissions.items())],
            self._differences([line.version for each in submissions.values() for line in each]),
            _timeline(sheet, submissions, events),
        )

    def _submission(self, name: str, lines: list[VersionLine]) -> SubmissionView:
        newest = lines[-1]
        kind = next(
            (line.version.submitted[-1].kind for line in reversed(lines) if line.version.submitted),
            kind_of(newest.version.submission.folder),
        )
        there = [material.path for material in newest.materials if material.sha256]
        return SubmissionView(name, kind, lines[::-1], compared(kind, there, self._presentation.expected))

    def _differences(self, versions: Sequence[Version]) -> list[Difference]:
        """Between each handing-in and the one before, by the time at which they were recorded."""
        handed_in = sorted(
            ((each.at, each.tag, version) for version in versions for each in version.submitted),
            key=lambda item: item[:2],
        )
        found = []
        for (_, old_tag, old), (_, new_tag, new) in zip(handed_in, handed_in[1:], strict=False):
            changes = compare(self._archive.index, old, new)
            more = max(0, len(changes) - _MOST_CHANGES)
            found.append(
                Difference(old_tag, new_tag, changes[:_MOST_CHANGES], more, self._texts(old, new, changes))
            )
        return found

    def _texts(self, old: Version, new: Version, changes: Sequence[Change]) -> list[TextChange]:
        if old.disposed or new.disposed:
            return []
        shown = [change for change in changes if not self._hidden(change.path)]
        found = texts(self._archive.index, self._archive.content, self._reader, old, shown)
        return list(islice(found, _MOST_TEXTS))


def _size(number: int) -> str:
    amount = float(number)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return ""


def _timeline(sheet: Filing, submissions: Mapping[str, list[VersionLine]], events: Sequence[Event]) -> Timeline:
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
    ours = [event for event in events if event.action == "filing-end" and event.object == sheet.name]
    sealed = [event for event in events if event.action in ("checkpoint", "timestamp")]
    told = [Mark("notice", _noon(each.received), f"{each.kind} {each.document}") for each in sheet.notices]
    rows.append(
        ("", [*told, *(Mark("end", _at(e.at), e.object) for e in ours), *(_checkpoint(e) for e in sealed)])
    )
    return timeline(rows, _at(events[-1].at))


def _checkpoint(event: Event) -> Mark:
    return Mark(event.action, _at(event.at), event.object)


def _noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


def _at(stamp: str) -> datetime:
    return clock.parse(stamp)
