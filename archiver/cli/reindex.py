"""``archiver reindex``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from archiver.cli.session import Session, command
from archiver.errors import LazyMessage, UsageError

if TYPE_CHECKING:
    from archiver.store.repair.accepted_loss import Loss


@command("Rebuild the index from the journal; it is derived, and nothing is lost with it.")
@click.option("--accept", is_flag=True, help="Go on from the last whole event, and journal what was lost.")
@click.option("--yes", is_flag=True, help="Answer the question of --accept.")
def reindex_command(session: Session, accept: bool, yes: bool) -> None:
    archive = session.open_archive()
    if accept:
        _accept_loss(session, yes)
        return
    with archive.writing(session.lock_timeout):
        archive.reindex()
    version_count, _ = archive.index.counts()
    session.console.info(
        LazyMessage.define(
            "The index is rebuilt: {versions} versions.",
            singular="The index is rebuilt: {versions} version.",
            count_field="versions",
        ),
        versions=version_count,
    )


def _accept_loss(session: Session, yes: bool) -> None:
    """Show the loss, ask for consent unless ``--yes`` was typed, and journal the loss.

    Raises UsageError without consent; nothing is changed then.
    """
    from archiver.store.repair import accepted_loss

    archive, console = session.open_archive(), session.console
    archive.check_owner()
    loss = accepted_loss.assess(archive)
    if not loss.is_empty:
        _print_loss(session, loss)
        if not yes and not _is_confirmed(session):
            raise UsageError("Nothing was changed. To go on without a question, add: --yes")
    loss, event = accepted_loss.accept(archive, session.lock_timeout)
    if event is None:
        console.info("Nothing is missing. The index is rebuilt.")
        return
    console.info(
        LazyMessage.define(
            "Journalled as event {seq}: {versions} versions are lost.",
            singular="Journalled as event {seq}: {versions} version is lost.",
            count_field="versions",
        ),
        seq=event.seq,
        versions=len(loss.versions),
    )
    console.info("What lies in the watched folder is archived again at the next scan.")


def _print_loss(session: Session, loss: Loss) -> None:
    """Print the end of the journal, the missing events and versions, and the fate of broken refs."""
    console = session.console
    console.info(
        "The last whole event is number {seq} of {at}.",
        seq=loss.last_event.seq,
        at=session.format_time(loss.last_event.at) if loss.last_event.at else "-",
    )
    if loss.problem is not None:
        console.info("The journal cannot be continued: {problem}", problem=loss.problem)
    if loss.lost_events:
        console.info("Missing events: {first} to {last}", first=loss.last_event.seq + 1, last=loss.newest_seq)
    for version in loss.versions:
        captured_at = session.format_time(version.captured_at) if version.captured_at else "-"
        console.info("Lost: {tag} ({at}) is not in the journal", tag=version.tag, at=captured_at)
    for record_name in loss.records:
        console.info(
            "Lost: {tag} ({at}) is not in the journal", tag=record_name, at=session.format_time(record_name.at)
        )
    for ref in loss.unknown_refs:
        if ref in loss.dangling_refs:
            console.info("Removed, since what it names is missing: {ref}", ref=ref)
        else:
            console.info("Kept below refs/lost: {ref}", ref=ref)
    for ref in loss.refs_to_restore:
        console.info("Set again from the journal: {ref}", ref=ref)


def _is_confirmed(session: Session) -> bool:
    """Return True if a person at a terminal says yes; a script has to say ``--yes``."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(session.console.translate(LazyMessage("Journal this loss, and go on?")))
