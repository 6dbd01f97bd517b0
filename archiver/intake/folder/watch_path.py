"""A changed ``watch.path``: the folder in another place, a successor of it, or another folder altogether.

Two configurations with different folders on one archive would each record the
deletion of the other's files.
"""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress

from archiver.config.settings import Config
from archiver.errors import ConfigProblem, Phrase
from archiver.intake.folder.access import PATIENCE_SECONDS, FolderAccess
from archiver.intake.seed_snapshot import open_submissions
from archiver.store import names
from archiver.store.archive import Archive
from archiver.store.index.queries import Index
from archiver.store.writer import Draft

#: Names that are looked for in the new folder: enough to tell two folders apart, few enough for a slow share.
_MOST_NAMES = 1000
_FAREWELL_SECONDS = 0.5
#: What the child runs: device, inode and kind of a folder, or the error's number.
_LOOK = """
import os, sys
try:
    status = os.stat(sys.argv[1])
    print(0, status.st_dev, status.st_ino, status.st_mode)
except OSError as error:
    print(error.errno)
"""

#: Device and inode.
Place = tuple[int, int]


def changed_watch_path(archive: Archive, config: Config, access: FolderAccess) -> Draft | None:
    """Check that the folder at ``watch.path`` may be taken for this archive's; returns what is to be journalled.

    A folder at another path is taken if it is the same one, if the one before
    has gone, or if at least half of the names that the archive knows are in it.
    None: nothing has changed, or there is no folder to look at yet.  Raises
    ConfigProblem where the folder before is still there as another one.
    """
    kept, given = archive.index.watch_path, os.fsencode(config.watch)
    if kept is None or kept == given:
        return None
    try:
        place = _place(given)
    except OSError:
        place = None
    if place is None:
        return None
    try:
        before = _place(kept)
        state = Phrase("is still there and is another folder")
    except OSError as error:
        before, state = (0, 0), Phrase("cannot be looked at ({reason})", reason=error.strerror)
    if before not in (None, place):
        _check_successor(archive, config, access, kept, state)
    return Draft("watch-path", "watch", {"from": names.text(kept), "to": names.text(given)})


def _check_successor(archive: Archive, config: Config, access: FolderAccess, kept: bytes, state: Phrase) -> None:
    looked_for = list(_known_names(archive.index))
    present = sum(_is_file(access, path) for path in looked_for)
    if 2 * present >= len(looked_for):
        return
    raise ConfigProblem(
        "{config}: watch.path is {given}, but this archive keeps {kept}, which {state}. Of {count} names that "
        "were looked for, {present} are in the new folder. Nothing was changed. Set watch.path back. If the "
        "materials have moved, rename {kept} and start again. To keep both folders, make another archive: "
        "archiver init --archive DIR --watch {folder!q}",
        config=config.source,
        given=config.watch,
        kept=names.text(kept),
        state=state,
        count=len(looked_for),
        present=present,
        folder=config.watch,
    )


def _known_names(index: Index) -> Iterator[bytes]:
    """The paths of what the newest versions hold: all, or an even sample of very many."""
    newest = [version for version in map(index.latest, open_submissions(index)) if version is not None]
    step = sum(version.files for version in newest) // _MOST_NAMES + 1
    count = 0
    for version in newest:
        prefix = version.submission.prefix + b"/" if version.submission.prefix else b""
        for material in index.materials(version.submission):
            if material.sha256 is not None:
                if count % step == 0:
                    yield prefix + material.path
                count += 1


def _is_file(access: FolderAccess, path: bytes) -> bool:
    try:
        return stat.S_ISREG(access.entry(path).mode)
    except OSError:
        # Not seen is not there: the folder has to show what it claims to be.
        return False


def _place(path: bytes) -> Place | None:
    """Return what tells a folder from every other one; None where there is no folder.

    A child looks, since a share that hangs would keep this process and its locks
    for ever.  Raises OSError, and TimeoutError after a while.
    """
    child = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LOOK, path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        answer, _ = child.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        assert child.stdout is not None
        child.stdout.close()
        # A process that hangs in the kernel ends when it can.
        with suppress(subprocess.TimeoutExpired):
            child.wait(_FAREWELL_SECONDS)
        raise TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from None
    # A child that was killed says nothing.
    code, *found = [int(each) for each in answer.split()] or [errno.ECHILD]
    if code in (errno.ENOENT, errno.ENOTDIR):
        return None
    if code:
        raise OSError(code, os.strerror(code))
    device, inode, mode = found
    return (device, inode) if stat.S_ISDIR(mode) else None
