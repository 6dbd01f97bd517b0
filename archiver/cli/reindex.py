"""``archiver reindex``."""

from __future__ import annotations

from archiver.cli.session import Session, entry


@entry
def command(session: Session) -> None:
    """Rebuild the index from the journal; it is derived, and nothing is lost with it."""
    archive = session.archive()
    with archive.writing(session.wait):
        archive.reindex()
    versions, _ = archive.index.counts()
    session.console.say("The index is rebuilt: {versions} versions.", versions=versions)
