"""Give git a private directory instead of the archive's repository, so that git obeys only our own settings.

Some settings name programs, and hooks are programs.  The owner of the archive can write both, and root must not
run them.  So git finds our ``config`` and ``HEAD`` in a private directory, next to links to the archive's refs.
Git follows the links, and creates its lock files at their targets.  ``GIT_OBJECT_DIRECTORY`` names the folder of
objects.  ``GIT_COMMON_DIR`` is no alternative, because git reads the settings of the common directory.

The links and the object directory are relative to the working directory of the git process, which is the
repository.  If somebody moves the archive, a running git stays with it.  With absolute paths, git would create new
folders in the old location, or mix the refs and objects of two archives.
"""

from __future__ import annotations

import fcntl
import os
import stat
import weakref
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from archiver.errors import StorageError
from archiver.store.git import packed_refs

_PREFIX = "archiver-git-"
#: The value of ``GIT_OBJECT_DIRECTORY``, relative to the working directory of git.
OBJECT_DIRECTORY = "objects"
#: The target of the links: the working directory of the process that follows them.
_WORKING_DIRECTORY = "/proc/self/cwd"
#: A filesystem in memory, on Linux.  There, reading works even if the disk is full, and no program that cleans up
#: ``/tmp`` removes the directory.
_MEMORY_FOLDER = "/dev/shm"

#: A directory without one of these is incomplete.
_REQUIRED_NAMES = frozenset({"HEAD", "config", "refs", "packed-refs"})
_HEAD = "ref: refs/heads/journal\n"
#: All settings that our commands need.
#:
#: - ``fsync``: :mod:`archiver.store.git.ref_transaction` syncs refs.  The value ``all,-reference`` would have no
#:   effect.
#: - ``hooksPath``: the archive's hooks are meant for other people's git.
#: - ``warnAmbiguousRefs``: git would look for a ref with the name of each object id in a command.
#: - ``graftFileDeprecated``: git would print a hint about grafts before the reason of a failure.
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
    """A git directory of this process for one repository; removed by :meth:`close`, or when the process ends.

    A process that is killed leaves its directory behind, and the next process that creates one removes it.
    """

    def __init__(self, *, copied_refs: Mapping[str, str] | None = None) -> None:
        """Prepare a directory, which the first call of :meth:`path` creates.

        With ``copied_refs``, object ids by the refs' full names, the directory contains these refs instead of
        links.  This is for ``git fsck``, which reports links since git 2.50.
        """
        self._copied_refs = copied_refs
        self._path: str | None = None
        self._remover: weakref.finalize[..., PrivateDirectory] | None = None

    def path(self) -> str:
        """Return the path of the directory, which is created if it is missing or incomplete.

        Raises StorageError if no folder can take the directory.
        """
        if self._path is None or not self.is_intact():
            self.close()
            self._create()
        assert self._path is not None
        return self._path

    def is_intact(self) -> bool:
        """Return True if the directory exists and is complete; otherwise git would report missing refs."""
        try:
            return self._path is not None and set(os.listdir(self._path)) >= _REQUIRED_NAMES
        except FileNotFoundError:  # The whole directory was removed.
            return False

    def close(self) -> None:
        """Remove the directory; the next call of :meth:`path` creates another one."""
        if self._remover is not None:
            self._remover()
        self._path = self._remover = None

    def _create(self) -> None:
        """Create the directory in the first suitable folder that has room; raises StorageError if none has.

        Also removes the directories that killed processes left in the same folder.
        """
        last_error: OSError | None = None
        for parent in _safe_parents():
            folder = os.path.join(parent, _PREFIX + os.urandom(8).hex())
            try:
                os.mkdir(folder, 0o700)
            except OSError as error:
                last_error = error
                continue
            lock_descriptor = -1
            try:
                lock_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                _lock_as_alive(lock_descriptor)
                self._write_files(folder)
            except OSError as error:
                last_error = error
                _remove_directory(folder, lock_descriptor, os.getpid())
                continue
            _remove_abandoned(parent)
            self._path = folder
            self._remover = weakref.finalize(self, _remove_directory, folder, lock_descriptor, os.getpid())
            return
        import tempfile

        raise StorageError(
            "Cannot create a temporary folder for git ({reason}). Nothing was changed. Free some space in "
            "{folder}, or set TMPDIR to a folder on another disk.",
            reason=(last_error and last_error.strerror) or last_error,
            folder=tempfile.gettempdir(),
        )

    def _write_files(self, folder: str) -> None:
        """Write our settings, and the links or the copied refs, to ``folder``; raises OSError."""
        for name, text in (("config", _CONFIG), ("HEAD", _HEAD)):
            Path(folder, name).write_text(text, "ascii")
        if self._copied_refs is None:
            for name in ("refs", "packed-refs"):
                os.symlink(f"{_WORKING_DIRECTORY}/{name}", f"{folder}/{name}")
            return
        os.mkdir(f"{folder}/refs")
        Path(folder, packed_refs.NAME).write_bytes(packed_refs.encode_lines(self._copied_refs))


