"""``archiver reindex``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from archiver.cli.session import Session, command
from archiver.errors import LazyMessage, UsageError

if TYPE_CHECKING:
    from archiver.store.repair.accepted_loss import Loss


@command("Rebuild the index from the journal, which contains all of its data.")
@click.option(
    "--accept",
    "accepts_loss",
    is_flag=True,
    help=("Continue from the last complete journal event, and record the loss in the journal."),
)
@click.option("--yes", "is_confirmed", is_flag=True, help="Answer yes to the question of --accept.")
def reindex_command(session: Session, accepts_loss: bool, is_confirmed: bool) -> None:
    """Rebuild the index and print the number of versions.

    With ``accepts_loss``, calls :func:`_accept_loss` instead, to continue after a damaged journal.  Otherwise,
    raises StorageError, and rebuilds nothing, if a database shows that the journal was replaced by an older one.
    """
    from archiver.store.repair.foreign_index import check_journal_is_complete

    archive = session.open_archive()
    if accepts_loss:
        _accept_loss(session, is_confirmed=is_confirmed)
        return
    check_journal_is_complete(archive)
    with archive.writing(session.lock_timeout):
        archive.reindex()
    version_count = archive.index.version_count()
    session.console.info(
        LazyMessage.define(
            "Rebuilt the index: {versions} versions.",
            singular="Rebuilt the index: {versions} version.",
            count_field="versions",
        ),
        versions=version_count,
    )


def _accept_loss(session: Session, *, is_confirmed: bool) -> None:
    """Print the loss, continue the archive from the last complete event, and journal the loss.

    After the last complete event, the journal is damaged or lacks events.  The user must confirm the loss, unless
    ``is_confirmed`` is True or nothing was lost.

    Raises UsageError if the user does not confirm or cannot be asked, and StorageError if the user does not own
    the archive; nothing is changed then.
    """
    from archiver.store.repair import accepted_loss

    archive, console = session.open_archive(), session.console
    archive.check_owner()
    loss = accepted_loss.assess(archive)
    if not loss.is_empty:
        _print_loss(session, loss)
        if not is_confirmed and not _confirm_loss(session):
            raise UsageError("Nothing was changed. To continue without a question, add: --yes")
    # accept() assesses the loss again under the write lock, because another process may have changed the archive.
    loss, loss_event = accepted_loss.accept(archive, session.lock_timeout)
    if loss_event is None:
        console.info("Nothing is missing. Rebuilt the index.")
        return
    console.info(
        LazyMessage.define(
            "Recorded as journal event {seq}: {versions} versions lost.",
            singular="Recorded as journal event {seq}: {versions} version lost.",
            count_field="versions",
        ),
        seq=loss_event.seq,
        versions=len(loss.versions),
    )
    console.info("Files in the watched folder are captured again at the next scan.")


def _print_loss(session: Session, loss: Loss) -> None:
    """Print the last complete event, the loss after the event, and the refs to remove, to keep, and to restore."""
    console = session.console
    console.info(
        "Last complete journal event: {seq} ({at})",
        seq=loss.last_event.seq,
        at=session.format_time(loss.last_event.at) if loss.last_event.at else "-",
    )
    if loss.problem is not None:
        console.info("The journal cannot be continued: {problem}", problem=loss.problem)
    if loss.lost_events:
        console.info(
            "Missing journal events: {first} to {last}", first=loss.last_event.seq + 1, last=loss.newest_seq
        )
    for lost_version in loss.versions:
        captured_at = session.format_time(lost_version.captured_at) if lost_version.captured_at else "-"
        console.info("Lost: {tag} ({at}, not in the journal)", tag=lost_version.tag, at=captured_at)
    for lost_record in loss.records:
        console.info(
            "Lost: {tag} ({at}, not in the journal)", tag=lost_record, at=session.format_time(lost_record.at)
        )
    for ref in loss.unknown_refs:
        if ref in loss.dangling_refs:
            console.info("To be removed, because its target is missing: {ref}", ref=ref)
        else:
            console.info("To be kept under refs/lost: {ref}", ref=ref)
    for ref in loss.refs_to_restore:
        console.info("To be restored from the journal: {ref}", ref=ref)


def _confirm_loss(session: Session) -> bool:
    """Ask the user at the terminal to confirm the loss; return True for yes.

    If stdin is not a terminal, returns False without asking: a script must use ``--yes``.
    """
    if not sys.stdin.isatty():
        return False
    return click.confirm(session.console.translate(LazyMessage("Record this loss in the journal and continue?")))
