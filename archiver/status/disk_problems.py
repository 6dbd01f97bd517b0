"""What is wrong with the disk that the archive lies on, as far as ``status`` can see."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from archiver.daemon.trouble import ALARM
from archiver.errors import LazyMessage
from archiver.store import lock

_FEW_INODES = 10_000
#: Without these no version can be written.
_WRITTEN = ("spool", "archive.git/objects", "archive.git/refs", "archive.git/lfs/objects")


def disk_problems(archive: Path, is_scarce: bool) -> Iterator[LazyMessage]:
    """Name what keeps the archive from being written to; ``is_scarce``: it will be full soon.  Raises OSError."""
    if lock.holder(archive / ALARM):
        yield LazyMessage.define("the daemon cannot write to the archive", code="status.not-writable")
    if not all(_takes_files(archive, name) for name in _WRITTEN):
        yield LazyMessage.define(
            "a folder of the archive is missing or takes no files", code="status.folder-refuses"
        )
    volume = os.statvfs(archive)
    if volume.f_flag & os.ST_RDONLY:
        yield LazyMessage.define("the archive's disk is mounted read-only", code="status.disk-read-only")
    if is_scarce:
        yield LazyMessage.define("the archive's disk will be full soon", code="status.disk-scarce")
    if volume.f_files and volume.f_favail < _FEW_INODES:
        yield LazyMessage.define("the archive's disk has few inodes left", code="status.few-inodes")


def _takes_files(archive: Path, name: str) -> bool:
    """Return True if the owner of the archive may write in one of its folders, as far as that shows."""
    try:
        folder, root = os.stat(archive / name), os.stat(archive)
    except OSError:
        return False
    is_open = folder.st_mode & stat.S_IRWXU == stat.S_IRWXU
    return stat.S_ISDIR(folder.st_mode) and is_open and folder.st_uid == root.st_uid
