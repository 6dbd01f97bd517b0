"""``archiver dispose``."""

from __future__ import annotations

import click

from archiver.cli.session import Name, Session, entry, find_version, global_options


@click.group()
@global_options
def command() -> None:
    """Deletion after retention; refused (exit 4) before it."""


@entry
@click.argument("tags", type=Name(), nargs=-1, metavar="[TAG ...]")
def _plan(session: Session, tags: tuple[str, ...]) -> None:
    """List what may be disposed of."""
    from archiver.retention.disposal import plan

    archive = session.archive()
    versions = [find_version(archive, tag) for tag in tags] or archive.index.versions()
    plan(archive, versions, session.policy(archive), archive.compliance_time(), session.wait)


@entry
@click.argument("identity", type=Name(), metavar="ID")
@click.option("--reason", required=True, help="Why this may go.")
def _approve(session: Session, identity: str, reason: str) -> None:
    """Approve a plan."""
    from archiver.errors import NotFound

    del reason
    session.archive()
    raise NotFound(
        "There is no disposal plan {identity}. Nothing was approved. Make one with: archiver dispose plan",
        identity=identity,
    )


@entry
@click.argument("identity", type=Name(), metavar="ID")
def _run(session: Session, identity: str) -> None:
    """Carry out an approved plan."""
    from archiver.retention.disposal import plan, refuse_without_plan

    archive = session.archive()
    version = archive.index.version(identity)
    if version is not None:
        plan(archive, [version], session.policy(archive), archive.compliance_time(), session.wait)
    refuse_without_plan(archive, identity, "dispose run", session.wait)


for _name, _command in (("plan", _plan), ("approve", _approve), ("run", _run)):
    command.add_command(_command, _name)
