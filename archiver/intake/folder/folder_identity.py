"""Describe the identity of a watched folder, and compare two such descriptions.  Pure.

A device number changes at every reboot on many filesystems, and an inode number names a folder only together with
its filesystem.  docs/adr/0016-the-watched-folder-and-absence.md has the table of what stays the same where.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from archiver.intake.folder.entries import RootIdentity
from archiver.intake.folder.mounts import Mount
from archiver.store import names
from archiver.store.events.capture_events import FolderDetails

#: Filesystems whose UUID is in the superblock. The UUID of a tmpfs is new at every mount.
UUID_FILESYSTEMS = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "xfs"})
#: Filesystems whose ``f_fsid`` is made from the UUID; on Btrfs and ZFS, it also names the subvolume or dataset.
_FSID_FILESYSTEMS = frozenset({"btrfs", "ext2", "ext3", "ext4", "zfs"})
#: Filesystems whose source names a server and its share, with inode numbers that the server keeps.
_SOURCE_FILESYSTEMS = frozenset({"ceph", "cifs", "lustre", "nfs", "nfs4", "smb3"})


class MountIdentity(NamedTuple):
    """The identity of a mount below the watched folder."""

    path: str  # relative to the watched folder, in readable form
    filesystem: str
    uuid: str
    source: str
    root: str


class FolderIdentity(NamedTuple):
    """The identity of a watched folder; a field is empty if unknown, or if a reboot would change the value."""

    filesystem: str
    uuid: str
    fsid: str
    source: str
    root: str  # the root of the mount within the filesystem, in readable form
    inode: str
    mounts: tuple[MountIdentity, ...] = ()

    @classmethod
    def from_system(
        cls, root_identity: RootIdentity, mount: Mount, mounts_below: Iterable[MountIdentity]
    ) -> FolderIdentity:
        """Return the identity of a folder on ``mount``; ``mounts_below`` are the mounts inside."""
        filesystem = mount.filesystem
        return cls(
            filesystem=filesystem,
            uuid=root_identity.uuid if filesystem in UUID_FILESYSTEMS else "",
            fsid=root_identity.fsid if filesystem in _FSID_FILESYSTEMS else "",
            source=names.name_as_text(mount.source) if filesystem in _SOURCE_FILESYSTEMS else "",
            root=names.name_as_text(mount.root),
            inode=str(root_identity.inode),
            mounts=tuple(sorted(mounts_below)),
        )

    @classmethod
    def from_details(cls, details: Mapping[str, Any]) -> FolderIdentity | None:
        """Return the identity in the details of an event; None without an identity, as in an earlier archive.

        Members of another type, which only a foreign program writes, count as empty.
        """
        recorded = FolderDetails.from_details(details)
        if not isinstance(recorded.inode, str):
            return None
        folder_fields = {name: _as_text(getattr(recorded, name)) for name in cls._fields if name != "mounts"}
        mounts_below = [
            MountIdentity(*(_as_text(mount.get(name)) for name in MountIdentity._fields))
            for mount in (recorded.mounts if isinstance(recorded.mounts, (list, tuple)) else ())
            if isinstance(mount, dict)
        ]
        return cls(**folder_fields, mounts=tuple(sorted(mounts_below)))

    def to_details(self) -> dict[str, Any]:
        """Return the identity as members of an event."""
        return {**self._asdict(), "mounts": [mount._asdict() for mount in self.mounts]}

    def is_same_folder(self, recorded: FolderIdentity) -> bool | None:
        """Return True if ``recorded`` is this folder, False for another folder, wherever either is mounted.

        Returns None if the inode number and the type are the same, but nothing identifies the filesystem.
        """
        if (self.filesystem, self.inode) != (recorded.filesystem, recorded.inode):
            return False
        comparable_ids = [
            (present_id, recorded_id)
            for present_id, recorded_id in (
                (self.uuid, recorded.uuid),
                (self.fsid, recorded.fsid),
                (self.source, recorded.source),
            )
            # One of two kernels may report a UUID, and the other none.
            if present_id and recorded_id
        ]
        if not comparable_ids:
            return None
        return all(present_id == recorded_id for present_id, recorded_id in comparable_ids)

    def with_known_fields(self, recorded: FolderIdentity) -> FolderIdentity:
        """Return the identity with what only ``recorded`` says of the same folder, and with its mount's root."""
        return self._replace(
            uuid=self.uuid or recorded.uuid,
            fsid=self.fsid or recorded.fsid,
            source=self.source or recorded.source,
            root=recorded.root,
        )


def identify_mount(path: bytes, mount: Mount, uuid: str) -> MountIdentity:
    """Return the identity of a mount at ``path`` below the watched folder; ``uuid`` may be empty."""
    return MountIdentity(
        path=names.name_as_text(path),
        filesystem=mount.filesystem,
        uuid=uuid,
        source=names.name_as_text(mount.source) if mount.filesystem in _SOURCE_FILESYSTEMS else "",
        root=names.name_as_text(mount.root),
    )


def _as_text(member: object) -> str:
    """Return a member of an event, or an empty text for a missing member or another type."""
    return member if isinstance(member, str) else ""
