"""Tell folders out of sight, behind a lock or an unmounted filesystem, from deleted folders."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from archiver.intake.folder.access import FolderAccess


class AbsentFolders:
    """Examines archived folders not visited by a scan; keeps the result for each folder above."""

    def __init__(self, access: FolderAccess, visited_folders: Collection[bytes]) -> None:
        """Look through ``access``, which the caller closes; a scan has read the ``visited_folders`` to the end."""
        self._access = access
        self._visited_folders = visited_folders
        self._is_locked_by_folder: dict[bytes, bool] = {}

    @property
    def locked_folders(self) -> list[bytes]:
        """Return the folders because of which :meth:`is_hidden` has returned True."""
        return [folder for folder, is_locked in self._is_locked_by_folder.items() if is_locked]

    def find_vanished_mounts(self, start_folder: bytes) -> set[bytes]:
        """Return mount points at or below ``start_folder`` whose filesystems, with archived files, are gone."""
        return {path for path in self._access.vanished_mounts if start_folder in folders_on_path(path)}

    def is_hidden(self, folder: bytes) -> bool:
        """Return True if the name of ``folder`` cannot be seen, because the folder above it is locked."""
        visible_folder = next((path for path in folders_on_path(folder) if path in self._visited_folders), b"")
        if visible_folder not in self._is_locked_by_folder:
            self._is_locked_by_folder[visible_folder] = self._is_locked(visible_folder)
        return self._is_locked_by_folder[visible_folder]

    def _is_locked(self, folder: bytes) -> bool:
        """Return True if the folder is locked, or cannot be examined."""
        try:
            return self._access.is_locked(folder)
        except (FileNotFoundError, NotADirectoryError):
            # Deleted since it was read.  Its entries are looked up again before they are captured.
            return False
        except OSError:
            return True


def folders_on_path(folder: bytes) -> Iterator[bytes]:
    """Yield ``folder`` and every folder above; the last, the watched folder, is empty."""
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]
    yield folder