def _remove_abandoned(parent: str) -> None:
    """Remove the private directories in ``parent`` that killed processes of this user left behind."""
    # Errors are ignored, because a leftover directory does no harm.
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX) and entry.is_dir(follow_symlinks=False):
                _remove_if_abandoned(entry.path)


def _remove_if_abandoned(folder: str) -> None:
    """Remove a private directory unless a living process holds its lock, or another user owns it."""
    try:
        lock_descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # The directory belongs to another user, or was just removed.
        return
    try:
        if os.fstat(lock_descriptor).st_uid == os.geteuid():
            fcntl.flock(lock_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove_files_and_folder(folder)
    except OSError:
        # A living process holds the lock.
        return
    finally:
        os.close(lock_descriptor)


def _lock_as_alive(folder_descriptor: int) -> None:
    """Lock a private directory to show other processes, and systemd-tmpfiles, that its process is alive.

    Raises BlockingIOError if another process is removing the directory.  Does nothing on a filesystem without
    locks, such as NFS: there, no process removes the directory of another one.
    """
    try:
        fcntl.flock(folder_descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Without locks, the directory of a killed process is never removed.
        return


def _safe_parents() -> Iterator[str]:
    """Yield the folders in which a private directory may be created, the best one first."""
    # Each of them twice: before a new directory is locked, another process may take it for abandoned.
    for _ in range(2):
        if _is_safe_parent(_MEMORY_FOLDER):
            yield _MEMORY_FOLDER
        # Seldom needed, and importing it takes milliseconds.
        import tempfile

        if _is_safe_parent(tempfile.gettempdir()):
            yield tempfile.gettempdir()


def _is_safe_parent(folder: str) -> bool:
    """Return True if nobody but root can replace files that this user creates in ``folder``."""
    try:
        status = os.stat(folder)
    except OSError:
        # The folder is missing or cannot be examined.
        return False
    others_may_write = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    is_sticky = status.st_mode & stat.S_ISVTX
    return status.st_uid in (0, os.geteuid()) and (not others_may_write or bool(is_sticky))


def _remove_files_and_folder(folder: str) -> None:
    """Remove a private directory, as far as possible; errors are ignored, because a leftover does no harm."""
    try:
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    except OSError:
        # Copied refs have a folder.  Importing shutil takes milliseconds.
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _remove_directory(folder: str, lock_descriptor: int, creator_pid: int) -> None:
    """Remove a private directory and release its lock; do nothing in a fork of the process that created it."""
    if os.getpid() != creator_pid:
        return
    _remove_files_and_folder(folder)
    # -1 if the directory could not be opened.
    if lock_descriptor >= 0:
        os.close(lock_descriptor)
