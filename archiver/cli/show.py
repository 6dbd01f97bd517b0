"""``archiver show``."""

from __future__ import annotations

import click

from archiver.cli.parameters import ObjectName, json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage


@command("List one version's materials.")
@click.argument("tag", type=ObjectName())
@json_option
def show_command(session: Session, tag: str, as_json: bool) -> None:
    from archiver.documents.integrity import NOTES
    from archiver.store.names import text
    from archiver.store.resolve import find_version

    archive = session.open_archive()
    version = find_version(archive, tag)
    materials = list(archive.index.materials(version.submission, version.number))
    file_entries = [
        {
            "path": text(material.path),
            "sha256": material.sha256,
            "size": material.size,
            "mtime_ns": material.mtime_ns,
        }
        | ({"health": material.health} if material.health else {})
        for material in materials
        if material.sha256
    ]
    console = session.console
    if as_json:
        folder_names = [text(material.path) for material in materials if material.sha256 is None]
        submit_reasons = {
            submission_record.tag: submission_record.reason
            for submission_record in version.submitted
            if submission_record.reason
        }
        document = {
            "tag": version.tag,
            "commit": version.commit,
            "materials": file_entries,
            "folders": folder_names,
        }
        console.print_json(document | ({"submit_reasons": submit_reasons} if submit_reasons else {}))
        return
    console.info("{tag}, captured {at}", tag=version.tag, at=session.format_time(version.captured_at))
    if version.disposed:
        console.info("Its content was disposed of under certificate {name}.", name=version.disposed)
    for submission_record in version.submitted:
        console.info(
            "Submitted on {on} as {tag} ({kind})",
            on=submission_record.on,
            tag=submission_record.tag,
            kind=submission_record.kind,
        )
        if submission_record.reason:
            console.info("  Reason given: {reason}", reason=submission_record.reason)
    material_rows = [
        (file_entry["path"], file_entry["size"], str(file_entry["sha256"])[:16]) for file_entry in file_entries
    ]
    material_rows += [(text(material.path) + "/", "-", "-") for material in materials if material.sha256 is None]
    console.print_table((LazyMessage("Material"), LazyMessage("Bytes"), LazyMessage("SHA-256")), material_rows)
    for material in materials:
        if material.health:
            note = NOTES[material.health]
            console.info("Doubtful: {path}: {note}", path=text(material.path), note=note)
