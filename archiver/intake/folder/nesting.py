"""Detect an archive inside the watched folder, or the reverse, even if their paths do not show it.

A bind mount or a container volume gives a folder several paths.  Device and inode still identify the folder, and
the mount table shows which folder of a filesystem is mounted.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from archiver.errors import ConfigError
from archiver.intake.folder import mounts
from archiver.intake.folder.mounts import Mount
from archiver.store.content.own_files import OwnFiles


class _Location(NamedTuple):
    """The position of a folder on its filesystem, which is the same wherever the filesystem is mounted."""

    device: bytes  # of the filesystem, as MAJOR:MINOR
    path: bytes  # from the root of the filesystem, without a slash at the end


def check_folders_not_nested(archive: Path, watch: Path, *, is_archive_new: bool = False) -> None:
    """Raise ConfigError if the archive and the watched folder are the same folder, or one lies inside the other.

    :func:`archiver.config.loader.check_paths_not_nested` compares the paths alone.  This function also recognizes
    folders under other paths, by device and inode and by the mount table.

    With ``is_archive_new``, the archive is refused even if only the mount table shows that it lies inside the
    watched folder.  An existing archive is accepted in this case: scans skip its files, and a refusal would stop a
    running service.
    """
    archive_path, watch_path = (os.path.realpath(os.fsencode(path)) for path in (archive, watch))
    mount_table = mounts.read_mounts()
    if (
        _is_nested_by_inode(archive_path, watch_path, mount_table)
        or _is_watch_inside_by_mount(archive_path, watch_path, mount_table)
        or (is_archive_new and _is_archive_inside_by_mount(archive_path, watch_path, mount_table))
    ):
        raise ConfigError(
            "The archive {archive} and the watched folder {watch} are the same folder, or one contains the "
            "other, through another path (a bind mount, a container volume). Nothing was changed. Choose two "
            "separate folders.",
            archive=archive,
            watch=watch,
        )


def _is_nested_by_inode(archive_path: bytes, watch_path: bytes, mount_table: list[Mount]) -> bool:
    """Return True if the two folders are the same, or one is inside the other, by their devices and inodes.

    Both paths are absolute and free of links.
    """
    # A stat of a remote folder may hang, so a remote watched folder is not examined itself, only its parents.
    is_watch_remote = mounts.find_remote_mount(watch_path, mount_table) is not None
    lowest_examined_path = os.path.dirname(watch_path) if is_watch_remote else watch_path
    watch_and_parents = _read_identities([lowest_examined_path, *_parent_folders(lowest_examined_path)])
    # The archive's folder and the uppermost folders and files inside it.
    archive_and_contents = OwnFiles(archive_path).identities
    if not archive_and_contents.isdisjoint(watch_and_parents):
        return True
    if is_watch_remote:
        return False
    archive_and_parents = _read_identities([archive_path, *_parent_folders(archive_path)])
    return not archive_and_parents.isdisjoint(_read_identities([watch_path]))


def _is_watch_inside_by_mount(archive_path: bytes, watch_path: bytes, mount_table: list[Mount]) -> bool:
    """Return True if the watched folder is the archive's folder, or lies in it, on the underlying filesystem.

    A bind mount can show a folder of the archive elsewhere, where none of its parent folders is the archive.
    """
    return _is_at_or_below(_find_location(watch_path, mount_table), _find_location(archive_path, mount_table))


def _is_archive_inside_by_mount(archive_path: bytes, watch_path: bytes, mount_table: list[Mount]) -> bool:
    """Return True if the archive lies, on the underlying filesystem, in a folder that a scan would enter.

    These are the watched folder and every folder that is mounted in it.
    """
    inner_mount_points = [mount.point for mount in mount_table if mount.point.startswith(watch_path + b"/")]
    archive_location = _find_location(archive_path, mount_table)
    return any(
        _is_at_or_below(archive_location, _find_location(scanned_path, mount_table))
        for scanned_path in (watch_path, *inner_mount_points)
    )


def _read_identities(folders: Iterable[bytes]) -> set[tuple[int, int]]:
    """Return device and inode of each folder; folders that cannot be examined are left out."""
    identities = set()
    for folder in folders:
        try:
            folder_stat = os.stat(folder)
        except OSError:
            # The folder does not exist yet, or this user may not reach it.  The mount table is still compared.
            continue
        identities.add((folder_stat.st_dev, folder_stat.st_ino))
    return identities


def _parent_folders(path: bytes) -> list[bytes]:
    """Return the paths of all folders above an absolute path, the nearest first and ``/`` last."""
    parent_folders = []
    # The folder above ``/`` is ``/`` itself.
    while (parent_folder := os.path.dirname(path)) != path:
        parent_folders.append(parent_folder)
        path = parent_folder
    return parent_folders


def _find_location(path: bytes, mount_table: list[Mount]) -> _Location | None:
    """Return the location of ``path`` on its filesystem; None if the mount table does not show the location."""
    mount = mounts.find_mount(path, mount_table)
    if not mount.device or mount.is_remote:
        # Two exports of one NFS server have the same device number, and the root of each is "/".
        return None
    path_below_mount = path[len(mount.point.rstrip(b"/")) :]
    return _Location(mount.device, (mount.root.rstrip(b"/") + path_below_mount).rstrip(b"/"))


def _is_at_or_below(location: _Location | None, folder: _Location | None) -> bool:
    """Return True if ``location`` is ``folder`` or lies in it; False if one is None, which means unknown."""
    if location is None or folder is None or location.device != folder.device:
        return False
    return location.path == folder.path or location.path.startswith(folder.path + b"/")
