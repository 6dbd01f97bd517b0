"""Gather the content of ``report.html`` and render the page: no script, no network, both languages."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice, pairwise
from typing import Any
from urllib.parse import quote

from archiver import clock
from archiver.audit.report_model import ExportCounts, Presentation, VersionLine
from archiver.audit.timeline import (
    LABEL_WIDTH,
    PICTURE_WIDTH,
    ROW_HEIGHT,
    Timeline,
    TimelineMark,
    lay_out_timeline,
)
from archiver.documents.document import PROBLEMS
from archiver.documents.reader import DocumentReader
from archiver.errors import LazyMessage
from archiver.filings import code_names
from archiver.filings.due.deadlines import Deadline, deadlines
from archiver.filings.expected_materials import find_expected
from archiver.filings.register import Filing, register
from archiver.filings.submission_kinds import kind_from_folder
from archiver.filings.version_differences import TextChange, compare_versions, text_changes
from archiver.model import Change, Event, Version
from archiver.retention.policy import Policy
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.event_kinds import ACTIONS, Action

#: Actions of the access log: who looked, took, was refused, or destroyed something.
_LOGGED_ACTIONS = frozenset(
    [
        Action.EXPORT,
        Action.RESTORE,
        Action.REFUSE,
        Action.DRILL,
        Action.HOLD,
        Action.LIFT,
        Action.SUBMIT,
        Action.FILING_END,
        Action.FILING_SET,
        Action.NOTICE,
        Action.NOTICE_ANSWER,
        Action.CHANGE_QUESTION,
        Action.CHANGE_DECISION,
        Action.DISPLAY_CHECK,
        Action.REMINDER,
        Action.POLICY,
        Action.KEY_ROTATE,
        Action.KEY_REPLACE,
        Action.KEY_BACKUP,
        Action.ADOPT,
        Action.WATCH_PATH,
        Action.RECOVER,
        Action.REPOSITORY_SETTINGS,
        Action.PROTECT,
        Action.DISPOSE_PLAN,
        Action.DISPOSE_APPROVE,
        Action.DISPOSE_BEGIN,
        Action.DISPOSE_CERTIFY,
    ]
)
#: A browser still scrolls through so many rows; the whole journal lies beside the report.
_MAX_LOG_ENTRIES = 2000
#: Of one comparison. More, and nobody reads them; the lists of both versions lie beside the report.
_MAX_CHANGES = 500
#: Of one comparison: each comparison of texts opens two documents in a child process, and delays the export.
_MAX_TEXT_CHANGES = 20


#: Returns why the content at a path must not be shown; None if it may be.
OmissionReason = Callable[[bytes], LazyMessage | None]


@dataclass(frozen=True, slots=True)
class SubmissionSection:
    """The section of a submission in the report."""

    name: str
    kind: str
    versions: list[VersionLine]  # newest first
    expected: list[tuple[str, list[str]]]  # expected material -> the materials that may be it


@dataclass(frozen=True, slots=True)
class SubmissionDifference:
    """The changes between two consecutive submissions to the regulator."""

    old: str  # tags of the two submissions
    new: str
    changes: list[Change]
    omitted_count: int  # changes beyond those that are listed
    text_changes: list[TextChange]


@dataclass(frozen=True, slots=True)
class FilingSection:
    """The section of a filing in the report."""

    name: str
    is_live: bool
    sheet: Filing
    dues: list[Deadline]
    submissions: list[SubmissionSection]
    differences: list[SubmissionDifference]
    timeline: Timeline


class PackageReport:
    """Render the report of a package from the archive and from the counts of the package's writer."""

    def __init__(
        self,
        archive: Archive,
        policy: Policy,
        presentation: Presentation,
        omission_reason: OmissionReason,
        reader: DocumentReader,
    ) -> None:
        self._archive = archive
        self._policy = policy
        self._presentation = presentation
        self._omission_reason = omission_reason
        self._reader = reader

    def render(
        self,
        lines: Sequence[VersionLine],
        events: Sequence[Event],
        coverage: Mapping[str, Any],
        counts: ExportCounts,
    ) -> str:
        """Return the whole page.

        ``lines``: the versions of the package, oldest first; ``events``: the whole journal.  Depends on no clock
        but the journal's, so that the same archive gives the same page.
        """
        newest_event = events[-1]
        # An action that this release does not know may be one of those, so it is listed too.
        log_entries = [event for event in events if event.action in _LOGGED_ACTIONS or event.action not in ACTIONS]
        archive_index = self._archive.index
        page: str = self._template().render(
            lang=self._presentation.opening_language,
            archive=archive_index.archive_id,
            head=newest_event,
            zone=self._policy.zones[0].key,
            policy=self._policy,
            filings=self._filing_sections(lines, events),
            lines=lines,
            submitted=sum(len(line.version.submitted) for line in lines),
            actions=Counter(event.action for event in events),
            actors=Counter(event.actor["user"] or str(event.actor["uid"]) for event in events),
            log=log_entries[-_MAX_LOG_ENTRIES:][::-1],
            log_left_out=max(0, len(log_entries) - _MAX_LOG_ENTRIES),
            holds=archive_index.holds(lifted=True),
            disposals=archive_index.disposals(),
            token=archive_index.last_token(),
            checkpoint=archive_index.last_checkpoint(),
            drill=next((event for event in reversed(events) if event.action == Action.DRILL), None),
            coverage=coverage,
            counts=counts,
            width=PICTURE_WIDTH,
            label=LABEL_WIDTH,
            row=ROW_HEIGHT,
            words=code_names,
            document_problems=PROBLEMS,
            today=clock.parse(newest_event.at).astimezone(self._policy.zones[0]).date(),
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
            size=_format_size,
            chinese=self._presentation.to_chinese,
            called=code_names.word_for,
        )

    def _filing_sections(self, lines: Sequence[VersionLine], events: Sequence[Event]) -> list[FilingSection]:
        sheets = register(self._archive.index.life())
        lines_by_filing: dict[str, dict[str, list[VersionLine]]] = defaultdict(lambda: defaultdict(list))
        for line in lines:
            lines_by_filing[line.version.submission.filing][line.version.submission.name].append(line)
        return [
            self._filing_section(sheets.get(filing) or Filing(filing), lines_by_submission, events)
            for filing, lines_by_submission in sorted(lines_by_filing.items())
        ]

    def _filing_section(
        self, sheet: Filing, lines_by_submission: Mapping[str, list[VersionLine]], events: Sequence[Event]
    ) -> FilingSection:
        return FilingSection(
            sheet.name,
            any(lines[-1].version.live for lines in lines_by_submission.values()),
            sheet,
            deadlines([sheet]),
            [self._submission_section(name, lines) for name, lines in sorted(lines_by_submission.items())],
            self._compare_submissions([line.version for lines in lines_by_submission.values() for line in lines]),
            _filing_timeline(sheet, lines_by_submission, events),
        )

    def _submission_section(self, name: str, lines: list[VersionLine]) -> SubmissionSection:
        """Describe a submission; the kind comes from the last submission to the regulator, or from the folder."""
        newest_line = lines[-1]
        submission_kind = next(
            (line.version.submitted[-1].kind for line in reversed(lines) if line.version.submitted),
            kind_from_folder(newest_line.version.submission.folder),
        )
        material_paths = [material.path for material in newest_line.materials if material.sha256]
        return SubmissionSection(
            name,
            submission_kind,
            lines[::-1],
            find_expected(submission_kind, material_paths, self._presentation.expected_materials),
        )

    def _compare_submissions(self, versions: Sequence[Version]) -> list[SubmissionDifference]:
        """Compare every submission to the regulator with the previous submission, in order of recording.

        The order is that of the journal, not of the days that people entered: days can be corrected later.
        """
        submissions = sorted(
            ((record, version) for version in versions for record in version.submitted),
            key=lambda pair: (pair[0].at, pair[0].tag),
        )
        differences = []
        for (old_record, old_version), (new_record, new_version) in pairwise(submissions):
            changes = compare_versions(self._archive.index, old_version, new_version)
            differences.append(
                SubmissionDifference(
                    old_record.tag,
                    new_record.tag,
                    changes[:_MAX_CHANGES],
                    max(0, len(changes) - _MAX_CHANGES),
                    self._text_changes(old_version, new_version, changes),
                )
            )
        return differences

    def _text_changes(
        self, old_version: Version, new_version: Version, changes: Sequence[Change]
    ) -> list[TextChange]:
        if old_version.disposed or new_version.disposed:
            return []
        shown_changes = [change for change in changes if not self._omission_reason(change.path)]
        comparisons = text_changes(
            self._archive.index, self._archive.content, self._reader, old_version, shown_changes
        )
        return list(islice(comparisons, _MAX_TEXT_CHANGES))


