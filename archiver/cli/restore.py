"""``archiver restore``."""

from __future__ import annotations

import click

from archiver.cli.parameters import MaterialPattern, ObjectName
from archiver.cli.session import Session, command
from archiver.errors import ArchiverError, UsageError


@command("Bring a version back: every byte checked, times and empty folders too.")
@click.argument("name", type=ObjectName(), metavar="TAG|FILING")
@click.option("--to", "target", required=True, metavar="DIR", help="Where to; never the watched folder.")
@click.option(
    "--path", "globs", multiple=True, type=MaterialPattern(), metavar="GLOB", help="Only these materials."
)
@click.option("--at", "at_time", metavar="TIME", help="A filing's state at this time.")
@click.option(
    "--overwrite",
    type=click.Choice(["never", "if-changed", "always"]),
    default="never",
    show_default=True,
    help="What to do with files that are already there.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def restore_command(
    session: Session,
    name: str,
    target: str,
    globs: tuple[str, ...],
    at_time: str | None,
    overwrite: str,
    dry_run: bool,
) -> None:
    from pathlib import Path

    from archiver import clock
    from archiver.actions.maintenance_actions import RecordNote
    from archiver.restore import restoration
    from archiver.store.resolve import find_filing, find_version

    archive = session.open_archive()
    target_folder = Path(target)
    restoration.check_target(target_folder, session.config.watch, session.config.archive)
    if at_time is None:
        versions = [restoration.PlacedVersion(find_version(archive, name), b"")]
    elif "/" in name:
        raise UsageError("With --at, name a filing, not {name}. Nothing was written.", name=name)
    else:
        filing = find_filing(archive, name)
        versions = restoration.versions_at(archive, filing, clock.stamp(session.parse_time(at_time)))
    restored_items = [
        item
        for version, folder_below in versions
        for item in restoration.list_items(archive, version, globs, folder_below)
    ]
    restore_plan = restoration.plan_restore(
        target_folder, [version.tag for version, _ in versions], restored_items
    )
    console = session.console
    console.info(
        "{versions}: {new} new, {same} already there, {differing} differ",
        versions=", ".join(restore_plan.version_tags),
        new=len(restore_plan.new),
        same=len(restore_plan.same),
        differing=len(restore_plan.differing),
    )
    if dry_run:
        return
    written_bytes = restoration.apply_plan(
        archive.content, restore_plan, restoration.Overwrite(overwrite), console.progress_display()
    )
    console.info(
        "Restored to {target}: {bytes} bytes written, every one checked.",
        target=target_folder,
        bytes=written_bytes,
    )
    try:
        session.perform(RecordNote(**restoration.journal_arguments_for_restore(restore_plan, written_bytes)))
    except ArchiverError as error:
        console.warn(error.message)
        console.warn("The restore is done, but it could not be journalled.")
