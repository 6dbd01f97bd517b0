"""Give git a directory of this process's own instead of the archive's, so it obeys settings of ours alone.

Some settings name programs, and hooks are programs.  Whoever owns the archive can write them, and root must not
run them.  So git finds our ``config`` and ``HEAD`` in a private directory, and the archive's refs through links:
it follows them, and takes its locks at their targets.  The objects come from ``GIT_OBJECT_DIRECTORY``.
``GIT_COMMON_DIR`` would not do: git reads the settings of the common directory.

Links and object directory lead to the working directory of the git process, which is the repository.  If somebody
moves the archive away, git keeps to it; with absolute paths it would make new folders where the archive was, or
mix refs and objects of two archives.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from archiver.errors import StorageError
from archiver.store.git import packed_refs

_PREFIX = "archiver-git-"
#: The value of ``GIT_OBJECT_DIRECTORY``, from the working directory of git.
OBJECT_DIRECTORY = "objects"
#: The working directory of the process that follows the link.
_WORKING_DIRECTORY = "/proc/self/cwd"
#: A file system in memory, on Linux: a full disk must not keep anybody from reading, and a cleaner of ``/tmp``
#: does not look there.
_MEMORY_FOLDER = "/dev/shm"

_NAMES = frozenset({"HEAD", "config", "refs", "packed-refs"})
_HEAD = "ref: refs/heads/journal\n"
#: Everything that our commands need from settings.  The hooks of the archive are for other people's git.  Refs are
#: synced by :mod:`archiver.store.git.ref_transaction`; the value ``all,-reference`` would have no effect.  Without
#: ``warnAmbiguousRefs``, git looks for no ref with the name of each object id that it is given; without
#: ``graftFileDeprecated``, no hint about grafts precedes the reason of a failure.
_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = true
\tfsync = objects,derived-metadata,-reference
\tfsyncMethod = fsync
\tlogAllRefUpdates = false
\tcommitGraph = false
\thooksPath = /dev/null
\twarnAmbiguousRefs = false
[advice]
\tgraftFileDeprecated = false
[extensions]
\tpreciousObjects = true
[gc]
\tauto = 0
[maintenance]
\tauto = false
[transfer]
\tfsckObjects = true
"""


class PrivateDirectory:
    """The git directory of one process for one repository; removed by :meth:`close`, or when the process ends.

    A process that is killed leaves it, and the next one that makes such a directory removes it.
    """

    def __init__(self, *, copied_refs: Mapping[str, str] | None = None) -> None:
        """Prepare a directory; nothing is made before :meth:`path`.

        With ``copied_refs``, object ids by the names of refs, the directory has these refs instead of links: for
        ``git fsck``, which reports links since git 2.50.
        """
        self._copied_refs = copied_refs
        self._path: str | None = None
        self._remover: weakref.finalize[..., PrivateDirectory] | None = None

    def path(self) -> str:
        """Return the path of the directory, which is made if it does not exist; raises StorageError."""
        if self._path is None or not self.is_intact():
            self.close()
            self._create()
        assert self._path is not None
        return self._path

    def is_intact(self) -> bool:
        """Return True if the directory is whole; git would say of a damaged one that refs are missing."""
        try:
            return self._path is not None and set(os.listdir(self._path)) >= _NAMES
        except FileNotFoundError:  # The whole directory was removed.
            return False

    def close(self) -> None:
        """Remove the directory; the next :meth:`path` makes another one."""
        if self._remover is not None:
            self._remover()
        self._path = self._remover = None

    def _create(self) -> None:
        """Make the directory in the first place that has room; raises StorageError if none has."""
        failure: OSError | None = None
        # Twice, since another process may take a directory for abandoned in the moment before it is locked.
        for parent in 2 * _parents():
            try:
                folder = tempfile.mkdtemp(prefix=_PREFIX, dir=parent)
            except OSError as error:
                failure = error
                continue
            lock = -1
            try:
                lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                _lock_as_alive(lock)
                self._fill(folder)
            except OSError as error:
                failure = error
                _remove(folder, lock, os.getpid())
                continue
            _remove_abandoned(parent)
            self._path = folder
            self._remover = weakref.finalize(self, _remove, folder, lock, os.getpid())
            return
        raise StorageError(
            "Cannot create a temporary folder for git ({reason}). Nothing was changed. Free some space in "
            "{folder}, or set TMPDIR to a folder on another disk.",
            reason=(failure and failure.strerror) or failure,
            folder=tempfile.gettempdir(),
        )

    def _fill(self, folder: str) -> None:
        """Write settings and links to ``folder``; raises OSError."""
        for name, text in (("config", _CONFIG), ("HEAD", _HEAD)):
            Path(folder, name).write_text(text, "ascii")
        if self._copied_refs is None:
            for name in ("refs", "packed-refs"):
                os.symlink(f"{_WORKING_DIRECTORY}/{name}", f"{folder}/{name}")
            return
        os.mkdir(f"{folder}/refs")
        Path(folder, packed_refs.NAME).write_bytes(packed_refs.encode_lines(self._copied_refs))


def _remove_abandoned(parent: str) -> None:
    """Remove the private directories in ``parent`` that processes of this user left because they were killed."""
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                _remove_if_abandoned(entry.path)


def _remove_if_abandoned(folder: str) -> None:
    """Remove a private directory unless a living process holds its lock, or another user owns it."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # Another user's, or just removed.
        return
    try:
        if os.fstat(lock).st_uid == os.geteuid():
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
    except OSError:
        # A living process holds the lock.
        return
    finally:
        os.close(lock)


def _lock_as_alive(folder_descriptor: int) -> None:
    """Lock a private directory, which says that its process lives, also to systemd-tmpfiles.

    Raises BlockingIOError if another process is removing it.  A filesystem without locks, such as NFS, is no
    error: there, nobody takes a directory for abandoned.
    """
    try:
        fcntl.flock(folder_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Without locks, the directory of a killed process stays.
        return


def _parents() -> list[str]:
    """Return the folders in which a private directory may lie, the best one first."""
    folders = dict.fromkeys([_MEMORY_FOLDER, tempfile.gettempdir()])
    return [folder for folder in folders if _is_safe_parent(folder)]


def _is_safe_parent(folder: str) -> bool:
    """Return True if nobody else can replace what this user makes in ``folder``."""
    try:
        status = os.stat(folder)
    except OSError:
        # There is no such folder, or it cannot be looked at.
        return False
    others_may_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    is_sticky = status.st_mode & stat.S_ISVTX
    return status.st_uid in (0, os.geteuid()) and (not others_may_write or bool(is_sticky))


def _remove(folder: str, lock: int, creator_pid: int) -> None:
    """Remove a private directory and release its lock; does nothing in a fork of the process that made it."""
    if os.getpid() != creator_pid:
        return
    shutil.rmtree(folder, ignore_errors=True)
    if lock >= 0:
        os.close(lock)
