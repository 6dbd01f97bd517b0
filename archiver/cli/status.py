"""``archiver status``."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

import click

from archiver import clock
from archiver.cli.durations import describe_duration
from archiver.cli.parameters import json_option
from archiver.cli.restriction_text import print_restriction
from archiver.cli.session import Session, command
from archiver.errors import LazyMessage, Unhealthy

if TYPE_CHECKING:
    from archiver.replica.replica_status import ReplicaStatus
    from archiver.status.disk_forecast import DiskForecast
    from archiver.status.health_report import HealthReport

#: If the compliance clock is further behind than this, the causes are printed.
_LONGEST_UNEXPLAINED_LAG_SECONDS = 60
#: If the system clock is further behind the compliance clock than this, a line says so.  NTP corrects the system
#: clock in steps of seconds, which need no attention.
_TOLERATED_SYSTEM_CLOCK_LAG_SECONDS = 60
#: The most deadlines to print.  With more, the state of the archive would not fit on the screen.
_MAX_PRINTED_DEADLINES = 10
#: The most ignored paths to print for each pattern.  A storage server creates a thumbnail folder in each folder.
_MAX_PRINTED_IGNORED = 10
#: The most restricted files to print.  The JSON output has all.
_MAX_PRINTED_RESTRICTIONS = 10


@command("Show health, pending changes, skipped files with reasons, protection level, and clock.")
@json_option
@click.option(
    "--check",
    "fails_on_problems",
    is_flag=True,
    help="Exit with code 9 if there are warnings, for monitoring; overdue items do not count.",
)
def status_command(session: Session, as_json: bool, fails_on_problems: bool) -> None:
    """Print the report; with ``fails_on_problems``, raise Unhealthy if the report has a problem."""
    from archiver.status.health_report import collect_health_report

    health = collect_health_report(session.open_archive(), session.config)
    if as_json:
        session.console.print_json(health.as_json())
    else:
        # With --check, the error lists the problems.
        _print_report(session, health, with_problems=not fails_on_problems)
    if fails_on_problems and health.problems:
        problems = "; ".join(map(session.console.translate, health.problems))
        raise Unhealthy("Warnings: {problems}.", problems=problems)


def _print_report(session: Session, health: HealthReport, *, with_problems: bool) -> None:
    """Print the report for people: tasks, archive and service, files, replica, and finally the problems."""
    from archiver.status.protection import PROTECTION

    console = session.console
    _print_tasks(session, health)
    console.info("Archive: {path}", path=health.archive_folder)
    _print_watched_folder(session, health)
    for ability in health.missing_abilities:
        console.info("  Limited: {reason}", reason=ability.sentence)
    console.info("Service: {holder}", holder=health.daemon_process or LazyMessage("not running"))
    console.info(
        "Versions: {count}, submission folders: {submissions}",
        count=health.version_count,
        submissions=health.submission_count,
    )
    console.info("Protection: {level}", level=PROTECTION[health.protection_level])
    _warn_of_outer_hooks(session, health)
    _print_disk_forecast(session, health.disk_forecast)
    _print_clock(session, health)
    _print_files(session, health)
    if health.last_problem:
        console.info(
            "Last error: {problem} ({at})",
            problem=health.last_problem.message,
            at=session.format_time(health.last_problem.at),
        )
    _print_lost_versions(session, health)
    _print_replica(session, health.replica)
    if with_problems:
        for problem in health.problems:
            console.info("Warning: {problem}", problem=problem)


def _print_watched_folder(session: Session, health: HealthReport) -> None:
    """Print the path of the watched folder and, if a daemon runs, the method of detecting changes."""
    if health.watch_description.code == "watching.none":
        session.console.info("Watched folder: {path}", path=health.watched_folder)
        return
    session.console.info(
        "Watched folder: {path} ({state}{why})",
        path=health.watched_folder,
        state=health.watch_description,
        why=LazyMessage("; {reason}", reason=health.watching_reason) if health.watching_reason else "",
    )


def _print_clock(session: Session, health: HealthReport) -> None:
    """Print the compliance clock with its lag, and the times of the last timestamp and the last checkpoint."""
    from archiver import clock

    console = session.console
    console.info(
        "Compliance clock: {clock} ({lag} behind the system clock)",
        clock=session.format_time(health.compliance_time),
        lag=describe_duration(health.clock_lag_seconds),
    )
    system_clock_lag = clock.parse_time(health.compliance_time) - clock.read_clocks().wall
    if system_clock_lag.total_seconds() > _TOLERATED_SYSTEM_CLOCK_LAG_SECONDS:
        console.info(
            "  The system clock is {size} behind the compliance clock. New versions are marked, and their "
            "retention is right. Set the system clock.",
            size=describe_duration(system_clock_lag.total_seconds()),
        )
    if health.clock_lag_seconds > _LONGEST_UNEXPLAINED_LAG_SECONDS:
        console.info(
            "  Not counted: {off} while the machine was off or rebooting, {ahead} of clock changes. Retention "
            "ends later by this time. With a timestamp authority, to correct the clock, run: archiver checkpoint",
            off=describe_duration(health.clock_lag.off),
            ahead=describe_duration(health.clock_lag.ahead),
        )
    if health.last_token_time:
        console.info("Last timestamp: {at}", at=session.format_time(health.last_token_time))
    if health.last_checkpoint_time:
        console.info("Last checkpoint: {at}", at=session.format_time(health.last_checkpoint_time))


def _print_files(session: Session, health: HealthReport) -> None:
    """Print versions newer than submitted ones, then damaged, restricted, pending and skipped files."""
    console = session.console
    for submitted_tag, newest_tag in health.changed_since_submitted:
        console.info(
            "Changed since submission: {tag} (submitted: {submitted})", tag=newest_tag, submitted=submitted_tag
        )
    _print_damaged_files(session, health)
    _print_restrictions(session, health)
    for stand_in in health.stand_ins:
        # Its submission is the first part of its path.
        console.info("Stand-in: {path}: {reason}", path=stand_in.path.path, reason=stand_in.path.reason)
    for pending_path, pending_since in health.pending_paths:
        console.info(
            "Pending: {path}: {reason} (since {since})",
            path=pending_path.path,
            reason=pending_path.reason,
            since=session.format_time(pending_since),
        )
    if health.pending_count > len(health.pending_paths):
        console.info(
            LazyMessage.define("Pending: {count} changes in total", singular="Pending: {count} change in total"),
            count=health.pending_count,
        )
    _print_skipped_paths(session, health)
    for note in health.file_notes:
        console.info("Note: {path}: {reason}", path=note.path, reason=note.reason)


def _print_skipped_paths(session: Session, health: HealthReport) -> None:
    """Print the paths that are not archived; of the paths that a pattern excludes, the first and their number."""
    from archiver.intake.path_reasons import IGNORED

    counts: Counter[str] = Counter()
    for skipped_path in health.skipped_paths:
        if skipped_path.code == IGNORED.code:
            counts[skipped_path.value] += 1
            if counts[skipped_path.value] > _MAX_PRINTED_IGNORED:
                continue
        session.console.info("Skipped: {path}: {reason}", path=skipped_path.path, reason=skipped_path.reason)
    for pattern, count in counts.items():
        if count > _MAX_PRINTED_IGNORED:
            session.console.info(
                LazyMessage.define(
                    "Skipped: {count} paths in total match the ignore pattern {pattern}. To list them, run: "
                    "archiver status --json",
                    singular=(
                        "Skipped: {count} path in total matches the ignore pattern {pattern}. To list it, run: "
                        "archiver status --json"
                    ),
                ),
                count=count,
                pattern=pattern,
            )


def _print_tasks(session: Session, health: HealthReport) -> None:
    """Print the tasks of the company: the most urgent deadlines, alerts, and documents to record as notices.

    Prints at most ``_MAX_PRINTED_DEADLINES`` deadlines and, if more are open, a line with their total number and
    the command that lists all.  The deadlines of the regulator come last, because they are not tasks.
    """
    from archiver.filings.due.deadlines import is_company_duty
    from archiver.filings.due.reminders import describe_deadline

    company_deadlines = [deadline for deadline in health.open_deadlines if is_company_duty(deadline)]
    for deadline in company_deadlines[:_MAX_PRINTED_DEADLINES]:
        session.console.info("To do: {line}", line=describe_deadline(deadline, health.today))
    if len(company_deadlines) > _MAX_PRINTED_DEADLINES:
        session.console.info(
            LazyMessage.define(
                "To do: {count} items. To list them, run: archiver deadlines",
                singular="To do: {count} item. To list it, run: archiver deadlines",
            ),
            count=len(company_deadlines),
        )
    for alert in health.display_alerts:
        session.console.info("To do: {line}", line=alert)
    for paper in health.unrecorded_papers:
        session.console.info(
            "To do: record the notice {path} in {submission}. To read it and get the command that records it, "
            "run: archiver notice add {filing!q} --file {file!q}",
            path=paper.path,
            submission=paper.submission,
            filing=paper.filing,
            file=health.watched_folder / os.fsdecode(paper.watched_path),
        )
    for deadline in health.open_deadlines:
        if not is_company_duty(deadline):
            session.console.info(
                "Waiting for the regulator: {line}", line=describe_deadline(deadline, health.today)
            )


def _print_damaged_files(session: Session, health: HealthReport) -> None:
    """Print a line for each file in a newest version that looked damaged at capture."""
    from archiver.documents.integrity import OPEN_FOR_WRITING, describe_defect
    from archiver.store.names import name_as_text

    for tag, material in health.doubtful_materials:
        if material.health == OPEN_FOR_WRITING:
            # It may be whole, and a new copy is no help; ``check`` knows more.
            continue
        session.console.info(
            "Possibly damaged: {path} in {tag}: {note}. Request a new copy.",
            path=name_as_text(material.path),
            tag=tag,
            note=describe_defect(material.health),
        )


def _print_restrictions(session: Session, health: HealthReport) -> None:
    """Print the restricted files; if there are more than ``_MAX_PRINTED_RESTRICTIONS``, also their number."""
    for restriction in health.restrictions[:_MAX_PRINTED_RESTRICTIONS]:
        print_restriction(session, restriction)
        if restriction.sha256 not in health.restricted_content:
            session.console.info("  The same content is also archived elsewhere, without a restriction.")
    if len(health.restrictions) > _MAX_PRINTED_RESTRICTIONS:
        session.console.info(
            LazyMessage.define("Restricted: {count} files in total", singular="Restricted: {count} file in total"),
            count=len(health.restrictions),
        )


def _print_lost_versions(session: Session, health: HealthReport) -> None:
    """Print the versions and records that a database set aside by a repair has, but the journal lacks."""
    for lost_version in health.lost_versions:
        session.console.info(
            "Lost: {tag} ({at}, not in the journal)",
            tag=lost_version.tag,
            at=session.format_time(lost_version.captured_at) if lost_version.captured_at else "-",
        )
    for lost_record in health.lost_records:
        session.console.info(
            "Lost: {tag} ({at}, not in the journal)", tag=lost_record, at=session.format_time(lost_record.at)
        )


def _print_replica(session: Session, replica: ReplicaStatus | None) -> None:
    """Print the state of the replica, with missing and held-back content; print nothing without a replica."""
    if replica is None:
        return
    console = session.console
    if not replica.uses_object_lock:
        console.info("Replica: {url} (no Object Lock: bucket users can delete it)", url=replica.url)
    if replica.synced_at is None:
        console.info("Replica: {url} (no sync completed yet)", url=replica.url)
    elif replica.lag.waiting_since is None and replica.lag.held_back:
        console.info(
            "Replica: {url} (complete except for new content, {at})",
            url=replica.url,
            at=session.format_time(replica.synced_at),
        )
    elif replica.lag.waiting_since is None:
        console.info("Replica: {url} (complete, {at})", url=replica.url, at=session.format_time(replica.synced_at))
    else:
        console.info(
            LazyMessage.define(
                "Replica: {url} (missing {materials} files, {megabytes} MB, oldest since {at})",
                singular="Replica: {url} (missing {materials} file, {megabytes} MB, since {at})",
                count_field="materials",
            ),
            url=replica.url,
            materials=replica.lag.material_count,
            megabytes=f"{replica.lag.byte_count / 1e6:.1f}",
            at=session.format_time(replica.lag.waiting_since),
        )
    if held_back := replica.lag.held_back:
        console.info(
            LazyMessage.define(
                "  Held back until {at}, and so stored only here: {count} new objects ({megabytes} MB). To upload "
                "them immediately, run: archiver replica sync --now",
                singular=(
                    "  Held back until {at}, and so stored only here: {count} new object ({megabytes} MB). To "
                    "upload it immediately, run: archiver replica sync --now"
                ),
            ),
            at=session.format_time(clock.format_time(held_back.last_release)),
            count=held_back.object_count,
            megabytes=f"{held_back.byte_count / 1e6:.1f}",
        )


def _warn_of_outer_hooks(session: Session, health: HealthReport) -> None:
    """Print a warning if the user's git settings prevent git from running the archive's hooks."""
    if health.outer_hooks_path:
        session.console.info(
            "  Hooks bypassed: {origin} sets core.hooksPath to {value}, so git typed by hand in {repository} "
            "does not run the archive's hooks. archiver ignores this setting. To use git with the hooks, run: "
            "git -c core.hooksPath={hooks!q} ...",
            repository=health.archive_folder / "archive.git",
            origin=health.outer_hooks_path.origin,
            value=health.outer_hooks_path.value,
            hooks=health.archive_folder / "archive.git" / "hooks",
        )


def _print_disk_forecast(session: Session, forecast: DiskForecast) -> None:
    """Print the free space and, if known, the growth per day and the days until the disk is full."""
    console = session.console
    free_gigabytes = f"{forecast.free_bytes / 1e9:.1f}"
    if forecast.bytes_per_day is None:
        console.info("Free space: {free} GB (growth unknown)", free=free_gigabytes)
    elif forecast.full_in_days is None:
        console.info("Free space: {free} GB (no growth)", free=free_gigabytes)
    else:
        console.info(
            LazyMessage.define(
                "Free space: {free} GB (grows by {growth} MB a day, full in about {days} days)",
                singular="Free space: {free} GB (grows by {growth} MB a day, full in about {days} day)",
                count_field="days",
            ),
            free=free_gigabytes,
            growth=f"{forecast.bytes_per_day / 1e6:.1f}",
            days=forecast.full_in_days,
        )
