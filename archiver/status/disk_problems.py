"""Find problems with the archive's disk, as far as ``status`` can see without writing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from archiver.daemon.trouble import ALARM
from archiver.errors import LazyMessage
from archiver.store import lock

#: A version with its objects takes some inodes for each file: below this a large folder fails halfway. More would
#: warn on small disks that are fine.
_MIN_FREE_INODES = 10_000
#: Without these no version can be written.
_WRITTEN_FOLDERS = ("spool", "archive.git/objects", "archive.git/refs", "archive.git/lfs/objects")


def disk_problems(archive: Path, is_scarce: bool) -> Iterator[LazyMessage]:
    """Yield whatever keeps the archive from being written to.

    ``is_scarce``: the forecast says that the disk will be full soon.

    Raises OSError if the archive's folder cannot be read.
    """
    if lock.describe_holder(archive / ALARM):
        yield LazyMessage.define("the daemon cannot write to the archive", code="status.not-writable")
    if not all(_takes_files(archive, folder_name) for folder_name in _WRITTEN_FOLDERS):
        yield LazyMessage.define(
            "a folder of the archive is missing or takes no files", code="status.folder-refuses"
        )
    volume = os.statvfs(archive)
    if volume.f_flag & os.ST_RDONLY:
        yield LazyMessage.define("the archive's disk is mounted read-only", code="status.disk-read-only")
    if is_scarce:
        yield LazyMessage.define("the archive's disk will be full soon", code="status.disk-scarce")
    if volume.f_files and volume.f_favail < _MIN_FREE_INODES:
        yield LazyMessage.define("the archive's disk has few inodes left", code="status.few-inodes")


def _takes_files(archive: Path, folder_name: str) -> bool:
    """Return True if the archive's owner may write in the folder, by its mode and owner: nothing is tried."""
    try:
        folder_stat, root_stat = os.stat(archive / folder_name), os.stat(archive)
    except OSError:
        # A missing folder takes no files; nor does a folder behind a permission that was taken away.
        return False
    is_writable = folder_stat.st_mode & stat.S_IRWXU == stat.S_IRWXU
    return stat.S_ISDIR(folder_stat.st_mode) and is_writable and folder_stat.st_uid == root_stat.st_uid
