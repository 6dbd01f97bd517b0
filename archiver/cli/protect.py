"""``archiver protect``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from archiver.cli.session import Session, command
from archiver.errors import ArchiverError, LazyMessage, StorageError

if TYPE_CHECKING:
    from archiver.cli.console import Console
    from archiver.store.permissions import ProtectionCounts

#: The member ``object`` of the event: the command changes the flags of all content objects together.
_ALL_CONTENT = "content"


@command("Set the immutable flag on all objects (as root, on a filesystem that supports it).")
@click.option(
    "--off", "is_clearing", is_flag=True, help=("Clear the immutable flag, for example before a disposal.")
)
def protect_command(session: Session, is_clearing: bool) -> None:
    """Set or clear the immutable flag of every content object, and journal the change.

    A failure to journal is only a warning, because the flags are changed by then.  Raises StorageError for the
    first object whose flag cannot be changed; all flags changed before stay changed.
    """
    from archiver.actions.maintenance_actions import RecordNote
    from archiver.store.events.evidence_events import ContentProtected
    from archiver.store.permissions import protect_objects

    archive = session.open_archive()
    archive.check_writable()
    try:
        protection_counts = protect_objects(archive.content.objects_folder, on=not is_clearing)
    except OSError as error:
        raise StorageError(
            "Cannot change the immutable flag of {path} ({reason}). No archived data was lost. Run this as root "
            "(CAP_LINUX_IMMUTABLE), on a filesystem that supports the flag, such as ext4, xfs, or btrfs.",
            path=error.filename or archive.content.objects_folder,
            reason=error.strerror,
        ) from None
    _print_changed_flags(session.console, protection_counts, is_clearing=is_clearing)
    try:
        protection_event = ContentProtected(
            is_immutable=not is_clearing, objects=protection_counts.total, changed=protection_counts.changed
        )
        session.perform(
            RecordNote(
                action=protection_event.action.value, about=_ALL_CONTENT, details=protection_event.to_details()
            )
        )
    except ArchiverError as error:
        session.console.warn(error.message)
        session.console.warn("The flags were changed, but this was not recorded in the journal.")


def _print_changed_flags(console: Console, protection_counts: ProtectionCounts, *, is_clearing: bool) -> None:
    """Print the number of content objects, and how many of their flags were changed."""
    if is_clearing:
        console.info(
            LazyMessage.define(
                "Cleared the immutable flag: {done} of {total} objects changed.",
                singular="Cleared the immutable flag: {done} of {total} object changed.",
                count_field="total",
            ),
            done=protection_counts.changed,
            total=protection_counts.total,
        )
    else:
        console.info(
            LazyMessage.define(
                "{total} objects are immutable ({done} newly set).",
                singular="{total} object is immutable ({done} newly set).",
                count_field="total",
            ),
            done=protection_counts.changed,
            total=protection_counts.total,
        )
        console.info("Objects captured later are not immutable until you run this command again.")
