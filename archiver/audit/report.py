"""Render ``report.html`` of an inspection package: one page in Chinese and English, without scripts."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, NamedTuple
from urllib.parse import quote

from archiver import clock
from archiver.audit.access_log import is_logged
from archiver.audit.clock_marks import find_clock_marks
from archiver.audit.filing_timeline import build_filing_timeline
from archiver.audit.report_model import ExportCounts, Presentation, VersionLine
from archiver.audit.timeline import LABEL_WIDTH, PICTURE_WIDTH, ROW_HEIGHT, Timeline
from archiver.documents.document import PROBLEMS
from archiver.documents.reader import DocumentReader
from archiver.errors import LazyMessage
from archiver.filings import code_names
from archiver.filings.check.open_points import read_points
from archiver.filings.due.deadlines import Deadline, compute_deadlines
from archiver.filings.expected_materials import ExpectedMaterial, find_expected
from archiver.filings.record_corrections import format_value
from archiver.filings.register import Filing, filings_from_events
from archiver.filings.submission_kinds import kind_from_folder
from archiver.filings.version_differences import TextChange, compare_submitted_versions, compare_texts
from archiver.model import Change, Event, SubmissionRecord, Version
from archiver.naming.ref_names import RefName
from archiver.retention.policy import RetentionPolicy
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.event_kinds import Action
from archiver.store.index.restrictions import Restriction, list_restrictions

#: Rows of the access log. With more, a browser becomes slow. The package contains the whole journal anyway.
_MAX_LOG_ENTRIES = 2000
#: Changes shown for one comparison. Nobody reads more, and the package lists the materials of both versions.
_MAX_CHANGES = 500
#: Documents of one comparison whose text is compared. Each one delays the export, since two documents are read.
_MAX_TEXT_CHANGES = 20


#: Returns the reason why the report must not show a material's content, given the path as bytes. Returns None
#: if the content may be shown.
OmissionReason = Callable[[bytes], LazyMessage | None]


@dataclass(frozen=True, slots=True)
class SubmissionSection:
    """The section of a submission in the report."""

    name: RefName
    kind: str  # the code of the kind of submission
    version_lines: list[VersionLine]  # newest first
    expected_materials: list[ExpectedMaterial]


@dataclass(frozen=True, slots=True)
class SubmissionDifference:
    """The changes between two consecutive submissions to the regulator."""

    old_tag: RefName  # the signed tags of the two submissions
    new_tag: RefName
    changes: list[Change]  # at most _MAX_CHANGES, sorted by path
    omitted_count: int  # the number of further changes
    text_changes: list[TextChange]  # at most _MAX_TEXT_CHANGES


@dataclass(frozen=True, slots=True)
class FilingSection:
    """The section of a filing in the report."""

    name: RefName
    is_live: bool  # the filing has not ended
    filing: Filing  # the records about the filing
    deadlines: list[Deadline]
    submissions: list[SubmissionSection]  # by name
    differences: list[SubmissionDifference]  # in the order of recording
    timeline: Timeline


class _SubmittedVersion(NamedTuple):
    """A version, and the record of a submission of this version to the regulator."""

    record: SubmissionRecord
    version: Version


class PackageReport:
    """Renders the report of an inspection package."""

    def __init__(
        self,
        archive: Archive,
        policy: RetentionPolicy,
        presentation: Presentation,
        omission_reason: OmissionReason,
        document_reader: DocumentReader,
    ) -> None:
        """Prepare a report on ``archive``.

        The text of a material is not shown if ``omission_reason`` returns a reason.  ``document_reader`` reads the
        documents to compare, and is closed by the caller.
        """
        self._archive = archive
        self._policy = policy
        self._presentation = presentation
        self._omission_reason = omission_reason
        self._document_reader = document_reader

    def render(
        self,
        version_lines: Sequence[VersionLine],
        events: Sequence[Event],
        coverage: Mapping[str, Any],
        counts: ExportCounts,
    ) -> str:
        """Return the page as HTML.

        ``version_lines`` are the versions of the package and ``events`` is the whole journal, both oldest first.
        ``events`` must not be empty.  ``coverage`` is the content of ``coverage.json``.

        The page has the date of the newest event, not the present date, so the same archive always gives the same
        page.
        """
        page: str = self._load_template().render(
            lang=self._presentation.opening_language,
            policy=self._policy,
            filings=self._build_filing_sections(version_lines, events),
            lines=version_lines,
            submitted=sum(len(version_line.version.valid_submissions) for version_line in version_lines),
            coverage=coverage,
            counts=counts,
            code_names=code_names,
            read_points=read_points,
            document_problems=PROBLEMS,
            width=PICTURE_WIDTH,
            label=LABEL_WIDTH,
            row=ROW_HEIGHT,
            restrictions=self._list_restrictions(version_lines),
            drill=next((event for event in reversed(events) if event.action == Action.DRILL), None),
            checkpoint=self._archive.index.last_checkpoint(),
            **self._build_journal_variables(events),
            **self._build_archive_variables(),
        )
        return page

    def _build_journal_variables(self, events: Sequence[Event]) -> dict[str, Any]:
        """Return the template's variables about the journal; ``events`` is the whole journal, and not empty."""
        newest_event = events[-1]
        log_entries = [event for event in events if is_logged(event)]
        return {
            "head": newest_event,
            "today": clock.parse_time(newest_event.at).astimezone(self._policy.time_zones[0]).date(),
            "clock_marks": find_clock_marks(events),
            "actions": Counter(event.action for event in events),
            "key_changes": sum(event.action in (Action.KEY_ROTATE, Action.KEY_REPLACE) for event in events),
            "actors": Counter(event.actor["user"] or str(event.actor["uid"]) for event in events),
            "log": log_entries[-_MAX_LOG_ENTRIES:][::-1],
            "log_left_out": max(0, len(log_entries) - _MAX_LOG_ENTRIES),
        }

    def _build_archive_variables(self) -> dict[str, Any]:
        """Return the template's variables about the archive."""
        archive_index = self._archive.index
        return {
            "archive": archive_index.archive_id,
            "zone": self._policy.time_zones[0].key,
            "holds": archive_index.holds(include_lifted=True),
            "disposals": archive_index.disposals(),
            "token": archive_index.last_token(),
        }

    def _list_restrictions(self, version_lines: Sequence[VersionLine]) -> list[Restriction]:
        """Return the restrictions of files in the package's filings, oldest first, including lifted ones."""
        filing_names = {version_line.version.submission.filing for version_line in version_lines}
        restrictions = list_restrictions(self._archive.index, include_lifted=True)
        return [restriction for restriction in restrictions if restriction.filing in filing_names]

    def _load_template(self) -> Any:
        """Load the template of the page, with the filters that the template uses."""
        from archiver.templating import template

        zone = self._policy.time_zones[0]
        return template(
            "archiver.audit",
            "report.html.j2",
            local=lambda time_text: clock.parse_time(time_text).astimezone(zone).strftime("%Y-%m-%d %H:%M:%S"),
            href=quote,
            shown=lambda raw_name: names.make_displayable(names.name_as_text(raw_name)),
            displayable=names.make_displayable,
            as_named=lambda ref_text: RefName(ref_text).for_people,
            size=_format_size,
            plain=format_value,
            chinese=self._presentation.to_chinese,
            called=code_names.name_for_code,
        )

    def _build_filing_sections(
        self, version_lines: Sequence[VersionLine], events: Sequence[Event]
    ) -> list[FilingSection]:
        """Return the sections of all filings with a version in the package, sorted by name."""
        filing_by_name = filings_from_events(self._archive.index.life_events())
        lines_by_filing: dict[RefName, dict[RefName, list[VersionLine]]] = defaultdict(lambda: defaultdict(list))
        for version_line in version_lines:
            submission = version_line.version.submission
            lines_by_filing[submission.filing][submission.name].append(version_line)
        return [
            # A filing without records of its own, only with versions, is not in the register.
            self._build_filing_section(
                filing_by_name.get(filing_name) or Filing(filing_name), lines_by_submission, events
            )
            for filing_name, lines_by_submission in sorted(lines_by_filing.items())
        ]

    def _build_filing_section(
        self, filing: Filing, lines_by_submission: Mapping[RefName, list[VersionLine]], events: Sequence[Event]
    ) -> FilingSection:
        """Return the section of a filing.

        ``lines_by_submission`` maps the name of each submission to the submission's versions, oldest first.
        """
        versions = [
            version_line.version
            for version_lines in lines_by_submission.values()
            for version_line in version_lines
        ]
        return FilingSection(
            name=filing.name,
            is_live=any(version_lines[-1].version.live for version_lines in lines_by_submission.values()),
            filing=filing,
            deadlines=compute_deadlines([filing]),
            submissions=[
                self._build_submission_section(submission_name, version_lines)
                for submission_name, version_lines in sorted(lines_by_submission.items())
            ],
            differences=self._compare_submissions(versions),
            timeline=build_filing_timeline(filing, lines_by_submission, events),
        )

    def _build_submission_section(
        self, submission_name: RefName, version_lines: list[VersionLine]
    ) -> SubmissionSection:
        """Return the section of a submission; ``version_lines`` are oldest first.

        The kind is that of the last submission of the newest submitted version.  If no version was submitted to
        the regulator, the folder's name decides.
        """
        newest_line = version_lines[-1]
        submission_kind = next(
            (
                version_line.version.valid_submissions[-1].kind
                for version_line in reversed(version_lines)
                if version_line.version.valid_submissions
            ),
            kind_from_folder(newest_line.version.submission.folder),
        )
        material_paths = [
            material.path for material in newest_line.materials if material.sha256 and not material.role
        ]
        return SubmissionSection(
            name=submission_name,
            kind=submission_kind,
            version_lines=version_lines[::-1],
            expected_materials=find_expected(
                submission_kind, material_paths, self._presentation.expected_materials
            ),
        )

    def _compare_submissions(self, versions: Sequence[Version]) -> list[SubmissionDifference]:
        """Compare each submission to the regulator, among ``versions``, with the submission before.

        The order is that of recording.  The days of submission that people entered do not decide the order,
        because these days can be corrected later.
        """
        submitted_versions = sorted(
            (_SubmittedVersion(record, version) for version in versions for record in version.valid_submissions),
            key=lambda submitted: (submitted.record.at, submitted.record.tag),
        )
        differences = []
        for (old_record, old_version), (new_record, new_version) in pairwise(submitted_versions):
            changes, _ = compare_submitted_versions(self._archive.index, old_version, new_version)
            differences.append(
                SubmissionDifference(
                    old_tag=old_record.tag,
                    new_tag=new_record.tag,
                    changes=changes[:_MAX_CHANGES],
                    omitted_count=max(0, len(changes) - _MAX_CHANGES),
                    text_changes=self._compare_first_documents(old_version, new_version, changes),
                )
            )
        return differences

    def _compare_first_documents(
        self, old_version: Version, new_version: Version, changes: Sequence[Change]
    ) -> list[TextChange]:
        """Compare the text of the first _MAX_TEXT_CHANGES changed documents.

        Skips materials that the report must not show.  Returns an empty list if either version was disposed of.
        """
        if old_version.disposed or new_version.disposed:
            return []
        shown_changes = [change for change in changes if not self._omission_reason(change.path)]
        comparisons = compare_texts(
            self._archive.index, self._archive.content, self._document_reader, old_version, shown_changes
        )
        return list(islice(comparisons, _MAX_TEXT_CHANGES))


def _format_size(byte_count: int) -> str:
    """Return a size with its unit in decimal steps, such as ``17 B`` or ``4.2 MB``; the largest unit is GB."""
    amount = float(byte_count)
    for unit_name in ("B", "KB", "MB", "GB"):
        if amount < 1000 or unit_name == "GB":
            return f"{amount:.0f} {unit_name}" if unit_name == "B" else f"{amount:.1f} {unit_name}"
        amount /= 1000
    return ""
