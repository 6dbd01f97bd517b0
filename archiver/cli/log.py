"""``archiver log``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import click

from archiver.cli.correction_text import (
    corrections_to_json,
    print_corrections,
    print_submission_corrections,
    record_to_json,
)
from archiver.cli.open_point_text import recorded_points_to_dict
from archiver.cli.parameters import ObjectName, json_option
from archiver.cli.restriction_text import print_restriction
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archiver.clock import WallClockMark
    from archiver.model import SubmissionRecord, Version
    from archiver.retention.policy import RetentionDecision
    from archiver.store.archive import Archive
    from archiver.store.index.restrictions import Restriction


@command("List versions, newest first.")
@click.argument("filing_or_submission", type=ObjectName(), required=False, metavar="[FILING[/SUBMISSION]]")
@click.option(
    "--records", "lists_records", is_flag=True, help="List the filing's records that archiver correct can correct."
)
@json_option
def log_command(session: Session, filing_or_submission: str | None, lists_records: bool, as_json: bool) -> None:
    """Print the versions of a submission, of a filing or of the whole archive, and how long each is retained.

    With ``lists_records``, prints the records of the filing instead, with their corrections.  Raises NotFoundError
    if ``filing_or_submission`` is not the name of a filing or a submission.
    """
    from archiver.retention.policy import decide_retention
    from archiver.store.index.overview import clock_marks_by_tag
    from archiver.store.index.restrictions import restricted_files

    archive = session.open_archive()
    scope = _find_scope(archive, filing_or_submission)
    if lists_records:
        _list_records(session, archive, scope.filing_name, as_json)
        return
    versions = archive.index.versions(scope.filing_name, scope.submission_name)
    compliance_time = archive.compliance_time()
    policy = session.read_retention_policy(archive)
    version_decisions = [(version, decide_retention(version, policy, compliance_time)) for version in versions]
    mark_by_tag = clock_marks_by_tag(archive.index)
    restrictions_by_tag = restricted_files(archive.index)
    if as_json:
        files_by_tag = _collect_files_by_tag(archive, scope)
        version_documents = [
            _version_to_dict(version, decision, files_by_tag, mark_by_tag)
            | _restrictions_to_dict(restrictions_by_tag.get(version.tag, ()))
            for version, decision in version_decisions
        ]
        session.console.print_json(version_documents)
    elif not version_decisions:
        session.console.info("There are no versions yet. To capture files, run: archiver run")
    else:
        _print_versions(session, version_decisions, mark_by_tag)
        _print_restrictions(session, [version.tag for version in versions], restrictions_by_tag)


def _print_restrictions(
    session: Session, tags: Sequence[str], restrictions_by_tag: Mapping[str, Sequence[Restriction]]
) -> None:
    """Print a line for each restriction of a file in the versions with ``tags``, without repetitions."""
    restrictions = {restriction for tag in tags for restriction in restrictions_by_tag.get(tag, ())}
    for restriction in sorted(restrictions):
        print_restriction(session, restriction)


def _print_versions(
    session: Session,
    version_decisions: Sequence[tuple[Version, RetentionDecision]],
    mark_by_tag: Mapping[str, WallClockMark],
) -> None:
    """Print the versions as a table in the given order, each with the decision on its retention.

    A plus sign after the last day means that a condition without a date keeps the version, too.  A duration with a
    minus sign means that the wall clock was behind by that duration.  Lines below the table explain both.
    """
    from archiver.cli.durations import describe_duration

    console = session.console
    version_rows = [
        (
            version.tag,
            console.translate(
                LazyMessage(
                    "{time} [-{size}]",
                    time=session.format_time(version.captured_at),
                    size=describe_duration(mark_by_tag[version.tag].seconds),
                )
            )
            if version.tag in mark_by_tag
            else session.format_time(version.captured_at),
            version.files,
            console.translate(_describe_change_counts(version)),
            " ".join(submission_record.on for submission_record in version.valid_submissions) or "-",
            console.translate(_describe_end(version, decision)),
        )
        for version, decision in version_decisions
    ]
    console.print_table(
        (
            LazyMessage("Version"),
            LazyMessage("Captured"),
            LazyMessage("Files"),
            LazyMessage("Changes"),
            LazyMessage("Submitted"),
            LazyMessage("Retained through"),
        ),
        version_rows,
    )
    if any(decision.open_conditions for _, decision in version_decisions):
        console.info(
            "+ at least; longer while the filing is live, while the version is the latest of its submission "
            "folder and has files, or while a hold is in force"
        )
    if any(version.tag in mark_by_tag for version, _ in version_decisions):
        console.info(
            "[-] the system clock was behind by this much: behind the previous journal event, or behind the "
            "compliance clock. Order and retention do not depend on it"
        )
    for version, _ in version_decisions:
        print_submission_corrections(console, version)


def _list_records(session: Session, archive: Archive, filing_name: str | None, as_json: bool) -> None:
    """Print the correctable records of a filing (None: of all filings), oldest first, with all corrections."""
    from archiver.filings.code_names import RECORD_NAMES, name_for_code
    from archiver.filings.record_corrections import field_name, format_value
    from archiver.store.events.corrections import CORRECTABLE_MEMBERS, correctable_values

    console = session.console
    records = [event for event in archive.index.life_events(filing_name) if event.action in CORRECTABLE_MEMBERS]
    if as_json:
        console.print_json([record_to_json(record) for record in records])
        return
    if not records:
        console.info("There are no records yet.")
    for record in records:
        values = correctable_values(record.action, record.details)
        console.info(
            "Event {seq}, {at}, {filing}, {kind}{void}: {fields}",
            seq=record.seq,
            at=session.format_time(record.at),
            filing=record.filing,
            kind=name_for_code(record.action, RECORD_NAMES),
            void=LazyMessage(", void") if record.is_void else "",
            fields=console.join(f"{field_name(name)}={format_value(value)}" for name, value in values.items()),
        )
        print_corrections(console, record.seq, record.action, record.corrections)


def _describe_end(version: Version, decision: RetentionDecision) -> LazyMessage:
    """Return the last day of retention for people, or the name of the disposal if the version was disposed of."""
    if version.disposed:
        return LazyMessage("disposed of in {disposal}", disposal=version.disposed)
    return LazyMessage(
        "{day}{plus}", day=decision.keep_until.date().isoformat(), plus="+" if decision.open_conditions else ""
    )


def _describe_change_counts(version: Version) -> LazyMessage:
    """Return a phrase with the numbers of materials that differ from the previous version."""
    return LazyMessage(
        "{added} added, {modified} modified, {deleted} deleted",
        added=version.added,
        modified=version.modified,
        deleted=version.deleted,
    )


class _VersionScope(NamedTuple):
    """The versions to list: all those of a submission, of a filing, or of the whole archive."""

    filing_name: str | None  # None: all filings
    submission_name: str | None  # None: all submissions of the filing


def _find_scope(archive: Archive, filing_or_submission: str | None) -> _VersionScope:
    """Return the scope that the user named as FILING or FILING/SUBMISSION, or the whole archive for None.

    Raises NotFoundError if the filing or the submission does not exist.
    """
    from archiver.store import resolve

    if filing_or_submission is None:
        return _VersionScope(None, None)
    if "/" in filing_or_submission:
        submission = resolve.find_submission(archive, filing_or_submission)
        return _VersionScope(submission.filing, submission.name)
    return _VersionScope(resolve.find_filing(archive, filing_or_submission), None)


def _corrections_to_dict(submission_record: SubmissionRecord) -> dict[str, Any]:
    """Return the members ``seq``, ``void`` and ``corrections`` of a submission; empty without corrections."""
    if not submission_record.corrections:
        return {}
    return {
        "seq": submission_record.seq,
        "void": submission_record.is_void,
        "corrections": corrections_to_json(submission_record.corrections),
    }


def _collect_files_by_tag(archive: Archive, scope: _VersionScope) -> dict[str, list[dict[str, Any]]]:
    """Return the files about each submission in ``scope``, as dicts for ``--json``, by the signed tag."""
    from archiver.store.index.submission_files import list_submission_files

    files_by_tag: dict[str, list[dict[str, Any]]] = {}
    for file in list_submission_files(archive.index, scope.filing_name):
        files_by_tag.setdefault(file.submission_tag, []).append(file.as_json())
    return files_by_tag


def _restrictions_to_dict(restrictions: Sequence[Restriction]) -> dict[str, Any]:
    """Return a dict with the member ``restricted`` of a version; empty without restricted files."""
    return {"restricted": [restriction.as_json() for restriction in restrictions]} if restrictions else {}


def _version_to_dict(
    version: Version,
    decision: RetentionDecision,
    files_by_tag: Mapping[str, list[dict[str, Any]]],
    mark_by_tag: Mapping[str, WallClockMark],
) -> dict[str, Any]:
    """Convert a version and the decision on its retention to a dict for ``--json``.

    Only a submission in ``files_by_tag``, which has files about submissions, has the member ``about``.  Only a
    version or a submission in ``mark_by_tag``, at which the wall clock was behind, has the member ``clock_mark``.
    The keys must never change.  Times are ISO 8601.
    """
    return {
        "tag": version.tag,
        "filing": version.submission.filing,
        "submission": version.submission.name,
        "version": version.number,
        "captured_at": version.captured_at,
        "commit": version.commit,
        "files": version.files,
        "bytes": version.bytes,
        "added": version.added,
        "modified": version.modified,
        "deleted": version.deleted,
        "submitted": [
            {
                "tag": submission_record.tag,
                "on": submission_record.on,
                "kind": submission_record.kind,
                "number": submission_record.number,
            }
            | ({"reason": submission_record.reason} if submission_record.reason else {})
            | ({"about": files_by_tag[submission_record.tag]} if submission_record.tag in files_by_tag else {})
            | recorded_points_to_dict(submission_record)
            | _mark_to_dict(submission_record.tag, mark_by_tag)
            | _corrections_to_dict(submission_record)
            for submission_record in version.submitted
        ],
        "keep_until": decision.keep_until.isoformat(),
        "open": [str(condition) for condition in decision.open_conditions],
        "open_codes": [condition.code for condition in decision.open_conditions],
    } | _mark_to_dict(version.tag, mark_by_tag)


def _mark_to_dict(tag: str, mark_by_tag: Mapping[str, WallClockMark]) -> dict[str, Any]:
    """Return a dict with the member ``clock_mark`` of a tag; empty if the wall clock was not behind."""
    return {"clock_mark": mark_by_tag[tag].as_json()} if tag in mark_by_tag else {}
