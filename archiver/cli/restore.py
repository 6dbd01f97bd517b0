"""``archiver restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiver.cli.parameters import MaterialPattern, NamedChoice, ObjectName
from archiver.cli.session import Session, command
from archiver.errors import ArchiverError, FileRestrictedError, LazyMessage, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archiver.cli.console import Console
    from archiver.restore.restoration import Overwrite, PlacedVersion, RestorePlan
    from archiver.restore.target_folder import RestoreItem
    from archiver.store.archive import Archive


#: Value of ``--overwrite`` -> the treatment of existing files.
_OVERWRITE_NAMES = {
    "never": LazyMessage("refuse if one differs"),
    "if-changed": LazyMessage("replace those that differ"),
    "always": LazyMessage("write all again"),
}


@command("Restore a version with file times and empty folders, and verify every byte.")
@click.argument("tag_or_filing", type=ObjectName(), metavar="TAG|FILING")
@click.option("--to", "target", required=True, metavar="DIR", help="Target folder, outside the watched folder.")
@click.option(
    "--path", "globs", multiple=True, type=MaterialPattern(), metavar="GLOB", help="Restore only matching files."
)
@click.option("--at", "at_time", metavar="TIME", help="Time as of which to restore a filing.")
@click.option(
    "--overwrite",
    type=NamedChoice(_OVERWRITE_NAMES),
    default="never",
    show_default=True,
    help="Handling of files that already exist.",
)
@click.option(
    "--restricted",
    "with_restricted",
    is_flag=True,
    help="Restore restricted files, too; only the archive owner can read them.",
)
@click.option("--dry-run", is_flag=True, help="Print the restore plan; write nothing.")
def restore_command(
    session: Session,
    tag_or_filing: str,
    target: str,
    globs: tuple[str, ...],
    at_time: str | None,
    overwrite: str,
    with_restricted: bool,
    dry_run: bool,
) -> None:
    """Compare the selected materials with the target, write the materials, and journal the restore.

    With ``dry_run``, only prints the comparison.  A failure to journal is only a warning, because the restore is
    complete by then.  Without ``with_restricted``, restricted files are left out, and FileRestrictedError is
    raised after all other files were restored, or at once without other files.

    Raises UsageError for a target inside the watched folder or the archive, or if files differ and ``overwrite``
    is ``never``; nothing is written then.  Raises NotFoundError if nothing matches, and StorageError for damaged
    content.
    """
    from pathlib import Path

    from archiver.restore import restoration

    archive = session.open_archive()
    target_folder = Path(target)
    restoration.check_target_is_outside(target_folder, session.config.watch, session.config.archive)
    placed_versions = _select_versions(session, archive, tag_or_filing, at_time)
    items_to_restore = [
        item
        for version, subfolder in placed_versions
        for item in restoration.list_restore_items(archive, version, globs, subfolder)
    ]
    version_tags = [placed_version.version.tag for placed_version in placed_versions]
    restricted_items = [item for item in items_to_restore if item.restriction is not None]
    if with_restricted:
        restoration.check_restricted_are_readable(archive.content, restricted_items)
    else:
        items_to_restore = [item for item in items_to_restore if item.restriction is None]
    refusal = None if with_restricted or not restricted_items else _build_refusal(session, restricted_items)
    if refusal is not None and not items_to_restore:
        raise refusal
    restore_plan = restoration.plan_restore(target_folder, version_tags, items_to_restore)
    _print_comparison(session.console, restore_plan)
    if not dry_run:
        _restore_and_journal(session, archive, restore_plan, restoration.Overwrite(overwrite))
    if refusal is not None:
        raise refusal


def _build_refusal(session: Session, restricted_items: Sequence[RestoreItem]) -> FileRestrictedError:
    """Print each restricted file with the reason, and return the error to raise after the restore."""
    from archiver.store.names import name_as_text

    for item in restricted_items:
        if item.restriction is not None:
            session.console.warn(
                "Restricted: {path} ({reason})",
                path=name_as_text(item.path),
                reason=item.restriction.reason,
            )
    return FileRestrictedError(
        LazyMessage.define(
            "{count} restricted files were not restored. To restore them, too, the archive owner repeats the "
            "command with --restricted.",
            singular=(
                "{count} restricted file was not restored. To restore it, too, the archive owner repeats the "
                "command with --restricted."
            ),
        ),
        count=len(restricted_items),
    )


def _print_comparison(console: Console, restore_plan: RestorePlan) -> None:
    """Print how many files the target lacks, has with the same bytes, and has with other bytes."""
    console.info(
        "{versions}: {new} new, {same} unchanged, {differing} different",
        versions=console.join(restore_plan.version_tags),
        new=len(restore_plan.new_files),
        same=len(restore_plan.same_files),
        differing=len(restore_plan.differing_files),
    )


def _restore_and_journal(
    session: Session, archive: Archive, restore_plan: RestorePlan, overwrite: Overwrite
) -> None:
    """Write the files of the plan, print the result, and journal the restore.

    Raises UsageError if files differ and ``overwrite`` is ``never``, with nothing written, and StorageError for
    damaged content or a failure to write.  A failure to journal is only a warning, because the restore is
    complete by then.
    """
    from archiver.actions.maintenance_actions import RecordNote
    from archiver.restore import restoration

    console = session.console
    written_bytes = restoration.apply_restore_plan(
        archive.content, restore_plan, overwrite, console.make_progress_display()
    )
    console.info(
        LazyMessage.define(
            "Restored to {target}: {bytes} bytes written and verified.",
            singular="Restored to {target}: {bytes} byte written and verified.",
            count_field="bytes",
        ),
        target=restore_plan.target,
        bytes=written_bytes,
    )
    try:
        session.perform(RecordNote(**restoration.build_restore_note_arguments(restore_plan, written_bytes)))
    except ArchiverError as error:
        console.warn(error.message)
        console.warn("The restore is complete, but it was not recorded in the journal.")


def _select_versions(
    session: Session, archive: Archive, tag_or_filing: str, at_time: str | None
) -> list[PlacedVersion]:
    """Return the versions to restore, each with the subfolder of the target to restore to.

    Without ``at_time``, ``tag_or_filing`` is the tag of one version.  With ``at_time``, ``tag_or_filing`` is a
    filing, and the result has the version of each submission that was the newest at that time.

    Raises NotFoundError if the version or the filing does not exist, and UsageError if ``at_time`` is not a time
    or ``tag_or_filing`` is not the name of a filing.
    """
    from archiver import clock
    from archiver.restore import restoration
    from archiver.store.resolve import find_filing, find_version

    if at_time is None:
        return [restoration.PlacedVersion(find_version(archive, tag_or_filing), b"")]
    if "/" in tag_or_filing:
        raise UsageError(
            "--at requires the name of a filing, not {name}. Nothing was changed. Name a filing.",
            name=tag_or_filing,
        )
    filing_name = find_filing(archive, tag_or_filing)
    newest_time = clock.format_time(session.parse_time(at_time))
    versions = restoration.find_versions_at(archive, filing_name, newest_time)
    return [restoration.PlacedVersion(version, subfolder) for version, subfolder in versions]
