"""Test whether a filesystem can keep an archive, before the archive is created there.

The name of a filesystem does not show its abilities: exFAT has another name if it is mounted through FUSE, and a
network share has the abilities of its server.  So each ability is tried.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from archiver.errors import LazyMessage, StorageError
from archiver.path_existence import is_there

_MOUNT_TABLE = Path("/proc/self/mountinfo")
#: Position of the device number among the fields of a line of the mount table, see proc_pid_mountinfo(5).
_DEVICE_FIELD = 2
#: The modes of the signing key, of a content object and of a hook: the filesystem must keep each of them.
_NEEDED_MODES = (0o600, 0o444, 0o750)
#: A name that git allows in a ref, and that filesystems made for Windows refuse.  The name is bytes, because a
#: program in an ASCII locale cannot encode it.
_DEMANDING_NAME = '算法<"|>'.encode()
_TRIAL_NAME = ".archiver-trial"


def check_filesystem(workspace: Path, root: Path) -> None:
    """Test whether the filesystem of the folder ``workspace`` can keep the archive at ``root``.

    ``workspace`` is on the filesystem of ``root``, and is created for the test if it is missing.  The test leaves
    nothing behind.  If the process is killed, the next test removes the leftovers.

    Raises StorageError if an ability is missing, with the names of the filesystem and of the ability; OSError if
    nothing can be written at all.
    """
    is_new_workspace = not is_there(workspace)
    workspace.mkdir(mode=0o700, exist_ok=True)
    trial_folder = workspace / _TRIAL_NAME
    shutil.rmtree(trial_folder, ignore_errors=True)
    try:
        trial_folder.mkdir()
        missing_ability = _find_missing_ability(trial_folder)
        if missing_ability is not None:
            raise StorageError(
                "{path} is on {filesystem}, a filesystem that {lacking}. Nothing was changed. Choose a folder on "
                "a filesystem that stores permissions, such as ext4, xfs, or btrfs.",
                path=root,
                filesystem=_describe_filesystem(trial_folder),
                lacking=missing_ability,
            )
    finally:
        shutil.rmtree(trial_folder, ignore_errors=True)
        if is_new_workspace:
            workspace.rmdir()


def _find_missing_ability(trial_folder: Path) -> LazyMessage | None:
    """Try each ability in an empty folder; return a description of the first missing ability, None if all work.

    The description continues the sentence "a filesystem that ...".  Leaves files in the folder.  Raises OSError if
    nothing can be written.
    """
    if not all(_keeps_mode(trial_folder / f"{mode:o}", mode) for mode in _NEEDED_MODES):
        return LazyMessage("stores no permissions, so that others could read the key and change archived data")
    _create_file(trial_folder / "Case")
    if is_there(trial_folder / "case"):
        return LazyMessage("does not distinguish names that differ only in case")
    try:
        _create_file(trial_folder / os.fsdecode(_DEMANDING_NAME))
    except OSError:
        return LazyMessage("rejects some names that a filing can have")
    return None


def _keeps_mode(path: Path, mode: int) -> bool:
    """Create a file at ``path`` and set its mode; return True if the file then has ``mode``."""
    file_fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(file_fd, mode)
    except OSError:
        # Some filesystems refuse the call. Others ignore it, which the last line detects.
        return False
    finally:
        os.close(file_fd)
    return stat.S_IMODE(os.stat(path).st_mode) == mode


def _create_file(path: Path) -> None:
    """Create an empty file.  Raises OSError if ``path`` exists or cannot be created."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _describe_filesystem(path: Path) -> str:
    """Return the name that the mount table gives to the filesystem of ``path``.

    The name "fuse" is the same for many filesystems, so the mounted source is added in parentheses.  Returns the
    device number if the table does not list the filesystem.
    """
    device_number = os.stat(path).st_dev
    device = f"{os.major(device_number)}:{os.minor(device_number)}"
    try:
        mount_lines = os.fsdecode(_MOUNT_TABLE.read_bytes()).splitlines()
    except OSError:
        # Without /proc, only the device number is known.
        mount_lines = []
    # A line has the fields mount ID, parent ID, device, ..., "-", filesystem, source, options.
    for mount_line in mount_lines:
        mount_fields, _, filesystem_fields = mount_line.partition(" - ")
        if mount_fields.split(" ")[_DEVICE_FIELD] == device:
            filesystem, source = filesystem_fields.split(" ")[:2]
            return f"{filesystem} ({source})" if filesystem.startswith("fuse") else filesystem
    return f"device {device}"
