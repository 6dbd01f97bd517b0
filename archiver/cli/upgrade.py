"""``archiver upgrade``."""

from __future__ import annotations

from archiver.cli.session import Session, command
from archiver.store.events.event_files import FORMAT


@command("Move an archive of an earlier release to the format of this one. Nothing that it holds is rewritten.")
def upgrade_command(session: Session) -> None:
    """Move the archive to the format of this release, and print what earlier releases can still do with it.

    Prints a message and does nothing if the archive has that format already.

    Raises Busy if the service runs, and StorageError if the caller does not own the archive.
    """
    from archiver.store.writing.upgrade import upgrade

    archive, console = session.open_archive(), session.console
    archive.check_owner()
    format_seq = upgrade(archive, session.lock_timeout)
    if format_seq is None:
        console.info("The archive {path} has format {number} already.", path=archive.root, number=FORMAT)
        return
    console.info(
        "The archive {path} has format {number} from journal event {seq} on. Everything before it is unchanged.",
        path=archive.root,
        number=FORMAT,
        seq=format_seq,
    )
    console.info(
        "Release 0.1.0 can still show and restore versions of this archive. It refuses everything else, and "
        "writes nothing."
    )
