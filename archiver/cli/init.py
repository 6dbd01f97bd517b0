"""``archiver init``."""

from __future__ import annotations

import os
from pathlib import Path

import click

from archiver import config, config_file, profiles
from archiver.cli.session import FilePath, Session, Text, entry
from archiver.errors import ConfigProblem, StorageProblem, UsageProblem
from archiver.intake.enclosure import check_separate


@entry
@click.option("--archive", required=True, metavar="DIR", help="Where the archive will lie; new or empty.")
@click.option("--watch", required=True, metavar="DIR", help="The folder to watch; it is only ever read.")
@click.option(
    "--layout",
    type=click.Choice(config.LAYOUTS),
    default=config.LAYOUT_SUBMISSION,
    show_default=True,
    help="What the folder levels mean.",
)
@click.option("--retention-years", type=int, default=profiles.FLOOR_YEARS, show_default=True, help="3 or more.")
@click.option(
    "--adopt", is_flag=True, help="DIR holds a clone (DIR/archive.git) and its keys: make it an archive."
)
@click.option(
    "--tsa-url", type=Text(), default="", metavar="URL", help="A time-stamp authority (RFC 3161), for good."
)
@click.option("--tsa-root", type=FilePath(), metavar="FILE", help="Its root certificate (PEM), pinned for good.")
def command(
    session: Session,
    archive: str,
    watch: str,
    layout: str,
    retention_years: int,
    adopt: bool,
    tsa_url: str,
    tsa_root: Path | None,
) -> None:
    """Make an archive, its signing key, and archiver.toml."""
    from archiver.store.adoption import adopt as take_in
    from archiver.store.archive import Archive
    from archiver.store.names import text

    settings = config.Config(
        source=Path(session.config_file or "archiver.toml"),
        archive=Path(os.path.abspath(archive)),
        watch=Path(os.path.abspath(watch)),
        layout=layout,
        retention_years=retention_years,
        timestamp_url=tsa_url,
    )
    _check(settings, adopt)
    roots = _authority(tsa_url, tsa_root, adopt)
    rendered = config_file.render(settings)
    details = {
        "watch": text(os.fsencode(settings.watch)),
        "layout": layout,
        "retention_years": retention_years,
        "timezone": settings.timezone,
    }
    try:
        with open(settings.source, "x", encoding="utf-8") as stream:
            # Whatever the umask: one that others may write would not be used.
            os.fchmod(stream.fileno(), 0o644)
            stream.write(rendered)
        try:
            made = (
                take_in(settings.archive, details) if adopt else Archive.create(settings.archive, details, roots)
            )
            made.close()
        except BaseException:
            settings.source.unlink()
            raise
    except OSError as error:
        raise StorageProblem(
            "{path} cannot be written ({reason}). No archive was made. Choose another place, or mend the "
            "permissions.",
            path=error.filename or settings.archive,
            reason=error.strerror,
        ) from None
    console = session.console
    console.say("The archive is at {path}.", path=settings.archive)
    console.say("Its settings are in {path}.", path=os.path.abspath(settings.source))
    console.say(
        "Keep a copy of {path} in a safe place: a clone of the archive has no key.",
        path=settings.archive / "keys",
    )
    console.say("Start archiving with: archiver run")


def _authority(url: str, root: Path | None, adopt: bool) -> dict[str, bytes]:
    """The certificates to pin; raises UsageProblem where they cannot be."""
    from archiver.evidence import tokens

    if not url and root is None:
        return {}
    data = root.read_bytes() if root is not None else b""
    try:
        usable = url.startswith(("http://", "https://")) and tokens.parse_roots(data) > 0
    except ValueError:
        usable = False
    if not usable or adopt:
        raise UsageProblem(
            "A time-stamp authority needs --tsa-url with http:// or https://, and --tsa-root with its "
            "certificates (PEM); a clone that is adopted keeps the one it has. Nothing was made."
        )
    return {tokens.ROOTS_FILE: data}


def _check(settings: config.Config, adopt: bool) -> None:
    if not profiles.FLOOR_YEARS <= settings.retention_years <= config.CEILING_YEARS:
        raise ConfigProblem(
            "A retention of {years} years is refused: filing materials are kept at least {floor} years. "
            "Nothing was made. Say --retention-years {floor} or more.",
            years=settings.retention_years,
            floor=profiles.FLOOR_YEARS,
        )
    if not settings.watch.is_dir():
        raise UsageProblem(
            "The folder to watch, {path}, does not exist. Nothing was made. Make it first, or mend the name.",
            path=settings.watch,
        )
    config.check_places(settings.archive, settings.watch)
    check_separate(settings.archive, settings.watch, is_new=True)
    if settings.source.exists():
        raise UsageProblem(
            "{path} is already there. Nothing was made. Name another file with --config.",
            path=settings.source,
        )
    if (
        not adopt
        and settings.archive.exists()
        and (not settings.archive.is_dir() or any(settings.archive.iterdir()))
    ):
        raise UsageProblem(
            "{path} is already there and not empty. Nothing was made. Choose a new folder.",
            path=settings.archive,
        )
