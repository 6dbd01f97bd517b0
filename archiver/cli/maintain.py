"""``archiver maintain``."""

from __future__ import annotations

from archiver.cli.session import Session, entry


@entry
def command(session: Session) -> None:
    """Pack the repository's small files; nothing is pruned. The daemon does it by itself when there is enough."""
    done = session.act("maintain")
    session.console.say(
        "{objects} objects were packed, {packs} packs merged.", objects=done["objects"], packs=done["packs"]
    )
