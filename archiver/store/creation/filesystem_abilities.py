"""Try whether a filesystem can keep an archive, before anything is made there.

The abilities are tried and not looked up by the filesystem's name: the same exFAT has other names through FUSE,
and a share has the abilities of the server behind it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from archiver.errors import LazyMessage, StorageError
from archiver.path_existence import is_there

_MOUNT_TABLE = Path("/proc/self/mountinfo")
#: Modes that the program depends on: of the signing key, of content, of a hook.
_NEEDED_MODES = (0o600, 0o444, 0o750)
#: A name that git allows in a ref and filesystems made for Windows refuse.  As bytes, since an ASCII locale cannot
#: encode it.
_DEMANDING_NAME = '算法<"|>'.encode()
_TRIAL = ".archiver-trial"


def check_filesystem(workspace: Path, root: Path) -> None:
    """Try what an archive at ``root`` needs, in ``workspace`` beside it, which is made if missing.

    Nothing is left in ``workspace`` unless the process is killed; the next attempt clears that.

    Raises StorageError, which names the filesystem and what it lacks, and OSError if nothing can be written at
    all.
    """
    is_new_workspace = not is_there(workspace)
    workspace.mkdir(mode=0o700, exist_ok=True)
    trial = workspace / _TRIAL
    shutil.rmtree(trial, ignore_errors=True)
    try:
        trial.mkdir()
        missing_ability = _missing_ability(trial)
        if missing_ability is not None:
            raise StorageError(
                "{path} lies on {filesystem}, a filesystem that {lacking}. No archive can be kept there, and "
                "nothing was made or changed. Choose a folder on one with permissions of its own, such as ext4, "
                "xfs or btrfs.",
                path=root,
                filesystem=_filesystem_of(trial),
                lacking=missing_ability,
            )
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        if is_new_workspace:
            workspace.rmdir()


def _missing_ability(trial: Path) -> LazyMessage | None:
    if not all(_keeps_mode(trial / f"{mode:o}", mode) for mode in _NEEDED_MODES):
        return LazyMessage("keeps no permissions, so that others could read the key and change what is archived")
    _create_file(trial / "Case")
    if is_there(trial / "case"):
        return LazyMessage("takes names that differ in upper and lower case for one")
    try:
        _create_file(trial / os.fsdecode(_DEMANDING_NAME))
    except OSError:
        return LazyMessage("does not take every name that a filing may have")
    return None


def _keeps_mode(path: Path, mode: int) -> bool:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, mode)
    except OSError:
        # Some filesystems refuse, others ignore the call: that shows in the mode below.
        return False
    finally:
        os.close(descriptor)
    return stat.S_IMODE(os.stat(path).st_mode) == mode


def _create_file(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _filesystem_of(path: Path) -> str:
    """Return the filesystem's name in the mount table, for FUSE with the source that tells what it really is."""
    device_number = os.stat(path).st_dev
    device = f"{os.major(device_number)}:{os.minor(device_number)}"
    try:
        lines = os.fsdecode(_MOUNT_TABLE.read_bytes()).splitlines()
    except OSError:
        # Without /proc, the device number is all that can be named.
        lines = []
    for line in lines:
        fields, _, filesystem_fields = line.partition(" - ")
        if fields.split(" ")[2] == device:
            filesystem, source = filesystem_fields.split(" ")[:2]
            return f"{filesystem} ({source})" if filesystem.startswith("fuse") else filesystem
    return f"device {device}"
