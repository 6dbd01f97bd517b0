"""``archiver status``."""

from __future__ import annotations

from typing import Any

import click

from archiver.cli.parameters import json_option
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage, Unhealthy

#: A lag of the compliance clock that needs no explanation: longer, and the report names the causes.
_UNEXPLAINED_LAG_SECONDS = 60
#: More, and the state of the archive is off the screen; the last line names the command for the rest.
_MAX_TO_DO = 10


@command("Health, backlog, skipped files with reasons, protection level, clock.")
@json_option
@click.option("--check", is_flag=True, help="Exit 9 when something needs attention, for monitoring.")
def status_command(session: Session, as_json: bool, check: bool) -> None:
    from archiver.status.health_report import report_health

    health = report_health(session.open_archive(), session.config)
    if as_json:
        session.console.print_json(health.as_json())
    else:
        _print_report(session, health)
    if check and health.problems:
        problems = "; ".join(map(session.console.translate, health.problems))
        raise Unhealthy("Unhealthy: {problems}.", problems=problems)


def _print_report(session: Session, health: Any) -> None:
    from archiver.status.protection import PROTECTION

    console = session.console
    _print_to_do(session, health)
    console.info("Archive: {path}", path=health.archive)
    console.info(
        "Watched folder: {path} ({state}{why})",
        path=health.watch,
        state=health.watching,
        why=LazyMessage("; {reason}", reason=health.watching_reason) if health.watching_reason else "",
    )
    console.info("Daemon: {holder}", holder=health.daemon or LazyMessage("not running"))
    console.info(
        "Versions: {count}, submissions: {submissions}", count=health.versions, submissions=health.submissions
    )
    console.info("Protection: {level}", level=PROTECTION[health.protection])
    _print_hooks_path(session, health)
    _print_space(session, health.space)
    console.info(
        "Compliance clock: {clock} ({lag} s behind the wall clock)",
        clock=session.format_time(health.compliance_time),
        lag=health.lag_seconds,
    )
    if health.lag_seconds > _UNEXPLAINED_LAG_SECONDS:
        console.info(
            "  Not earned: {off} s while the machine was off or started anew, {ahead} s that its clock was set "
            "forward. It only makes retention longer; a time-stamp token catches up: archiver checkpoint",
            off=round(health.lag.off),
            ahead=round(health.lag.ahead),
        )
    if health.last_token_time:
        console.info("Last time-stamp token: {at}", at=session.format_time(health.last_token_time))
    if health.last_checkpoint:
        console.info("Last checkpoint: {at}", at=session.format_time(health.last_checkpoint))
    for tag, latest in health.changed_since_submitted:
        console.info("Changed since submitted: {tag} is newer than {submitted}", tag=latest, submitted=tag)
    _print_doubtful_files(session, health)
    for item, since in health.pending:
        console.info(
            "Pending: {path}: {reason} (since {since})",
            path=item.path,
            reason=item.reason,
            since=session.format_time(since),
        )
    if health.pending_count > len(health.pending):
        console.info("Pending: {count} changes in all", count=health.pending_count)
    for item in health.skipped:
        console.info("Skipped: {path}: {reason}", path=item.path, reason=item.reason)
    if health.last_problem:
        console.info(
            "Last problem: {problem} ({at})",
            problem=health.last_problem.message,
            at=session.format_time(health.last_problem.at),
        )
    _print_lost_versions(session, health)
    _print_replica(session, health.replica)
    for problem in health.problems:
        console.info("Attention: {problem}", problem=problem)


def _print_to_do(session: Session, health: Any) -> None:
    """Print the pending tasks of people, the most urgent first."""
    from archiver.filings.due.reminders import deadline_line

    for due in health.open_deadlines[:_MAX_TO_DO]:
        session.console.info("To do: {line}", line=deadline_line(due, health.today))
    if len(health.open_deadlines) > _MAX_TO_DO:
        session.console.info(
            "To do: {count} matters in all. See: archiver deadlines", count=len(health.open_deadlines)
        )
    for alert in health.alerts:
        session.console.info("To do: {line}", line=alert)
    for paper in health.unrecorded_papers:
        session.console.info(
            "To do: record the notice {path} in {submission}: archiver notice add {filing!q} --file FILE",
            path=paper.path,
            submission=paper.submission,
            filing=paper.filing,
        )


def _print_doubtful_files(session: Session, health: Any) -> None:
    from archiver.documents.integrity import NOTES
    from archiver.store.names import text

    for tag, material in health.doubtful:
        session.console.info(
            "Doubtful: {path} in {tag}: {note}. Ask for a good copy",
            path=text(material.path),
            tag=tag,
            note=NOTES[material.health],
        )


def _print_lost_versions(session: Session, health: Any) -> None:
    for lost_version in health.lost_versions:
        session.console.info(
            "Lost: {tag} ({at}) is not in the journal",
            tag=lost_version.tag,
            at=session.format_time(lost_version.captured_at) if lost_version.captured_at else "-",
        )
    for lost_record in health.lost_records:
        session.console.info(
            "Lost: {tag} ({at}) is not in the journal", tag=lost_record, at=session.format_time(lost_record.at)
        )


def _print_replica(session: Session, replica: Any) -> None:
    if replica is None:
        return
    console = session.console
    if not replica.has_lock:
        console.info("Replica: {url}, WITHOUT a lock: whoever has its keys can delete it", url=replica.url)
    if replica.synced_at is None:
        console.info("Replica: {url}; nothing was sent yet", url=replica.url)
    elif replica.lag.waiting_since is None:
        console.info(
            "Replica: {url} has everything ({at})", url=replica.url, at=session.format_time(replica.synced_at)
        )
    else:
        console.info(
            LazyMessage.define(
                "Replica: {url} lacks {materials} materials ({megabytes} MB), the oldest since {at}",
                singular="Replica: {url} lacks {materials} material ({megabytes} MB), since {at}",
                count_field="materials",
            ),
            url=replica.url,
            materials=replica.lag.material_count,
            megabytes=f"{replica.lag.byte_count / 1e6:.1f}",
            at=session.format_time(replica.lag.waiting_since),
        )


def _print_hooks_path(session: Session, health: Any) -> None:
    if health.hooks_path:
        session.console.info(
            "  The guard does not hold for git typed by hand in {repository}: {origin} sets core.hooksPath to "
            "{value}. archiver itself does not obey that. With the guard: git -c core.hooksPath={hooks!q} ...",
            repository=health.archive / "archive.git",
            origin=health.hooks_path.origin,
            value=health.hooks_path.value,
            hooks=health.archive / "archive.git" / "hooks",
        )


def _print_space(session: Session, space: Any) -> None:
    console = session.console
    free_gigabytes = f"{space.free_bytes / 1e9:.1f}"
    if space.bytes_per_day is None:
        console.info("Space: {free} GB free; growth is not known yet", free=free_gigabytes)
    elif space.full_in_days is None:
        console.info("Space: {free} GB free; the archive does not grow", free=free_gigabytes)
    else:
        console.info(
            "Space: {free} GB free; grows by {growth} MB a day, full in about {days} days",
            free=free_gigabytes,
            growth=f"{space.bytes_per_day / 1e6:.1f}",
            days=space.full_in_days,
        )
