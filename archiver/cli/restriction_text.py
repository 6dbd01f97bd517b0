"""Print a restriction of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archiver.cli.session import Session

if TYPE_CHECKING:
    from archiver.store.index.restrictions import Restriction


def print_restriction(session: Session, restriction: Restriction) -> None:
    """Print the file, the person, the time and the reason of a restriction."""
    from archiver.store.names import name_as_text

    session.console.info(
        "Restricted: {path} of {filing} (by {user} on {at}: {reason})",
        path=name_as_text(restriction.path),
        filing=restriction.filing,
        user=restriction.by or restriction.user,
        at=session.format_time(restriction.restricted_at),
        reason=restriction.reason,
    )
