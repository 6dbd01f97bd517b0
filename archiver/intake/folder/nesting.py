"""Detection of an archive inside the watched folder, or the reverse, even if different paths lead there.

A bind mount or a container volume gives a folder several paths.  Device and inode still identify the folder, and
the mount table shows which folder of a filesystem is mounted.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from archiver.errors import ConfigError
from archiver.intake.folder import mounts
from archiver.intake.folder.mounts import Mount
from archiver.store.content.own_files import OwnFiles


class _Location(NamedTuple):
    """A folder's place within its filesystem, which does not depend on how the filesystem is mounted."""

    device: bytes  # of the filesystem, as MAJOR:MINOR
    path: bytes  # from the root of the filesystem, without a slash at the end


def check_folders_not_nested(archive: Path, watch: Path, *, is_archive_new: bool = False) -> None:
    """Raise ConfigError if the archive and the watched folder are the same folder, or one lies inside the other.

    An archive inside the watched folder is refused if one of the archive's parent folders has the device and inode
    of the watched folder.  If the archive is only mounted inside, it is refused only if ``is_archive_new``: scans
    skip the files of an existing archive, and a refusal would stop a running service.
    """
    archive_path, watch_path = (os.path.realpath(os.fsencode(path)) for path in (archive, watch))
    mount_table = mounts.read_mounts()
    # A stat of a folder on a remote filesystem may hang, so only the folders above the watched one are examined.
    may_hang = mounts.find_remote_mount(watch_path, mount_table) is not None
    examined_path = os.path.dirname(watch_path) if may_hang else watch_path
    watch_identities, archive_identities = _folder_identities(examined_path), _folder_identities(archive_path)
    # Device and inode identify a folder under every path.
    is_watch_inside = bool(OwnFiles(archive_path).identities & watch_identities)
    is_archive_inside = not may_hang and not archive_identities.isdisjoint(
        _folder_identities(watch_path, with_parents=False)
    )
    # The places within the filesystem also show a nesting that the folders above the two paths do not show.
    archive_location, watch_location = _locate(archive_path, mount_table), _locate(watch_path, mount_table)
    is_watch_inside = is_watch_inside or _is_at_or_below(watch_location, archive_location)
    if is_archive_new:
        # A scan would walk the watched folder and everything that is mounted in it.
        inner_mount_points = [mount.point for mount in mount_table if mount.point.startswith(watch_path + b"/")]
        inner_locations = [_locate(mount_point, mount_table) for mount_point in inner_mount_points]
        is_archive_inside = is_archive_inside or any(
            _is_at_or_below(archive_location, location) for location in (watch_location, *inner_locations)
        )
    if is_watch_inside or is_archive_inside:
        raise ConfigError(
            "The archive {archive} and the watched folder {watch} are the same folder, or one contains the "
            "other, through another path (a bind mount, a container volume). Nothing was changed. Choose two "
            "separate folders.",
            archive=archive,
            watch=watch,
        )


def _folder_identities(path: bytes, *, with_parents: bool = True) -> set[tuple[int, int]]:
    """Return device and inode of the folder at ``path`` and, ``with_parents``, of all folders above.

    Folders that cannot be examined are left out.  ``path`` is absolute and free of links.
    """
    identities = set()
    for folder in (path, *(_parent_folders(path) if with_parents else ())):
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


def _locate(path: bytes, mount_table: list[Mount]) -> _Location | None:
    """Return the place of ``path`` within its filesystem; None if the mount table does not identify it."""
    mount = mounts.find_mount(path, mount_table)
    if not mount.device or mount.is_remote:
        # Two exports of one NFS server have the same device number, and the root of each is "/".
        return None
    path_below_mount = path[len(mount.point.rstrip(b"/")) :]
    return _Location(mount.device, (mount.root.rstrip(b"/") + path_below_mount).rstrip(b"/"))


def _is_at_or_below(location: _Location | None, folder: _Location | None) -> bool:
    """Return True if ``location`` is ``folder`` or lies in it; False if either is None, which is unknown."""
    if location is None or folder is None or location.device != folder.device:
        return False
    return location.path == folder.path or location.path.startswith(folder.path + b"/")
