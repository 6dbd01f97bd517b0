"""Know the mounts below the watched folder: a vanished mount leaves an empty folder, and deletes nothing."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterable, Mapping

from archiver.intake.folder import filesystem_id
from archiver.intake.folder.folder_identity import UUID_FILESYSTEMS, MountIdentity, identify_mount
from archiver.intake.folder.mounts import Mount
from archiver.store import names

_AUTOFS = "autofs"


class MountsBelow:
    """Identifies the mounts below a folder, and remembers the UUID of each."""

    def __init__(self, real_path: bytes) -> None:
        """Identify the mounts below ``real_path``, which is absolute and free of links."""
        self._real_path = real_path
        #: Device and number of a mount -> the UUID of its filesystem.
        self._uuids: dict[tuple[bytes, bytes], str] = {}

    def identify(self, mounts: Mapping[bytes, Mount]) -> list[MountIdentity]:
        """Return the identities of mounts, given by their paths below the folder; autofs itself is left out."""
        return [
            identify_mount(path, mount, self._read_uuid(path, mount))
            for path, mount in mounts.items()
            if mount.filesystem != _AUTOFS
        ]

    def _read_uuid(self, path: bytes, mount: Mount) -> str:
        """Return the UUID of a mount; empty for filesystems without a lasting UUID, which may hang."""
        if mount.filesystem not in UUID_FILESYSTEMS:
            return ""
        key = mount.device, mount.number
        if key not in self._uuids:
            try:
                descriptor = os.open(os.path.join(self._real_path, path), os.O_PATH | os.O_CLOEXEC)
            except OSError:
                # A mount point in a folder that this user may not enter has no UUID for this user, for now.
                return ""
            try:
                self._uuids[key] = filesystem_id.read_uuid(descriptor, os.fstat(descriptor).st_dev)
            finally:
                os.close(descriptor)
        return self._uuids[key]


def find_vanished(
    recorded: Iterable[MountIdentity], present: Iterable[MountIdentity], mounts: Mapping[bytes, Mount]
) -> list[MountIdentity]:
    """Return the recorded mounts whose filesystems are not at their paths.

    ``mounts`` are those of ``present``, with autofs: below a mount point of autofs, a look mounts what is missing.
    """
    present_by_path = {mount.path: mount for mount in present}
    autofs_paths = [path for path, mount in mounts.items() if mount.filesystem == _AUTOFS]
    return [
        mount
        for mount in recorded
        if not is_covered(names.name_from_text(mount.path), autofs_paths)
        and not _is_same_filesystem(mount, present_by_path.get(mount.path))
    ]


def find_unmounted_automounts(
    recorded: Iterable[MountIdentity], present: Iterable[MountIdentity], mounts: Mapping[bytes, Mount]
) -> list[MountIdentity]:
    """Return the recorded mounts below a mount point of autofs that are not mounted now, as :func:`find_vanished`.

    After a look, such a mount is missing only because the automounter could not reach the server.
    """
    present_by_path = {mount.path: mount for mount in present}
    autofs_paths = [path for path, mount in mounts.items() if mount.filesystem == _AUTOFS]
    return [
        mount
        for mount in recorded
        if is_covered(names.name_from_text(mount.path), autofs_paths)
        and not _is_same_filesystem(mount, present_by_path.get(mount.path))
    ]


def keep_known_uuids(recorded: Iterable[MountIdentity], present: Iterable[MountIdentity]) -> list[MountIdentity]:
    """Return the present mounts, each with the recorded UUID of the same filesystem if it is not visible now."""
    recorded_by_path = {mount.path: mount for mount in recorded}
    return [
        mount._replace(uuid=former.uuid)
        if (former := recorded_by_path.get(mount.path)) and not mount.uuid and _is_same_filesystem(former, mount)
        else mount
        for mount in present
    ]


def _is_same_filesystem(recorded: MountIdentity, present: MountIdentity | None) -> bool:
    """Return True if a mount has the recorded filesystem: the UUID, or else the type, the source and the root."""
    if present is None:
        return False
    if recorded.uuid and present.uuid:
        return recorded.uuid == present.uuid
    # One of two kernels, or one of two users, may see a UUID and the other none.
    return recorded._replace(uuid="") == present._replace(uuid="")


def is_covered(path: bytes, folders: Collection[bytes]) -> bool:
    """Return True if ``path`` is among ``folders``, or below a folder among them."""
    return any(path == folder or path.startswith(folder + b"/") for folder in folders)


def check_mounted(path: bytes, vanished_mounts: Collection[bytes]) -> None:
    """Raise OSError for a path at or below a vanished mount, now on another filesystem."""
    if vanished_mounts and is_covered(path, vanished_mounts):
        raise OSError(errno.ENODEV, "no filesystem is mounted here any longer")
