"""What an archive needs of the filesystem it lies on: tried, before anything is made there.

Not looked up by the filesystem's name: the same exFAT has other names through FUSE, and a share has the
abilities of the server behind it.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from archiver.errors import Phrase, StorageProblem
from archiver.existence import is_there

_TABLE = Path("/proc/self/mountinfo")
#: What the program gives its files: the signing key, content, a hook.
_MODES = (0o600, 0o444, 0o750)
#: Characters that git takes in the name of a ref, and a filesystem made for Windows in no name.
#: As bytes: under an ASCII locale the text would be no name at all.
_ODD_NAME = '算法<"|>'.encode()
_TRIAL = ".archiver-trial"


def check_filesystem(workspace: Path, root: Path) -> None:
    """Try what an archive at ``root`` needs, in a folder of our own on its filesystem, made if need be.

    Only a process that is killed leaves anything in ``workspace``, which whoever makes the archive clears.
    Raises StorageProblem, which names the filesystem and what it lacks, and OSError where nothing can be
    written at all.
    """
    is_made_here = not is_there(workspace)
    workspace.mkdir(mode=0o700, exist_ok=True)
    trial = workspace / _TRIAL
    shutil.rmtree(trial, ignore_errors=True)
    try:
        trial.mkdir()
        lacking = _first_lacking(trial)
        if lacking is not None:
            raise StorageProblem(
                "{path} lies on {filesystem}, a filesystem that {lacking}. No archive can be kept there, and "
                "nothing was made or changed. Choose a folder on one with permissions of its own, such as ext4, "
                "xfs or btrfs.",
                path=root,
                filesystem=_filesystem_of(trial),
                lacking=lacking,
            )
    finally:
        shutil.rmtree(trial, ignore_errors=True)
        if is_made_here:
            workspace.rmdir()


def _first_lacking(trial: Path) -> Phrase | None:
    if not all(_keeps_mode(trial / f"{mode:o}", mode) for mode in _MODES):
        return Phrase("keeps no permissions, so that others could read the key and change what is archived")
    _make(trial / "Case")
    if is_there(trial / "case"):
        return Phrase("takes names that differ in upper and lower case for one")
    try:
        _make(trial / os.fsdecode(_ODD_NAME))
    except OSError:
        return Phrase("does not take every name that a filing may have")
    return None


def _keeps_mode(path: Path, mode: int) -> bool:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, mode)
    except OSError:
        # Some say so, others say nothing and change nothing.
        return False
    finally:
        os.close(descriptor)
    return stat.S_IMODE(os.stat(path).st_mode) == mode


def _make(path: Path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))


def _filesystem_of(path: Path) -> str:
    """The filesystem as the mount table calls it, with its device where that is a driver's name only."""
    number = os.stat(path).st_dev
    device = f"{os.major(number)}:{os.minor(number)}"
    try:
        lines = os.fsdecode(_TABLE.read_bytes()).splitlines()
    except OSError:
        lines = []
    for line in lines:
        fields, _, rest = line.partition(" - ")
        if fields.split(" ")[2] == device:
            kind, source = rest.split(" ")[:2]
            return f"{kind} ({source})" if kind.startswith("fuse") else kind
    return f"device {device}"
