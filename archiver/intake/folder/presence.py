"""Distinguish the watched folder from anything else at its path: an empty mount point, or another folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from archiver import clock
from archiver.errors import LazyMessage
from archiver.intake.folder import mounts
from archiver.intake.folder.access import FolderAccess
from archiver.intake.folder.entries import RootIdentity
from archiver.intake.folder.folder_identity import FolderIdentity, MountIdentity
from archiver.intake.folder.known_files import PresentFiles, count_present_files, sample_archived_paths
from archiver.intake.folder.mounts import Mount
from archiver.intake.folder.mounts_below import (
    MountsBelow,
    find_unmounted_automounts,
    find_vanished,
    keep_known_uuids,
)
from archiver.intake.snapshot import Snapshot
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.events.capture_events import WatchedFolderIdentified
from archiver.store.system_limits import find_limit
from archiver.store.writing.drafts import Draft

FOLDER_MISSING = LazyMessage.define("there is no folder, or it cannot be examined", code="folder.missing")
NOT_MOUNTED = LazyMessage.define("no filesystem is mounted at {value}", code="folder.not-mounted")
FILES_MISSING = LazyMessage.define(
    "it is another folder, and has none of the archived files (sampled: {value})", code="folder.files-missing"
)
REPLACED = LazyMessage.define(
    "it is another folder, and has fewer than half of the archived files ({value})", code="folder.replaced"
)
MOVED = LazyMessage.define(
    "behind its mount, it was renamed or deleted, and is now {value}; mount it again, or restart the container",
    code="folder.moved-behind-mount",
)
#: Code -> the reason why the folder at the path does not count as the watched folder.
ABSENCE_REASONS = {reason.code: reason for reason in (FOLDER_MISSING, NOT_MOUNTED, FILES_MISSING, REPLACED, MOVED)}

#: The time until an untrusted folder is compared again. With a shorter time, a thousand look-ups at every turn
#: load the server of a slow share. With a longer time, a returning folder is captured late.
_RECHECK_SECONDS = 5.0
#: Differs after each boot, and between mount namespaces, whose mounts have numbers of their own.
_BOOT_ID_FILE, _MOUNT_NAMESPACE_LINK = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/mnt"
#: Keys in ``state.db``: the mount at the last scan, its mount point, and the folder that an earlier release noted.
_MOUNT_KEY, _MOUNT_POINT_KEY, _FORMER_KEY = "folder_mount", "root_mount", "root"
#: The key in ``state.db`` for the root of this mount within its filesystem, as this process saw it.
_MOUNT_ROOT_KEY = "folder_mount_root"
#: The key in ``state.db`` for the number of the newest event with a decision, at the last scan.
_USED_DECISION_KEY = "used_folder_decision"


class FolderCheck(NamedTuple):
    """The result of examining the folder at the path."""

    #: None if there is no folder, or if it cannot be examined.
    identity: FolderIdentity | None
    #: Why the folder does not count as the watched folder; None if it does.
    absence: LazyMessage | None = None
    absence_value: str = ""  # for the field ``{value}`` of the reason
    mount_instance: str = ""  # differs for every mounting of a filesystem; empty without a folder
    accepted_seq: int = 0  # the number of the event with which a person accepted the folder last

    @property
    def explanation(self) -> LazyMessage | None:
        """Return the reason as a sentence for people; None if the folder counts as the watched folder."""
        return self.absence and self.absence.with_fields(value=self.absence_value)


class _ExaminedFolder(NamedTuple):
    """The folder at the path, as described by the system at this moment."""

    identity: FolderIdentity
    mount: Mount
    #: Differs for every mounting of a filesystem.
    mount_instance: str
    #: The mounts below the folder, by their paths.
    inner_mounts: Mapping[bytes, Mount]


class FolderPresence:
    """Compare the folder at a path with the watched folder of the journal."""

    def __init__(self, watched_path: bytes, access: FolderAccess, snapshot: Snapshot, archive: Archive) -> None:
        """Read the folder at ``watched_path`` through ``access``, and compare with the journal of ``archive``.

        ``snapshot`` keeps the mount of the folder.  The caller closes all of them.
        """
        self._access = access
        self._snapshot = snapshot
        self._archive = archive
        # Resolved only once, because resolving the path may wait for ever on a hanging share.
        self.real_path = os.path.realpath(watched_path)
        self._mounts_below = MountsBelow(self.real_path)
        self._namespace = _read_namespace()
        #: The folder that was trusted last, and what the journal said of the watched folder then.
        self._trusted: tuple[FolderIdentity, str, object] | None = None
        #: The last check of a folder that is not trusted, the folder, and the monotonic time of the next check.
        self._distrusted: tuple[FolderIdentity, FolderCheck, float] | None = None
        #: The archived paths to look for, as long as the folder is not trusted: nothing is archived in that time.
        self._sampled_paths: list[bytes] | None = None
        #: True after a person changed the path in the settings: then any folder that is not empty is enough.
        self._is_moved_on_purpose = False

    def check(self) -> FolderCheck:
        """Return the folder at the path, with the reason if another than the watched folder.

        Also tells the access which mounts below the folder have vanished.
        docs/adr/0016-the-watched-folder-and-absence.md has the rules.

        Raises sqlite3.Error if the records cannot be read.
        """
        folder = self._examine()
        if folder is None:
            return FolderCheck(None, FOLDER_MISSING)
        record = self._archive.index.watched_folder
        vanished_mounts, unmounted_automounts = self._find_missing_mounts(folder)
        self._access.vanished_mounts = _list_paths(vanished_mounts)
        self._access.unmounted_automounts = _list_paths(unmounted_automounts)
        if self._trusted == (folder.identity, folder.mount_instance, record):
            return FolderCheck(
                folder.identity,
                mount_instance=folder.mount_instance,
                accepted_seq=record.accepted_seq,
            )
        now = clock.monotonic_seconds()
        if self._distrusted and self._distrusted[0] == folder.identity and now < self._distrusted[2]:
            recorded = FolderIdentity.from_details(record.details)
            if recorded is None or folder.identity.is_same_folder(recorded) is not True:
                return self._distrusted[1]
        folder_check = self._compare(folder)._replace(
            mount_instance=folder.mount_instance, accepted_seq=record.accepted_seq
        )
        if folder_check.absence is None:
            self._trusted = (folder.identity, folder.mount_instance, record)
            self._distrusted = self._sampled_paths = None
        else:
            self._trusted = None
            self._distrusted = (folder.identity, folder_check, now + _RECHECK_SECONDS)
        return folder_check

    def is_present(self) -> bool:
        """Return True if the folder at the path is the watched folder; raises the errors of :meth:`check`."""
        return self.check().absence is None

    def identification(self) -> Draft | None:
        """Return an event to identify the watched folder, or None if the journal knows it as well.

        What this process cannot see, such as a UUID, stays as recorded: otherwise two processes that see
        different parts, in a container and outside of it, would record the folder again and again.

        Returns None also if the folder is not the one that :meth:`check` found to be the watched folder: perhaps
        somebody replaced it since then.  The caller writes the event to the journal.
        """
        folder = self._examine_trusted()
        if folder is None:
            return None
        recorded = FolderIdentity.from_details(self._archive.index.watched_folder.details)
        # A mount that vanished stays on record, until a person accepts that it is gone.
        all_mounts = set(keep_known_uuids(recorded.mounts if recorded else (), folder.identity.mounts))
        all_mounts.update(*self._find_missing_mounts(folder))
        identity = folder.identity._replace(mounts=tuple(sorted(all_mounts)))
        if recorded is not None and identity.is_same_folder(recorded) is not False:
            identity = identity.with_known_fields(recorded)
        return None if identity == recorded else Draft("watch", WatchedFolderIdentified(**identity.to_details()))

    def record_mount(self) -> None:
        """Record the mount of the watched folder, which was just scanned; raises sqlite3.Error.

        Records nothing if somebody replaced the folder since :meth:`check`.
        """
        if folder := self._examine_trusted():
            self._snapshot.set_meta(_MOUNT_KEY, folder.mount_instance)
            self._snapshot.set_meta(_MOUNT_POINT_KEY, names.name_as_text(folder.mount.point))
            self._snapshot.set_meta(_MOUNT_ROOT_KEY, folder.identity.root)
            self._use_up_decision()

    def note_new_database(self) -> None:
        """Let no decision of the past count if ``state.db`` is new; raises sqlite3.Error."""
        if not self._snapshot.meta(_USED_DECISION_KEY):
            self._use_up_decision()

    def _use_up_decision(self) -> None:
        """Record that the newest decision has no effect on folders mounted from now on."""
        self._snapshot.set_meta(_USED_DECISION_KEY, str(self._archive.index.watched_folder.accepted_seq))

    def allow_other_mount(self) -> None:
        """Let :meth:`check` accept the folder on an outer mount after a move on purpose.

        Raises sqlite3.Error if ``state.db`` cannot be written.
        """
        self._snapshot.set_meta(_MOUNT_KEY, "")
        self._snapshot.set_meta(_MOUNT_POINT_KEY, "")
        self._distrusted = None
        self._is_moved_on_purpose = True

    def _examine(self) -> _ExaminedFolder | None:
        """Return the folder at the path; None without a folder, or without a look at the folder.

        Raises OSError if a limit of the system forbids the look.
        """
        try:
            root_identity = self._access.root_identity()
        except OSError as error:
            if find_limit(error) is not None:
                # Nothing was looked at.
                raise
            # The folder is missing, unmounted or hanging.  The callers wait until it is back.
            return None
        if not stat.S_ISDIR(root_identity.mode):
            return None
        # Only now, because examining the folder may have mounted it (autofs).
        mount_table = mounts.read_mounts()
        mount = mounts.find_mount(self.real_path, mount_table)
        inner_mounts = mounts.find_mounts_below(self.real_path, mount_table)
        return _ExaminedFolder(
            FolderIdentity.from_system(root_identity, mount, self._mounts_below.identify(inner_mounts)),
            mount,
            self._describe_mount(root_identity, mount),
            inner_mounts,
        )

    def _examine_trusted(self) -> _ExaminedFolder | None:
        """Return the folder at the path if :meth:`check` trusted the same folder last, on the same mount."""
        folder = self._examine()
        if folder and self._trusted and self._trusted[:2] == (folder.identity, folder.mount_instance):
            return folder
        return None

    def _find_missing_mounts(self, folder: _ExaminedFolder) -> tuple[list[MountIdentity], list[MountIdentity]]:
        """Return the recorded mounts with archived files that are missing now: vanished ones, and automounts."""
        recorded = FolderIdentity.from_details(self._archive.index.watched_folder.details)
        if recorded is None or recorded.mounts == folder.identity.mounts:
            return [], []
        mounts_with_files = [
            mount for mount in recorded.mounts if self._snapshot.folders_below(names.name_from_text(mount.path))
        ]
        present_mounts = folder.identity.mounts, folder.inner_mounts
        return (
            find_vanished(mounts_with_files, *present_mounts),
            find_unmounted_automounts(mounts_with_files, *present_mounts),
        )

    def _describe_mount(self, root_identity: RootIdentity, mount: Mount) -> str:
        """Return a text, different for every mounting of the folder's filesystem, also after a reboot."""
        # The kernel gives the numbers of an unmounted filesystem to the next.  A tmpfs has a new UUID each time.
        return f"{self._namespace}:{os.fsdecode(mount.number)}:{root_identity.device}:{root_identity.uuid}"

    def _compare(self, folder: _ExaminedFolder) -> FolderCheck:
        """Compare a folder with the journal's record or, if undecided, with the archived files."""
        recorded = FolderIdentity.from_details(self._archive.index.watched_folder.details)
        recorded_mount = self._snapshot.meta(_MOUNT_KEY)
        is_same_mount = recorded_mount == folder.mount_instance
        is_same_folder: bool | None
        if recorded is None:
            is_same_folder = self._is_folder_of_earlier_release(folder)
        else:
            is_same_folder = folder.identity.is_same_folder(recorded)
            # The journal may have the root as another process sees it, in a container or outside of it.
            recorded_root = self._snapshot.meta(_MOUNT_ROOT_KEY)
            is_moved = bool(recorded_root) and folder.identity.root != recorded_root
            if is_same_folder is not False and is_same_mount and is_moved and not self._is_accepted():
                return FolderCheck(folder.identity, MOVED, folder.identity.root)
        if is_same_folder is None and (is_same_mount or self._is_moved_on_purpose or self._is_accepted()):
            is_same_folder = True
        if is_same_folder:
            return FolderCheck(folder.identity)
        recorded_point = self._snapshot.meta(_MOUNT_POINT_KEY)
        # Both mount points hold the same path, so the shorter one is the outer one.
        if len(names.name_as_text(folder.mount.point)) < len(recorded_point) and is_same_folder is False:
            return FolderCheck(folder.identity, NOT_MOUNTED, recorded_point)
        present_files = self._count_present_files()
        if present_files.are_enough:
            return FolderCheck(folder.identity)
        if self._is_moved_on_purpose and not self._is_empty():
            return FolderCheck(folder.identity)
        if not present_files.present_count:
            return FolderCheck(folder.identity, FILES_MISSING, str(present_files.sampled_count))
        return FolderCheck(
            folder.identity, REPLACED, f"{present_files.present_count}/{present_files.sampled_count}"
        )

    def _is_accepted(self) -> bool:
        """Return True if a person has accepted the folder since the last scan."""
        accepted_seq = self._archive.index.watched_folder.accepted_seq
        return accepted_seq > int(self._snapshot.meta(_USED_DECISION_KEY) or 0)

    def _is_folder_of_earlier_release(self, folder: _ExaminedFolder) -> bool:
        """Return True if an earlier release, which journalled no identity, noted a scan of this folder."""
        return self._snapshot.meta(_FORMER_KEY) == (
            f"{names.name_as_text(folder.mount.point)}:{folder.identity.inode}"
        )

    def _count_present_files(self) -> PresentFiles:
        """Count the archived files in the folder, from a sample."""
        if self._sampled_paths is None:
            self._sampled_paths = list(sample_archived_paths(self._archive.index))
        return count_present_files(self._access, self._sampled_paths)

    def _is_empty(self) -> bool:
        """Return True if nothing is in the folder, or nothing can be listed."""
        try:
            return next(self._access.list_folder(b""), None) is None
        except OSError:
            # A folder that cannot be listed proves nothing.
            return True


def _list_paths(missing_mounts: Iterable[MountIdentity]) -> frozenset[bytes]:
    """Return the paths of mounts, relative to the watched folder."""
    return frozenset(names.name_from_text(mount.path) for mount in missing_mounts)


def _read_namespace() -> str:
    """Return a text, different after each boot and between mount namespaces; empty if unreadable."""
    try:
        boot_id = _BOOT_ID_FILE.read_text("ascii").strip()
        return f"{boot_id}:{os.readlink(_MOUNT_NAMESPACE_LINK)}"
    except OSError:
        # /proc is not mounted, and so neither is there a mount table.
        return ""
