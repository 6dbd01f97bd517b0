"""``archiver show``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archiver.cli.correction_text import print_submission_corrections
from archiver.cli.open_point_text import print_recorded_points
from archiver.cli.parameters import ObjectName, json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archiver.cli.console import Console
    from archiver.clock import WallClockMark
    from archiver.model import Material, Version
    from archiver.store.index.submission_files import SubmissionFile

#: Digits of a SHA-256 to print in the table: enough for a person to compare, and few enough for the screen.
_DIGEST_DIGITS = 16


@command("List the files of a version.")
@click.argument("tag", type=ObjectName())
@json_option
def show_command(session: Session, tag: str, as_json: bool) -> None:
    """Print a version's materials: the files and the empty folders. Raises NotFoundError for an unknown tag."""
    from archiver.store.index.overview import clock_marks_by_tag
    from archiver.store.index.restrictions import place_of_material, restrictions_by_place
    from archiver.store.index.submission_files import files_of_version
    from archiver.store.resolve import find_version

    archive = session.open_archive()
    version = find_version(archive, tag)
    materials = list(archive.index.materials(version.submission, version.number))
    submission_files = files_of_version(archive.index, version)
    restriction_by_place = restrictions_by_place(archive.index)
    reason_by_path = {
        material.path: restriction.reason
        for material in materials
        if (restriction := restriction_by_place.get(place_of_material(version, material)))
    }
    if as_json:
        session.console.print_json(_contents_to_dict(version, materials, submission_files, reason_by_path))
        return
    _print_version(session, version, clock_marks_by_tag(archive.index))
    _print_submission_files(session, submission_files)
    _print_materials(session.console, materials)
    _print_restricted_files(session.console, reason_by_path)


def _contents_to_dict(
    version: Version,
    materials: Sequence[Material],
    submission_files: Sequence[SubmissionFile],
    reason_by_path: Mapping[bytes, str],
) -> dict[str, Any]:
    """Convert a version and its materials to a dict for ``--json``, whose keys must never change.

    ``reason_by_path`` has the reason of each restriction.  The dict lists the files as ``materials`` and the empty
    folders as ``folders``.  Some members are left out unless they apply: ``health`` of a file that looks damaged,
    ``restricted`` (the reason) of a restricted file, ``submit_reasons`` of a version submitted with a reason, and
    ``about`` (the files about the version's submissions).
    """
    from archiver.store.names import name_as_text

    file_documents = [
        {
            "path": name_as_text(material.path),
            "sha256": material.sha256,
            "size": material.size,
            "mtime_ns": material.mtime_ns,
        }
        | ({"health": material.health} if material.health else {})
        | ({"restricted": reason_by_path[material.path]} if material.path in reason_by_path else {})
        for material in materials
        if material.sha256
    ]
    submit_reasons = {
        submission_record.tag: submission_record.reason
        for submission_record in version.valid_submissions
        if submission_record.reason
    }
    version_document = {
        "tag": version.tag,
        "commit": version.commit,
        "materials": file_documents,
        "folders": [name_as_text(material.path) for material in materials if material.sha256 is None],
    }
    about = [{"submission": file.submission_tag, **file.as_json()} for file in submission_files]
    return (
        version_document
        | ({"submit_reasons": submit_reasons} if submit_reasons else {})
        | ({"about": about} if about else {})
    )


def _print_version(session: Session, version: Version, mark_by_tag: Mapping[str, WallClockMark]) -> None:
    """Print the version's tag and capture time, the disposal if any, and the submissions.

    ``mark_by_tag`` has the versions and submissions at which the system clock was behind.
    """
    from archiver.cli.durations import describe_clock_mark
    from archiver.filings.code_names import SUBMISSION_KIND_NAMES, name_for_code

    console = session.console
    console.info("{tag}, captured {at}", tag=version.tag, at=session.format_time(version.captured_at))
    if version.tag in mark_by_tag:
        for sentence in describe_clock_mark(mark_by_tag[version.tag]):
            console.info("  {sentence}", sentence=sentence)
    if version.disposed:
        console.info(
            "Disposed of in disposal {name}, with a certificate of destruction: content that no other version "
            "needed was deleted.",
            name=version.disposed,
        )
    for submission_record in version.valid_submissions:
        console.info(
            "Submitted on {on} as {tag} ({kind})",
            on=submission_record.on,
            tag=submission_record.tag,
            kind=name_for_code(submission_record.kind, SUBMISSION_KIND_NAMES),
        )
        if submission_record.tag in mark_by_tag:
            for sentence in describe_clock_mark(mark_by_tag[submission_record.tag]):
                console.info("  {sentence}", sentence=sentence)
        if submission_record.reason:
            console.info("  Reason: {reason}", reason=submission_record.reason)
        print_recorded_points(console, submission_record)
    print_submission_corrections(console, version)


def _print_submission_files(session: Session, submission_files: Sequence[SubmissionFile]) -> None:
    """Print a line for each file that is about a submission of the version, but not part of the submission."""
    from archiver.filings.code_names import FILE_ROLE_NAMES, name_for_code

    for file in submission_files:
        session.console.info(
            "About {submission}, not part of it: {path} in {tag} ({role})",
            submission=file.submission_tag,
            path=file.path,
            tag=file.version_tag,
            role=name_for_code(file.role, FILE_ROLE_NAMES),
        )


def _print_materials(console: Console, materials: Sequence[Material]) -> None:
    """Print a table of the files and then the empty folders, then a line for each file that looks damaged."""
    from archiver.documents.integrity import describe_defect
    from archiver.store.names import name_as_text

    material_rows: list[tuple[str, object, str]] = [
        (name_as_text(material.path), material.size, material.sha256[:_DIGEST_DIGITS])
        for material in materials
        if material.sha256
    ]
    material_rows += [
        (name_as_text(material.path) + "/", "-", "-") for material in materials if material.sha256 is None
    ]
    digest_heading = LazyMessage("SHA-256 (first {count} digits)", count=_DIGEST_DIGITS)
    console.print_table((LazyMessage("File"), LazyMessage("Bytes"), digest_heading), material_rows)
    for material in materials:
        if material.health:
            defect_note = describe_defect(material.health)
            console.info("Possibly damaged: {path}: {note}", path=name_as_text(material.path), note=defect_note)


def _print_restricted_files(console: Console, reason_by_path: Mapping[bytes, str]) -> None:
    """Print a line for each restricted file, with the reason."""
    from archiver.store.names import name_as_text

    for path, reason in reason_by_path.items():
        console.info("Restricted: {path} ({reason})", path=name_as_text(path), reason=reason)
