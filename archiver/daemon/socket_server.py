"""Requests of other users, through a Unix socket on which the kernel names them (SO_PEERCRED).

Bounded in size, in time and in number; a caller outside of access.act_group is turned
away before a byte of theirs is read.
"""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from archiver import clock
from archiver.actions import protocol
from archiver.actions.context import ActionContext
from archiver.actions.registry import all_actions, decode_action, perform
from archiver.config.settings import Config
from archiver.errors import ArchiverError, LazyMessage, Reporter, StorageError, UsageError
from archiver.model import Actor
from archiver.store import permissions, users
from archiver.store.archive import Archive

_WORKERS = 4
_BACKLOG = 16
#: A whole request has to arrive in this time.
_PATIENCE_SECONDS = 10.0
_LOOK_SECONDS = 0.5
_LONGEST_WAIT_SECONDS = 300.0
#: socket(7): the peer's supplementary groups; CPython has no name for it.
_SO_PEERGROUPS = 59
_FEW_GROUPS = 256


def let_in(config: Config, report: Reporter) -> None:
    """Let the reading group, and nobody else, read the archive's files, also those that this process makes."""
    try:
        group = permissions.reading_group(config.read_group)
        if not permissions.has_access(config.archive, group):
            changed = permissions.grant_access(config.archive, group)
            report(
                LazyMessage.define(
                    "The permissions of {count} files and folders in {path} were set: only its owner writes "
                    "there, and nobody reads but the owner and access.read_group ({group}).",
                    singular="The permissions of {count} file or folder in {path} were set: only its owner writes "
                    "there, and nobody reads but the owner and access.read_group ({group}).",
                ),
                count=changed,
                path=config.archive,
                group=config.read_group or "-",
            )
    except (OSError, KeyError) as error:
        report(
            "The archive {path} cannot be given to the group {group} ({reason}). Nothing was lost. The service's "
            "user has to own the archive and to be of that group.",
            problem="access",
            path=config.archive,
            group=config.read_group or "-",
            reason=getattr(error, "strerror", None) or error,
        )
    # Threads write too: the mask is the same for all of them.
    os.umask(permissions.mask_of(config.archive))


