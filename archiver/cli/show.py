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
    files = [
        {"path": text(m.path), "sha256": m.sha256, "size": m.size, "mtime_ns": m.mtime_ns}
        | ({"health": m.health} if m.health else {})
        for m in materials
        if m.sha256
    ]
    console = session.console
    if as_json:
        folders = [text(m.path) for m in materials if m.sha256 is None]
        reasons = {record.tag: record.reason for record in version.submitted if record.reason}
        document = {"tag": version.tag, "commit": version.commit, "materials": files, "folders": folders}
        console.json(document | ({"submit_reasons": reasons} if reasons else {}))
        return
    console.say("{tag}, captured {at}", tag=version.tag, at=session.format_time(version.captured_at))
    if version.disposed:
        console.say("Its content was disposed of under certificate {name}.", name=version.disposed)
    for record in version.submitted:
        console.say("Submitted on {on} as {tag} ({kind})", on=record.on, tag=record.tag, kind=record.kind)
        if record.reason:
            console.say("  Reason given: {reason}", reason=record.reason)
    rows = [(item["path"], item["size"], str(item["sha256"])[:16]) for item in files]
    rows += [(text(m.path) + "/", "-", "-") for m in materials if m.sha256 is None]
    console.table((LazyMessage("Material"), LazyMessage("Bytes"), LazyMessage("SHA-256")), rows)
    for material in materials:
        if material.health:
            note = NOTES[material.health]
            console.say("Doubtful: {path}: {note}", path=text(material.path), note=note)
