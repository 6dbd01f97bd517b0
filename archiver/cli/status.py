"""``archiver status``."""

from __future__ import annotations

from typing import Any

import click

from archiver.cli.session import Session, entry, json_option
from archiver.errors import Unhealthy


@entry
@json_option
@click.option("--check", is_flag=True, help="Exit 9 when something needs attention, for monitoring.")
def command(session: Session, as_json: bool, check: bool) -> None:
    """Health, backlog, skipped files with reasons, protection level, clock."""
    from archiver.health import examine

    health = examine(session.archive(), session.config)
    if as_json:
        session.console.json(health.as_json())
    else:
        _print(session, health)
    if check and health.problems:
        raise Unhealthy("Unhealthy: {problems}.", problems="; ".join(health.problems))


def _print(session: Session, health: Any) -> None:
    console = session.console
    console.say("Archive: {path}", path=health.archive)
    console.say("Watched folder: {path} ({state})", path=health.watch, state=console.text(health.watching))
    console.say("Daemon: {holder}", holder=health.daemon or console.text("not running"))
    console.say(
        "Versions: {count}, submissions: {submissions}", count=health.versions, submissions=health.submissions
    )
    console.say("Protection: {level}", level=console.text(health.protection))
    console.say(
        "Compliance clock: {clock} ({lag} s behind the wall clock)",
        clock=session.local(health.clock),
        lag=health.lag_seconds,
    )
    for tag, latest in health.changed_since_submitted:
        console.say("Changed since submitted: {tag} is newer than {submitted}", tag=latest, submitted=tag)
    for item, since in health.pending:
        console.say(
            "Pending: {path}: {reason} (since {since})",
            path=item.path,
            reason=item.reason,
            since=session.local(since),
        )
    for item in health.skipped:
        console.say("Skipped: {path}: {reason}", path=item.path, reason=item.reason)
    for problem in health.problems:
        console.say("Attention: {problem}", problem=console.text(problem))
