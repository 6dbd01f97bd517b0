"""Detect that the archive and the watched folder lie inside one another, by whatever path.

A bind mount or a container volume gives one folder several paths.  Device and inode identify it all the same, and
the mount table says from which folder of its filesystem a mount is taken.
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
    """A path within a filesystem, which stays the same however the filesystem is mounted."""

    device: bytes
    path: bytes


def check_separate(archive: Path, watch: Path, *, is_new: bool = False) -> None:
    """Refuse an archive and a watched folder that are one, or lie inside one another.

    An archive deeper inside the watched folder is refused only if it ``is_new``: a running service passes over it
    when a scan meets it, and the other filings stay archived.

    Raises ConfigError.
    """
    archive_path, watch_path = (os.path.realpath(os.fsencode(path)) for path in (archive, watch))
    mount_table = mounts.read_mounts()
    # A folder on a filesystem that may hang is not looked at; such a filesystem does not hold the archive either.
    may_hang = mounts.untrusted_mount(watch_path, mount_table) is not None
    examined_path = os.path.dirname(watch_path) if may_hang else watch_path
    watch_identities, archive_identities = _identities(examined_path), _identities(archive_path)
    is_inside = bool(OwnFiles(archive_path).identities & watch_identities)
    is_around = not may_hang and not archive_identities.isdisjoint(_identities(watch_path, with_parents=False))
    archive_location, watch_location = _location(archive_path, mount_table), _location(watch_path, mount_table)
    is_inside = is_inside or _is_at_or_below(watch_location, archive_location)
    if is_new:
        # What a scan would walk: the folder itself, and what is mounted in it.
        inner_mounts = [mount.point for mount in mount_table if mount.point.startswith(watch_path + b"/")]
        scanned = [watch_location, *(_location(point, mount_table) for point in inner_mounts)]
        is_around = is_around or any(_is_at_or_below(archive_location, location) for location in scanned)
    if is_inside or is_around:
        raise ConfigError(
            "The archive {archive} and the watched folder {watch} are one folder, or lie inside one another, by "
            "another path (a bind mount, a container volume). Nothing was changed. Choose two separate folders.",
            archive=archive,
            watch=watch,
        )


def _identities(path: bytes, *, with_parents: bool = True) -> set[tuple[int, int]]:
    """Return device and inode of a folder and of the folders around it, as far as they can be read."""
    identities = set()
    for folder in (path, *(_parents(path) if with_parents else ())):
        try:
            status = os.stat(folder)
        except OSError:
            # Not there yet, or closed to this user: it cannot be compared, and the mount table still is.
            continue
        identities.add((status.st_dev, status.st_ino))
    return identities


def _parents(path: bytes) -> list[bytes]:
    parents = []
    while path != (path := os.path.dirname(path)):
        parents.append(path)
    return parents


def _location(path: bytes, mount_table: list[Mount]) -> _Location | None:
    """Return the place of a path within its filesystem; None if the mount table does not tell."""
    mount = mounts.mount_of(path, mount_table)
    if not mount.device or mount.is_remote:
        # Two exports of one NFS server have one number, and each calls its root "/".
        return None
    below_mount = path[len(mount.point.rstrip(b"/")) :]
    return _Location(mount.device, (mount.root.rstrip(b"/") + below_mount).rstrip(b"/"))


def _is_at_or_below(location: _Location | None, top: _Location | None) -> bool:
    if location is None or top is None or location.device != top.device:
        return False
    return location.path == top.path or location.path.startswith(top.path + b"/")
