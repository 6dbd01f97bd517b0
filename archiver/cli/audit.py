"""``archiver audit``."""

from __future__ import annotations

import click

from archiver.cli.session import Name, Session, entry
from archiver.errors import ArchiverError


@entry
@click.option("--to", "target", required=True, metavar="DIR", help="A new or empty folder.")
@click.option("--filing", "filings", type=Name(), multiple=True, metavar="F", help="Only these filings.")
@click.option("--since", metavar="D", help="Only versions captured from then on.")
@click.option("--until", metavar="D", help="Only versions captured until then.")
@click.option("--zip", "as_zip", is_flag=True, help="One zip file, DIR.zip, instead of a folder.")
def command(
    session: Session,
    target: str,
    filings: tuple[str, ...],
    since: str | None,
    until: str | None,
    as_zip: bool,
) -> None:
    """Write the inspection package: materials, manifests, journal, a page to read."""
    from pathlib import Path

    from archiver import clock, restore
    from archiver.audit import package
    from archiver.store.lookup import find_filing

    archive = session.archive()
    restore.check_target(Path(target), session.config.watch, session.config.archive)
    selection = package.Selection(
        [find_filing(archive, filing) for filing in filings],
        clock.stamp(session.moment(since, end_of_day=False)) if since else "",
        clock.stamp(session.moment(until)) if until else "",
    )
    now = archive.compliance_time()
    written = package.export(
        archive, selection, Path(target), session.policy(archive), now, as_zip, session.config.sm3
    )
    console = session.console
    console.say(
        "The package is at {path}: {versions} versions, {files} files, {bytes} bytes.",
        path=written.path,
        versions=written.versions,
        files=written.files,
        bytes=written.bytes,
    )
    console.say("It opens with index.html, and checks with: sha256sum -c manifest-sha256.txt")
    try:
        session.act("note", what="export", **package.note(written, selection))
    except ArchiverError as error:
        console.warn(error.template, **error.fields)
        console.warn("The package is complete, but it could not be journalled.")