def _format_size(byte_count: int) -> str:
    shown_amount = float(byte_count)
    for unit_name in ("B", "KB", "MB", "GB"):
        if shown_amount < 1000 or unit_name == "GB":
            return f"{shown_amount:.0f} {unit_name}" if unit_name == "B" else f"{shown_amount:.1f} {unit_name}"
        shown_amount /= 1000
    return ""


def _filing_timeline(
    sheet: Filing, lines_by_submission: Mapping[str, list[VersionLine]], events: Sequence[Event]
) -> Timeline:
    """Draw a row for each submission, and a last row for the whole filing."""
    labelled_marks: list[tuple[str, list[TimelineMark]]] = []
    for name, lines in sorted(lines_by_submission.items()):
        submission_marks = [
            TimelineMark("version", _time_of(line.version.captured_at), line.version.tag) for line in lines
        ]
        submission_marks += [
            TimelineMark("submitted", _time_of(record.at), f"{record.tag} {record.on}")
            for line in lines
            for record in line.version.submitted
        ]
        submission_marks += [
            TimelineMark(
                "hold",
                _time_of(hold.placed),
                f"{hold.name}: {hold.reason}",
                _time_of(hold.lifted) if hold.lifted else None,
            )
            for hold in lines[-1].version.holds
        ]
        labelled_marks.append((name, submission_marks))
    filing_marks = [
        TimelineMark("notice", _noon_in_china(notice.received), f"{notice.kind} {notice.document}")
        for notice in sheet.notices
    ]
    filing_marks += [
        TimelineMark("end", _time_of(event.at), event.object)
        for event in events
        if event.action == Action.FILING_END and event.object == sheet.name
    ]
    filing_marks += [
        TimelineMark(event.action, _time_of(event.at), event.object)
        for event in events
        if event.action in (Action.CHECKPOINT, Action.TIMESTAMP)
    ]
    labelled_marks.append(("", filing_marks))
    return lay_out_timeline(labelled_marks, _time_of(events[-1].at))


def _noon_in_china(day: date) -> datetime:
    # A notice has a day and no hour; noon keeps its mark on that day in either time zone.
    return datetime(day.year, day.month, day.day, 4, tzinfo=UTC)


def _time_of(stamp: str) -> datetime:
    return clock.parse(stamp)