class Reception:
    """Serves one archive's socket while it is open."""

    def __init__(self, config: Config, report: Reporter) -> None:
        self._config = config
        self._report = report
        # Imports them now: an upgrade of the package must not mix with the running release.
        all_actions()
        self._closing = threading.Event()
        self._socket = _listening(config.archive)
        self._inode = os.lstat(config.archive / protocol.SOCKET_NAME).st_ino
        self._workers = ThreadPoolExecutor(_WORKERS, "reception")
        self._free = threading.Semaphore(_WORKERS)
        self._thread = threading.Thread(target=self._accept, name="reception", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more requests; those in hand are finished."""
        self._closing.set()
        self._thread.join()
        self._socket.close()
        self._workers.shutdown()
        # On a disk that takes nothing more the next daemon takes it away.
        with suppress(OSError):
            (self._config.archive / protocol.SOCKET_NAME).unlink(missing_ok=True)

    @property
    def is_reachable(self) -> bool:
        """Whether the name that others know still leads to this socket."""
        try:
            return os.lstat(self._config.archive / protocol.SOCKET_NAME).st_ino == self._inode
        except OSError:
            return False

    def _accept(self) -> None:
        while not self._closing.is_set():
            if not self._free.acquire(timeout=_LOOK_SECONDS):
                continue
            try:
                peer, _ = self._socket.accept()
            except OSError:
                # Nobody came in the meantime, or they went away again.
                self._free.release()
                continue
            self._workers.submit(self._serve, peer)

    def _serve(self, peer: socket.socket) -> None:
        try:
            with peer:
                _answer(peer, self._handle(peer))
        except OSError:
            # The caller went away: what was done is done, and journalled.
            return
        finally:
            self._free.release()

    def _handle(self, peer: socket.socket) -> dict[str, Any]:
        try:
            actor = self._admitted(peer)
            read = _reader(peer)
            message = protocol.ActionMessage.decode(protocol.read_message(read))
            return {"result": self._perform(actor, message, read)}
        except ArchiverError as error:
            return protocol.encode_error(error)
        except (protocol.BadMessage, UnicodeError) as error:
            return protocol.encode_error(
                UsageError("The daemon did not understand the request ({reason}).", reason=str(error)[:200])
            )
        except Exception as error:
            # One request must not end the service that archives.
            self._report(
                "A request of another user failed ({reason}). Nothing archived was lost.",
                problem="request",
                reason=repr(error),
            )
            return protocol.encode_error(
                StorageError(
                    "The daemon could not do it ({reason}). Nothing archived was lost.", reason=repr(error)
                )
            )

    def _admitted(self, peer: socket.socket) -> Actor:
        _, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        actor = users.of_uid(uid)
        if uid in (0, os.geteuid()) or self._allowed_group_id() in {gid, *_groups(peer, uid, gid)}:
            return actor
        _leave_word(self._config.archive, uid)
        raise StorageError(
            "{user} is not of the group that may act on {path} (access.act_group). Nothing was changed. "
            "Ask the administrator of this server.",
            user=str(actor),
            path=self._config.archive,
        )

    def _allowed_group_id(self) -> int:
        try:
            return grp.getgrnam(self._config.act_group).gr_gid if self._config.act_group else -1
        except KeyError:
            return -1

    def _perform(
        self, actor: Actor, message: protocol.ActionMessage, read: Callable[[int], bytes]
    ) -> dict[str, Any]:
        """Carry out a caller's request on an archive that is opened in the caller's name, and closed again.

        Raises BadMessage if the attachment does not arrive, and whatever the action raises.
        """
        archive = Archive(self._config.archive, actor=actor)
        try:
            with _received(message.attachment_size, read, archive.spool) as attachment:
                # Not a number is no waiting time either.
                is_acceptable = 0 <= message.lock_timeout <= _LONGEST_WAIT_SECONDS
                lock_timeout = float(message.lock_timeout) if is_acceptable else _LONGEST_WAIT_SECONDS
                context = ActionContext(archive, self._config, lock_timeout, attachment)
                return perform(context, decode_action(message.action_name, message.arguments))
        finally:
            archive.close()


def _listening(archive: Path) -> socket.socket:
    (archive / protocol.SOCKET_NAME).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with protocol.short_socket_path(archive) as path:
            listening.bind(path)
        # Who may come is asked of the kernel, caller by caller.
        (archive / protocol.SOCKET_NAME).chmod(0o666)
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.settimeout(_LOOK_SECONDS)
    return listening


def _groups(peer: socket.socket, uid: int, gid: int) -> set[int]:
    try:
        data = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _FEW_GROUPS)
        return set(struct.unpack(f"{len(data) // 4}I", data))
    except OSError:
        pass
    try:
        return set(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        return set()


def _reader(peer: socket.socket) -> Callable[[int], bytes]:
    """Exactly as many bytes as asked for, all of them within one span of patience."""
    deadline = clock.monotonic() + _PATIENCE_SECONDS

    def receive(count: int) -> bytes:
        left = deadline - clock.monotonic()
        if left <= 0:
            raise protocol.BadMessage("it came too slowly")
        peer.settimeout(left)
        try:
            return peer.recv(count)
        except TimeoutError:
            raise protocol.BadMessage("it came too slowly") from None
        except OSError as error:
            raise protocol.BadMessage(error.strerror or "it went away") from None

    return lambda count: protocol.read_exactly(receive, count)


@contextmanager
def _received(size: int | None, read: Callable[[int], bytes], spool: Path) -> Iterator[IO[bytes] | None]:
    """Receive the attachment into a file without a name, which is gone at the end of the block."""
    if size is None:
        yield None
        return
    with tempfile.TemporaryFile(dir=spool) as file:
        left = size
        while left:
            chunk = read(min(left, 1 << 20))
            file.write(chunk)
            left -= len(chunk)
        file.seek(0)
        yield file


def _answer(peer: socket.socket, document: dict[str, Any]) -> None:
    peer.settimeout(_PATIENCE_SECONDS)
    try:
        data = protocol.encode_message(document)
    except protocol.BadMessage:
        data = protocol.encode_message({"result": {}})
    peer.sendall(data)


def _leave_word(archive: Path, uid: int) -> None:
    """The daemon journals what was refused, many at once; see :mod:`archiver.store.git.hooks`."""
    try:
        with open(archive / "spool" / "refused", "a", encoding="ascii") as note:
            note.write(f"act\tsocket\t{uid}\n")
    except OSError:
        return
