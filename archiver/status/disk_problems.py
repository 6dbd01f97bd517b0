"""Find problems with the archive's disk without writing to it, and forecast when the disk will be full."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from archiver import clock
from archiver.daemon.failures import ALARM_FILE_NAME
from archiver.errors import LazyMessage
from archiver.status.disk_forecast import DiskForecast, forecast_disk_space, growth_period_start
from archiver.store import lock
from archiver.store.archive import Archive

#: A warning is due if fewer inodes are free: a version needs some inodes for each file, and the capture of a large
#: folder would fail. A higher limit would cause warnings on small disks that are in order.
_MIN_FREE_INODES = 10_000
#: Folders of the archive that every new version is written to.
_WRITTEN_FOLDERS = ("spool", "archive.git/objects", "archive.git/refs", "archive.git/lfs/objects")


def find_disk_problems(archive_folder: Path, is_scarce: bool) -> Iterator[LazyMessage]:
    """Yield the problems that prevent writing to the archive now, or soon will.

    ``is_scarce`` is :attr:`archiver.status.disk_forecast.DiskForecast.is_scarce` of the forecast.

    Raises OSError if the archive's folder cannot be read.
    """
    if lock.describe_lock_holder(archive_folder / ALARM_FILE_NAME):
        yield LazyMessage.define("the service cannot write to the archive", code="status.not-writable")
    if not all(_accepts_new_files(archive_folder, folder_name) for folder_name in _WRITTEN_FOLDERS):
        yield LazyMessage.define(
            "a folder of the archive is missing or not writable", code="status.folder-refuses"
        )
    filesystem = os.statvfs(archive_folder)
    if filesystem.f_flag & os.ST_RDONLY:
        yield LazyMessage.define("the archive's disk is mounted read-only", code="status.disk-read-only")
    if is_scarce:
        yield LazyMessage.define("the archive's disk will be full soon", code="status.disk-scarce")
    if filesystem.f_files and filesystem.f_favail < _MIN_FREE_INODES:
        yield LazyMessage.define("the archive's disk has few free inodes", code="status.few-inodes")


def _accepts_new_files(archive_folder: Path, folder_name: str) -> bool:
    """Return True if the mode and the owner of a folder allow the archive's owner to create files in it.

    ``folder_name`` is relative to ``archive_folder``. Nothing is written.
    """
    try:
        folder_stat, root_stat = os.stat(archive_folder / folder_name), os.stat(archive_folder)
    except OSError:
        # The folder is missing, or the caller may not enter a folder above it.
        return False
    is_writable = folder_stat.st_mode & stat.S_IRWXU == stat.S_IRWXU
    return stat.S_ISDIR(folder_stat.st_mode) and is_writable and folder_stat.st_uid == root_stat.st_uid


def forecast_archive_disk(archive: Archive, now: datetime) -> DiskForecast:
    """Forecast at ``now`` when the archive's filesystem will be full, from the content captured so far.

    Raises OSError if the archive's folder cannot be read.
    """
    filesystem = os.statvfs(archive.root)
    first_capture = archive.index.first_capture_time()
    growth_start = growth_period_start(clock.parse_time(first_capture) if first_capture else None, now)
    grown_bytes = archive.index.new_content_bytes(clock.format_time(growth_start)) if growth_start else 0
    return forecast_disk_space(
        free_bytes=filesystem.f_bavail * filesystem.f_frsize,
        total_bytes=filesystem.f_blocks * filesystem.f_frsize,
        grown_bytes=grown_bytes,
        growth_start=growth_start,
        now=now,
    )
