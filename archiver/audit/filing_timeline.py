"""Collect the marks on the timeline of a filing, which the report shows as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from archiver import clock
from archiver.audit.report_model import VersionLine
from archiver.audit.timeline import MarkRow, Timeline, TimelineMark, lay_out_timeline
from archiver.filings.register import Filing
from archiver.model import Event
from archiver.naming.ref_names import RefName
from archiver.store.events.event_kinds import Action

#: China is 8 hours ahead of UTC all year.
_NOON_IN_CHINA_UTC_HOUR = 4


def build_filing_timeline(
    filing: Filing, lines_by_submission: Mapping[RefName, list[VersionLine]], events: Sequence[Event]
) -> Timeline:
    """Return the timeline of a filing: a row for each submission, then a row for the whole filing.

    ``lines_by_submission`` maps the name of each submission to the submission's versions, oldest first.
    ``events`` is the whole journal, oldest first, and not empty.  The timeline reaches at least to the newest
    event.
    """
    mark_rows = [
        MarkRow(submission_name.for_people, _make_submission_marks(version_lines))
        for submission_name, version_lines in sorted(lines_by_submission.items())
    ]
    mark_rows.append(MarkRow("", _make_filing_marks(filing, events)))
    return lay_out_timeline(mark_rows, clock.parse_time(events[-1].at))


def _make_submission_marks(version_lines: Sequence[VersionLine]) -> list[TimelineMark]:
    """Return the marks of a submission: the versions, the submissions to the regulator, and the holds.

    ``version_lines`` are oldest first, and not empty.  The holds are those of the newest version.
    """
    version_marks = [
        TimelineMark("version", clock.parse_time(version.captured_at), version.tag.for_people)
        for version in (version_line.version for version_line in version_lines)
    ]
    submitted_marks = [
        TimelineMark("submitted", clock.parse_time(record.at), f"{record.tag.for_people} {record.on}")
        for version_line in version_lines
        for record in version_line.version.valid_submissions
    ]
    hold_marks = [
        TimelineMark(
            "hold",
            clock.parse_time(hold.placed),
            f"{hold.name}: {hold.reason}",
            clock.parse_time(hold.lifted) if hold.lifted else None,
        )
        for hold in version_lines[-1].version.holds
    ]
    return version_marks + submitted_marks + hold_marks


def _make_filing_marks(filing: Filing, events: Sequence[Event]) -> list[TimelineMark]:
    """Return the marks of a filing: notices, ends, corrections, and the archive's checkpoints and timestamps."""
    notice_marks = [
        TimelineMark("notice", _noon_in_china(notice.received_on), f"{notice.kind} {notice.document_number}")
        for notice in filing.notices
    ]
    void_seqs = {record.seq for record in filing.corrected_records if record.is_void}
    end_marks = [
        TimelineMark("end", clock.parse_time(event.at), event.object.for_people)
        for event in events
        if event.action == Action.FILING_END and event.object == filing.name and event.seq not in void_seqs
    ]
    correction_marks = [
        TimelineMark("correction", clock.parse_time(correction.at), f"{record.seq} ← {correction.seq}")
        for record in filing.corrected_records
        for correction in record.corrections
    ]
    proof_marks = [
        # The object tells these events apart only in the old journal format, in which an event has no chain.
        TimelineMark(event.action, clock.parse_time(event.at), f"{event.seq}" if event.chain else event.object)
        for event in events
        if event.action in (Action.CHECKPOINT, Action.TIMESTAMP)
    ]
    return notice_marks + end_marks + correction_marks + proof_marks


def _noon_in_china(day: date) -> datetime:
    """Return noon in China as the time of a mark that has only a day.  In UTC it is the same day."""
    return datetime(day.year, day.month, day.day, _NOON_IN_CHINA_UTC_HOUR, tzinfo=UTC)
