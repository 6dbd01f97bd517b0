"""Rebuilding a complete archive from the bucket alone, on a new machine.

History comes first and becomes ``archive.git`` in one rename. Content follows in batches, so an interrupted
rebuild goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
import time
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile

from archiver.config import template
from archiver.config.bucket_access import BucketAccess
from archiver.config.settings import Config
from archiver.errors import StorageError
from archiver.path_existence import is_there
from archiver.replica.bucket import Bucket, BucketProblem, ObjectMissing, ObjectVersion
from archiver.replica.bucket_settings import settings_from_url
from archiver.replica.object_names import CONTENT_PREFIX, parse_content_key
from archiver.replica.parallel_transfers import Progress, split_into_batches
from archiver.replica.rebuild_history import rebuild_history
from archiver.replica.s3 import S3Bucket
from archiver.retention.disposal_selection import needed_content
from archiver.store import names, permissions
from archiver.store.archive import Archive
from archiver.store.events.archive_events import ArchiveCreated
from archiver.store.fsync import sync_filesystem
from archiver.store.index import overview

#: Objects between two syncs of the filesystem. Fewer: a sync takes longer than the download. More: an interrupted
#: rebuild downloads more again.
_BATCH_SIZE = 500
_CONTENT_MODE = 0o444
#: Pauses before further attempts at an object whose connection broke; the client retries only whole requests.
_RETRY_PAUSES_SECONDS = (0.2, 1.0)
#: The archive is new: nobody but another rebuild can hold its lock.
_LOCK_TIMEOUT = 30


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """The events and content recovered from the bucket."""

    event_count: int
    object_count: int = 0
    byte_count: int = 0
    #: SHA-256 of content of which the bucket has no undamaged version.
    missing_content: tuple[str, ...] = ()


def rebuild_from_url(
    url: str,
    access: BucketAccess,
    root: Path,
    key_folder: Path | None,
    *,
    only_history: bool,
    progress: Progress,
) -> tuple[RebuildResult, Path]:
    """Rebuild the archive whose replica lies at ``url``, and write a configuration beside ``root``.

    Returns the result and the path of the configuration. Raises UsageError for a bad address, ConfigError
    without boto3 or credentials, and what :func:`rebuild_archive` raises.
    """
    settings = settings_from_url(url, access)
    root = root.absolute()
    result = rebuild_archive(
        S3Bucket(settings), root, key_folder, settings.thread_count, only_history=only_history, progress=progress
    )
    return result, _write_config(root, access)


def rebuild_archive(
    bucket: Bucket,
    root: Path,
    key_folder: Path | None,
    thread_count: int,
    *,
    only_history: bool = False,
    progress: Progress = lambda _received, _total: None,
) -> RebuildResult:
    """Rebuild the archive at ``root``, or go on with an interrupted rebuild.

    ``key_folder`` is a copy of the signing key, which the bucket never has. With ``only_history`` no content is
    downloaded; a later call without it does that.

    Raises NotFoundError if the bucket has no archive, StorageError if its history is damaged or the disk fails,
    and BucketProblem. Without a complete history nothing is left behind.
    """
    with permissions.masked():
        if not is_there(root / "archive.git"):
            rebuild_history(bucket, root)
        _create_folders(root, key_folder)
        archive = Archive(root)
        try:
            with archive.writing(_LOCK_TIMEOUT):
                archive.reindex()
            allowed_signers = archive.keys / "allowed_signers"
            if not is_there(allowed_signers):
                allowed_signers.write_bytes(archive.signers())
            newest_event = archive.journal.head()
            result = RebuildResult(newest_event.seq if newest_event else 0)
            if not only_history:
                result = _download_content(bucket, archive, thread_count, progress, result.event_count)
            sync_filesystem(root)
            return result
        finally:
            archive.close()


def _write_config(root: Path, access: BucketAccess) -> Path:
    """Write a configuration beside the archive at ``root``, unless the file exists; return the path.

    The file names the former watched folder and the access to the bucket, but no keys.
    """
    path = root.with_name(f"{root.name}.toml")
    if not is_there(path):
        path.write_text(template.render(_config_of_archive(root, path)) + _replica_table(access), encoding="utf-8")
    return path


def _config_of_archive(root: Path, config_path: Path) -> Config:
    """Return a configuration from the journal: watched folder, layout, and the longest promised retention.

    Settings that the journal does not have get their defaults. Promises stay in force whatever a configuration
    says.
    """
    archive = Archive(root)
    try:
        first_event = archive.journal.first()
        watched_folder = (
            names.raw(ArchiveCreated.from_details(first_event.details).watch or "") if first_event else b""
        )
        return Config(
            source=config_path,
            archive=root,
            watch=Path(os.fsdecode(watched_folder)),
            layout=archive.index.layout,
            retention_years=max(archive.index.promises().years.values(), default=3),
        )
    finally:
        archive.close()


def _replica_table(access: BucketAccess) -> str:
    credentials = os.path.abspath(access.credentials) if access.credentials else ""
    values = {"endpoint": access.endpoint, "region": access.region, "credentials": credentials}
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if value]
    return "\n".join(["", "[replica]", *lines, ""])


def _create_folders(root: Path, key_folder: Path | None) -> None:
    """Create the folders beside ``archive.git``, and copy the signing key from ``key_folder`` if given.

    Raises StorageError if the key cannot be copied; the folders stay.
    """
    for name in ("spool", "keys"):
        (root / name).mkdir(exist_ok=True)
    (root / "keys").chmod(0o700)
    if key_folder is not None:
        try:
            shutil.copyfile(key_folder / "signing_key", root / "keys" / "signing_key")
        except OSError as error:
            raise StorageError(
                "The signing key {path} cannot be copied ({reason}). What came back so far stays. Name the folder "
                "that key backup wrote with --keys, and run this again.",
                path=key_folder / "signing_key",
                reason=error.strerror,
            ) from None
        (root / "keys" / "signing_key").chmod(0o600)
    permissions.grant_access(root, None)


# --- content


def _absent_content(archive: Archive) -> dict[str, int]:
    """Return size by SHA-256 of the content that versions need and the archive lacks."""
    needed = needed_content(archive.index)
    intervals = overview.content_intervals(archive.index)
    sizes = {sha256: size for _, sha256, size, _, _ in intervals if sha256 in needed}
    return {sha256: size for sha256, size in sizes.items() if not archive.content.has(sha256, size)}


def _download_content(
    bucket: Bucket, archive: Archive, thread_count: int, progress: Progress, event_count: int
) -> RebuildResult:
    """Download the absent content, batch by batch.

    Raises BucketProblem if a connection keeps breaking; the batches before are in the archive then.
    """
    absent = _absent_content(archive)
    versions: dict[str, list[ObjectVersion]] = defaultdict(list)
    for version in bucket.list_versions(CONTENT_PREFIX):
        sha256 = parse_content_key(version.key)
        if sha256 in absent and not version.is_delete_marker:
            versions[str(sha256)].append(version)

    def download(sha256: str) -> str | None:
        return _download_first_whole(bucket, archive.spool, versions.get(sha256, ()), sha256)

    total_bytes, handled_bytes, missing = sum(absent.values()), 0, []
    with ThreadPoolExecutor(thread_count) as pool:
        for batch in split_into_batches(sorted(absent), _BATCH_SIZE):
            staged_paths = dict(zip(batch, pool.map(download, batch), strict=True))
            # Crash window: bytes first, names second, as in every capture.
            sync_filesystem(archive.root)
            for sha256, path in staged_paths.items():
                if path is None:
                    missing.append(sha256)
                else:
                    _publish(archive, path, sha256)
            handled_bytes += sum(absent[sha256] for sha256 in batch)
            progress(handled_bytes, total_bytes)
    byte_count = total_bytes - sum(absent[sha256] for sha256 in missing)
    return RebuildResult(event_count, len(absent) - len(missing), byte_count, tuple(missing))


def _download_first_whole(
    bucket: Bucket, spool: Path, versions: Iterable[ObjectVersion], sha256: str
) -> str | None:
    """Download the oldest version that has the digest; return the file in the spool, None if there is none."""
    for version in sorted(versions, key=lambda version: version.modified_at):
        if path := _download_with_retries(bucket, spool, version, sha256):
            return path
    return None


def _download_with_retries(bucket: Bucket, spool: Path, version: ObjectVersion, sha256: str) -> str | None:
    for pause_seconds in _RETRY_PAUSES_SECONDS:
        try:
            return _download(bucket, spool, version, sha256)
        except BucketProblem:  # the last attempt, below, raises
            time.sleep(pause_seconds)
    return _download(bucket, spool, version, sha256)


def _download(bucket: Bucket, spool: Path, version: ObjectVersion, sha256: str) -> str | None:
    """Download a version into the spool and return the file; None, and no file, for another digest.

    Raises BucketProblem; no file is left then either.
    """
    digest = hashlib.sha256()
    with NamedTemporaryFile(dir=spool, prefix="tmp", delete=False) as stream:
        is_whole = False
        try:
            for data in bucket.download(version.key, version.version_id):
                digest.update(data)
                stream.write(data)
            is_whole = digest.hexdigest() == sha256
            os.fchmod(stream.fileno(), _CONTENT_MODE)
        except ObjectMissing:
            # Deleted since it was listed; another version may have the bytes.
            return None
        finally:
            if not is_whole:
                os.unlink(stream.name)
    return stream.name if is_whole else None


def _publish(archive: Archive, staged_path: str, sha256: str) -> None:
    """Rename a downloaded file to the path of the content object."""
    target = archive.content.path(sha256)
    # The process has a mask of its own here; the folders get the mode of the archive's.
    folder_mode = stat.S_IMODE(archive.content.objects.stat().st_mode) & 0o750
    for folder in (target.parent.parent, target.parent):
        folder.mkdir(folder_mode, exist_ok=True)
    os.rename(staged_path, target)
