"""``archiver replica``: the copy of the archive in a bucket of an S3 server.

An object is *locked* if the bucket refuses to delete the object before a certain time.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from archiver.cli.parameters import NamedChoice, RecordedText, json_option
from archiver.cli.session import Session, command, command_group
from archiver.errors import LazyMessage

replica_command = command_group("Manage the replica in a bucket with Object Lock.")


_endpoint_option = click.option(
    "--endpoint", type=RecordedText(), default="", metavar="URL", help="S3 endpoint URL (default: AWS)."
)
_region_option = click.option("--region", type=RecordedText(), default="", help="Region of the bucket.")
_style_option = click.option(
    "--style",
    type=NamedChoice(
        {
            "auto": LazyMessage("chosen for the endpoint"),
            "path": LazyMessage("bucket in the path"),
            "virtual": LazyMessage("bucket in the host name"),
        }
    ),
    default="auto",
    help="Addressing style of the bucket.",
)


@command("Test that the bucket enforces Object Lock, then replicate to it.")
@click.option(
    "--url",
    type=RecordedText(),
    required=True,
    metavar="s3://BUCKET/PREFIX",
    help="Bucket, and a prefix that only this archive uses.",
)
@_endpoint_option
@_region_option
@_style_option
@click.option(
    "--no-lock",
    is_flag=True,
    help=("Accept a bucket without Object Lock; archiver status shows that the lock is missing."),
)
def _init_replica(session: Session, url: str, endpoint: str, region: str, style: str, no_lock: bool) -> None:
    """Test the bucket, and journal the bucket as the replica, in place of any earlier replica.

    Raises UsageError for an invalid URL or the prefix of another archive, and StorageError if the bucket cannot be
    used, or if it does not lock objects and ``--no-lock`` was not typed.
    """
    from archiver.replica import create

    console = session.console
    archive = session.open_archive()
    replica_settings = create.settings_from_options(
        session.config, url, endpoint, region, style, uses_object_lock=not no_lock
    )
    lock_proof = create.create_replica(archive, replica_settings, session.lock_timeout)
    if replica_settings.uses_object_lock:
        console.info(
            "{url} enforces Object Lock: every attempt to change a locked object was refused.",
            url=replica_settings.url,
        )
    else:
        for broken_promise in lock_proof.broken_promises:
            console.info("Object Lock test failed: {what}", what=broken_promise)
        console.info("Using {url} without Object Lock, as requested.", url=replica_settings.url)
    console.info(
        "From now on, the service replicates to the bucket. To replicate immediately, run: archiver replica sync"
    )


@command("Upload missing data, update locks and holds, and delete disposed objects.")
@click.option("--now", is_flag=True, help="Upload new content, too, which is otherwise held back.")
@json_option
def _sync_replica(session: Session, now: bool, as_json: bool) -> None:
    """Bring the bucket up to date with the archive, and print the result.

    Uploads everything that the bucket lacks, extends locks, updates legal holds, and deletes disposed content.
    With ``now``, new content is not held back.  The option ``-v`` also prints each extended lock.

    Raises NotFoundError for an archive without a replica, ConfigError if boto3 or the credentials are missing, and
    StorageError if the bucket fails.  All earlier uploads stay recorded then.
    """
    from archiver.actions.maintenance_actions import SyncReplica

    sync_result = session.perform(SyncReplica(ends_grace_period=now))
    # "done" is a message for people, which the JSON output does not contain.
    summary, console = sync_result.pop("done"), session.console
    if as_json:
        console.print_json(sync_result)
        return
    console.info("{summary}", summary=summary)
    if session.verbosity:
        for extended_lock in sync_result["extended"]:
            console.info(
                "Locked until {until}: {object}", until=extended_lock["until"], object=extended_lock["object"]
            )
    for locked_object in sync_result["locked"]:
        if locked_object.get("restricted"):
            console.info(
                "Restricted, locked in the bucket until {until}: {sha256}",
                until=locked_object["until"],
                sha256=locked_object["sha256"],
            )
            continue
        console.info(
            "Deleted locally, locked in the bucket until {until}: {sha256}",
            until=locked_object["until"],
            sha256=locked_object["sha256"],
        )
    _print_held_back(session, sync_result["held_back"])
    for sha256 in sync_result["missing"]:
        console.info(
            "Damaged or missing locally and in the replica: {sha256}. To verify the archive, run: archiver verify",
            sha256=sha256,
        )


def _print_held_back(session: Session, held_back: Mapping[str, Any]) -> None:
    """Print how much new content the sync held back, and until when; print nothing if nothing is held back."""
    if not held_back["objects"]:
        return
    session.console.info(
        LazyMessage.define(
            "New content held back until {at}: {count} objects ({megabytes} MB). To upload it immediately, run: "
            "archiver replica sync --now",
            singular=(
                "New content held back until {at}: {count} object ({megabytes} MB). To upload it immediately, "
                "run: archiver replica sync --now"
            ),
        ),
        at=session.format_time(held_back["until"]),
        count=held_back["objects"],
        megabytes=f"{held_back['bytes'] / 1e6:.1f}",
    )


@command("Rebuild the archive from the bucket. Rerun to resume.")
@click.option(
    "--url", type=RecordedText(), required=True, metavar="s3://BUCKET/PREFIX", help="URL of the replica."
)
@click.option(
    "--to", "target_folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="New folder."
)
@_endpoint_option
@_region_option
@_style_option
@click.option(
    "--credentials",
    "credentials_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Credentials file, mode 0600.",
)
@click.option(
    "--keys",
    "key_folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help=("Folder with the backup of the signing key."),
)
@click.option("--only-history", is_flag=True, help="Restore only the history, without file content.")
def _rebuild_archive(
    session: Session,
    url: str,
    target_folder: Path,
    endpoint: str,
    region: str,
    style: str,
    credentials_file: Path | None,
    key_folder: Path | None,
    only_history: bool,
) -> None:
    """Rebuild the archive and write a configuration file next to it, without reading any configuration.

    Safe to repeat after a failure: objects that the archive already has are not downloaded again.  Content that
    the bucket lacks is listed, and is not a failure.  Raises UsageError for an invalid URL, and StorageError if
    the bucket cannot be read or the folder cannot be written.
    """
    from archiver.config.bucket_access import BucketAccess
    from archiver.replica.rebuild import rebuild_from_url
    from archiver.store.names import name_as_text

    console = session.console
    bucket_access = BucketAccess(
        endpoint=endpoint, region=region, addressing_style=style, credentials_file=credentials_file
    )
    rebuild_result, config_file = rebuild_from_url(
        url,
        bucket_access,
        target_folder,
        key_folder,
        only_history=only_history,
        progress=console.make_progress_display(),
    )
    console.info(
        "Rebuilt the archive in {path} (journal events: {events}, objects: {objects}, bytes: {bytes}).",
        events=rebuild_result.event_count,
        objects=rebuild_result.object_count,
        bytes=rebuild_result.byte_count,
        path=target_folder,
    )
    held_back_files = {held_back.sha256: held_back for held_back in rebuild_result.held_back_files}
    for sha256 in rebuild_result.missing_content:
        if held_back := held_back_files.get(sha256):
            console.info(
                "Missing in the bucket, probably held back because it was new: {tag}:{path} ({sha256})",
                tag=held_back.version_tag,
                path=name_as_text(held_back.path),
                sha256=sha256,
            )
        else:
            console.info("Missing in the bucket: {sha256}", sha256=sha256)
    for restriction in rebuild_result.missing_restricted:
        console.info(
            "Restricted, and so not in the bucket: {path} of {filing} ({reason}). If the old server still has it, "
            "copy the object {sha256} from there.",
            path=name_as_text(restriction.path),
            filing=restriction.filing,
            reason=restriction.reason,
            sha256=restriction.sha256,
        )
    if key_folder is None:
        console.info(
            "The signing key is never replicated. Copy its backup to {path}.", path=target_folder / "keys"
        )
    console.info("To verify the archive, run: archiver --config {path!q} verify", path=config_file)


replica_command.add_command(_init_replica, "init")
replica_command.add_command(_sync_replica, "sync")
replica_command.add_command(_rebuild_archive, "restore")
