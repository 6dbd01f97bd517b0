"""Rebuilds a complete archive from the bucket alone, on a new machine.

History comes first and becomes ``archive.git`` in a single rename. Content follows in batches, so an interrupted
rebuild continues after the last complete batch.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import tempfile
import time
from collections import defaultdict
from collections.abc import Container, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from archiver.config import template, value_types
from archiver.config.bucket_access import BucketAccess
from archiver.config.settings import CEILING_YEARS, Config
from archiver.errors import StorageError
from archiver.path_existence import is_there
from archiver.profiles import FLOOR_YEARS
from archiver.replica.bucket import Bucket, BucketProblem, ObjectMissing, ObjectVersion
from archiver.replica.bucket_settings import settings_from_url
from archiver.replica.desired_objects import HeldBackFile, find_held_back_files
from archiver.replica.object_names import CONTENT_PREFIX, parse_content_key
from archiver.replica.parallel_transfers import Progress, split_into_batches
from archiver.replica.rebuild_history import rebuild_history
from archiver.replica.s3 import S3Bucket
from archiver.retention.disposal_selection import find_needed_objects
from archiver.retention.file_restriction import enforce_restrictions
from archiver.store import permissions
from archiver.store.archive import Archive
from archiver.store.fsync import sync_filesystem
from archiver.store.index import overview
from archiver.store.index.restrictions import Restriction, list_restrictions, restricted_content

#: Objects between two syncs of the filesystem. With fewer objects, the syncs take longer than the downloads. With
#: more, an interrupted rebuild downloads more objects a second time.
_BATCH_SIZE = 500
#: Nobody may write to a content object.
_CONTENT_MODE = 0o444
#: Only the owner may enter the folder of the keys, and read the signing key.
_KEY_FOLDER_MODE, _SIGNING_KEY_MODE = 0o700, 0o600
#: Mode bits that a folder of content objects may have: no write access for the group, and no access for others.
_CONTENT_FOLDER_MODE_BITS = 0o750
#: Pauses before further attempts to download an object after the connection broke. The S3 client repeats a failed
#: request, but not the reading of the content.
_RETRY_PAUSES_SECONDS = (0.2, 1.0)
#: Seconds to wait for the writer's lock. The archive is new, so only another rebuild can hold it.
_LOCK_TIMEOUT = 30


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """The number of events in the archive, and the content that this rebuild downloaded."""

    event_count: int
    object_count: int = 0
    byte_count: int = 0
    #: The SHA-256 of each content object of which the bucket has no undamaged version, sorted.
    missing_content: tuple[str, ...] = ()
    #: The restrictions of restricted content that the bucket lacks, which ``missing_content`` leaves out.
    missing_restricted: tuple[Restriction, ...] = ()
    #: The first file of each object in ``missing_content`` that was probably held back: the content was still new
    #: at the newest event of the history.
    held_back_files: tuple[HeldBackFile, ...] = ()


def rebuild_from_url(
    url: str,
    access: BucketAccess,
    root: Path,
    key_folder: Path | None,
    *,
    only_history: bool,
    progress: Progress,
) -> tuple[RebuildResult, Path]:
    """Rebuild the archive from the replica at ``url`` (``s3://BUCKET/PREFIX``), and write a configuration for it.

    The configuration is written next to the folder ``root``, unless the file exists. The other parameters are
    those of :func:`rebuild_archive`. Returns the result of the rebuild and the path of the configuration.

    Raises UsageError for an invalid address, ConfigError if boto3 or the credentials are missing, OSError if the
    configuration cannot be written, and the errors of :func:`rebuild_archive`.
    """
    settings = settings_from_url(url, access)
    root = root.absolute()
    rebuild_result = rebuild_archive(
        S3Bucket(settings), root, key_folder, settings.thread_count, only_history=only_history, progress=progress
    )
    return rebuild_result, _write_config(root, access)


def rebuild_archive(
    bucket: Bucket,
    root: Path,
    key_folder: Path | None,
    thread_count: int,
    *,
    only_history: bool = False,
    progress: Progress = lambda _received, _total: None,
) -> RebuildResult:
    """Rebuild the archive at ``root``, or continue an interrupted rebuild.

    ``key_folder`` is a folder with a backup of the signing key, which is never sent to the bucket. None: the
    archive gets no signing key. With ``only_history`` no content is downloaded; a later call without
    ``only_history`` downloads the content. ``progress`` is called after each batch with the bytes of content
    handled so far and in total.

    Content that cannot be recovered is not an error: see :attr:`RebuildResult.missing_content`.

    Raises NotFoundError if the bucket has no archive, StorageError if its history is damaged or the disk fails,
    BucketProblem if the bucket fails, and Busy if another rebuild is active. A failure before the history is
    complete leaves no files. After a later failure, everything that was rebuilt so far stays.
    """
    with permissions.archive_umask():
        if not is_there(root / "archive.git"):
            rebuild_history(bucket, root)
        _create_folders_and_copy_key(root, key_folder)
        archive = Archive(root)
        try:
            with archive.writing(_LOCK_TIMEOUT):
                archive.reindex()
            allowed_signers = archive.keys_folder / "allowed_signers"
            if not is_there(allowed_signers):
                allowed_signers.write_bytes(archive.journalled_signers())
            newest_event = archive.journal.newest_event()
            rebuild_result = RebuildResult(newest_event.seq if newest_event else 0)
            if not only_history:
                rebuild_result = _download_content(
                    bucket, archive, thread_count, progress, rebuild_result.event_count
                )
                enforce_restrictions(archive)
            sync_filesystem(root)
            return rebuild_result
        finally:
            archive.close()


def _write_config(root: Path, access: BucketAccess) -> Path:
    """Write a configuration file next to the archive at ``root``, unless the file exists. Return the path.

    The file contains the watched folder of the lost server and how to access the bucket, but no access keys.
    """
    config_path = root.with_name(f"{root.name}.toml")
    if not is_there(config_path):
        config_text = template.render_config(_build_config(root, config_path)) + _render_replica_table(access)
        config_path.write_text(config_text, encoding="utf-8")
    return config_path


def _build_config(root: Path, config_path: Path) -> Config:
    """Build a configuration with the watched folder, the layout and the retention promises in the journal.

    All other settings have their defaults, except the time zone. Only the promise for the whole archive is
    configured. All promises in the journal stay in force whatever the configuration says, and the configuration
    promises nothing beyond them, because nobody has decided on a longer retention.
    """
    archive = Archive(root)
    try:
        promises = archive.index.retention_promises()
        promised_years = max(promises.years.get("", FLOOR_YEARS), FLOOR_YEARS)
        config = Config(
            source=config_path,
            archive=root,
            watch=Path(os.fsdecode(archive.index.watch_path or b"")),
            layout=archive.index.layout,
            retention_years=min(promised_years, CEILING_YEARS),
            hold_while_live=promises.live,
        )
        # A time zone that this system lacks would make the configuration invalid.
        known_zones = [zone for zone in promises.zones if value_types.TIME_ZONE.accepts(zone)]
        if known_zones and config.timezone not in known_zones:
            return replace(config, timezone=known_zones[0])
        return config
    finally:
        archive.close()


def _render_replica_table(access: BucketAccess) -> str:
    """Return the TOML table ``[replica]`` with the settings that are not empty, to append to a configuration."""
    credentials = os.path.abspath(access.credentials_file) if access.credentials_file else ""
    settings = {"endpoint": access.endpoint, "region": access.region, "credentials": credentials}
    # A JSON string is also a TOML string.
    setting_lines = [f"{key} = {json.dumps(setting)}" for key, setting in settings.items() if setting]
    return "\n".join(["", "[replica]", *setting_lines, ""])


def _create_folders_and_copy_key(root: Path, key_folder: Path | None) -> None:
    """Create the folders next to ``archive.git``, and copy the signing key from ``key_folder`` unless it is None.

    Also restricts access to ``root``, and to all files in the archive, to the owner. Existing folders are kept.

    Raises StorageError if the key cannot be copied. The new folders stay then.
    """
    keys_folder = root / "keys"
    (root / "spool").mkdir(exist_ok=True)
    keys_folder.mkdir(exist_ok=True)
    keys_folder.chmod(_KEY_FOLDER_MODE)
    if key_folder is not None:
        try:
            shutil.copyfile(key_folder / "signing_key", keys_folder / "signing_key")
        except OSError as error:
            raise StorageError(
                "Cannot copy the signing key {path} ({reason}). No archived data was lost. Data that is already "
                "restored remains. Name the folder written by archiver key backup with --keys, then run this "
                "again.",
                path=key_folder / "signing_key",
                reason=error.strerror,
            ) from None
        (keys_folder / "signing_key").chmod(_SIGNING_KEY_MODE)
    permissions.set_access_for_group(root, None)


# --- content


def _find_absent_content(archive: Archive) -> dict[str, int]:
    """Return the sizes in bytes, by SHA-256, of content that versions need but the archive lacks."""
    needed_sha256s = find_needed_objects(archive.index)
    intervals = overview.content_intervals(archive.index)
    needed_sizes = {sha256: size for _, sha256, size, _, _ in intervals if sha256 in needed_sha256s}
    return {sha256: size for sha256, size in needed_sizes.items() if not archive.content.has_object(sha256, size)}


def _download_content(
    bucket: Bucket, archive: Archive, thread_count: int, progress: Progress, event_count: int
) -> RebuildResult:
    """Download content that the archive lacks, in batches, and move each batch into the archive.

    ``event_count`` is only passed on to the result. ``progress`` also counts content that cannot be recovered, so
    that the count reaches the total.

    Raises BucketProblem if every attempt to download an object fails. All earlier batches stay in the archive.
    """
    absent_sizes = _find_absent_content(archive)
    versions_by_sha256 = _list_content_versions(bucket, absent_sizes)

    def download_object(sha256: str) -> str | None:
        """Download a content object; return the path in the spool, or None without an undamaged version."""
        return _download_oldest_undamaged(bucket, archive.spool_folder, versions_by_sha256.get(sha256, ()), sha256)

    missing_content: list[str] = []
    total_bytes, handled_bytes = sum(absent_sizes.values()), 0
    with ThreadPoolExecutor(thread_count) as pool:
        for batch in split_into_batches(sorted(absent_sizes), _BATCH_SIZE):
            staged_paths = dict(zip(batch, pool.map(download_object, batch), strict=True))
            # Crash window: the bytes must be durable before a file gets its final name.
            sync_filesystem(archive.root)
            for sha256, staged_path in staged_paths.items():
                if staged_path is None:
                    missing_content.append(sha256)
                else:
                    _move_to_content_store(archive, staged_path, sha256)
            handled_bytes += sum(absent_sizes[sha256] for sha256 in batch)
            progress(handled_bytes, total_bytes)
    byte_count = total_bytes - sum(absent_sizes[sha256] for sha256 in missing_content)
    object_count = len(absent_sizes) - len(missing_content)
    restricted_digests = restricted_content(archive.index).intersection(missing_content)
    unrestricted_digests = tuple(sha256 for sha256 in missing_content if sha256 not in restricted_digests)
    return RebuildResult(
        event_count,
        object_count,
        byte_count,
        missing_content=unrestricted_digests,
        missing_restricted=tuple(
            restriction
            for restriction in list_restrictions(archive.index)
            if restriction.sha256 in restricted_digests
        ),
        held_back_files=tuple(find_held_back_files(archive, unrestricted_digests)),
    )


def _list_content_versions(bucket: Bucket, sha256s: Container[str]) -> dict[str, list[ObjectVersion]]:
    """Return the versions of content objects in the bucket, by SHA-256, for the digests in ``sha256s``."""
    versions_by_sha256: dict[str, list[ObjectVersion]] = defaultdict(list)
    for version in bucket.list_versions(CONTENT_PREFIX):
        sha256 = parse_content_key(version.key)
        if sha256 is not None and sha256 in sha256s and not version.is_delete_marker:
            versions_by_sha256[sha256].append(version)
    return versions_by_sha256


def _download_oldest_undamaged(
    bucket: Bucket, spool: Path, versions: Iterable[ObjectVersion], sha256: str
) -> str | None:
    """Download the oldest of ``versions`` whose content has the digest ``sha256``.

    Returns the path of the file in the spool, or None if no version has the digest. Raises BucketProblem if every
    attempt to download a version fails.
    """
    for version in sorted(versions, key=lambda version: version.modified_at):
        if staged_path := _download_with_retries(bucket, spool, version, sha256):
            return staged_path
    return None


def _download_with_retries(bucket: Bucket, spool: Path, version: ObjectVersion, sha256: str) -> str | None:
    """Call :func:`_download_if_undamaged`; after a failure of the bucket, pause and repeat the call.

    Raises BucketProblem if the last attempt fails as well.
    """
    for pause_seconds in _RETRY_PAUSES_SECONDS:
        try:
            return _download_if_undamaged(bucket, spool, version, sha256)
        except BucketProblem:
            # The connection may have broken. If the failure lasts, the attempt after the loop raises it.
            time.sleep(pause_seconds)
    return _download_if_undamaged(bucket, spool, version, sha256)


def _download_if_undamaged(bucket: Bucket, spool: Path, version: ObjectVersion, sha256: str) -> str | None:
    """Download a version into a new file in the spool, read-only for everybody.

    Returns the path of the file, for the caller to move. Returns None, and leaves no file, if the digest of the
    content is not ``sha256`` or the version does not exist.

    Raises BucketProblem if the download fails, OSError if the file cannot be written. No file is left then either.
    """
    digest = hashlib.sha256()
    descriptor, spool_path = tempfile.mkstemp(dir=spool, prefix="tmp")
    with open(descriptor, "wb") as spool_file:
        is_undamaged = False
        try:
            for chunk in bucket.download(version.key, version.version_id):
                digest.update(chunk)
                spool_file.write(chunk)
            spool_file.flush()
            os.fchmod(spool_file.fileno(), _CONTENT_MODE)
            is_undamaged = digest.hexdigest() == sha256
        except ObjectMissing:
            # The version was deleted since it was listed. Another version may have the content.
            return None
        finally:
            if not is_undamaged:
                os.unlink(spool_path)
    return spool_path if is_undamaged else None


def _move_to_content_store(archive: Archive, staged_path: str, sha256: str) -> None:
    """Move a downloaded file to the path of the content object ``sha256``, and create missing folders there.

    New folders get the mode of the folder of all content objects, restricted to _CONTENT_FOLDER_MODE_BITS.
    """
    object_path = archive.content.path(sha256)
    objects_folder_mode = stat.S_IMODE(archive.content.objects_folder.stat().st_mode)
    folder_mode = objects_folder_mode & _CONTENT_FOLDER_MODE_BITS
    for folder in (object_path.parent.parent, object_path.parent):
        folder.mkdir(folder_mode, exist_ok=True)
    os.rename(staged_path, object_path)
