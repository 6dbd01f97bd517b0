"""Serve requests of other users on a Unix socket, on which the kernel identifies each caller (SO_PEERCRED).

Requests are bounded in size, in time and in number.  A caller outside access.act_group is rejected before a byte
of the request is read.
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

#: More, and callers that send nothing hold more memory. Fewer, and some of them keep everybody else waiting.
_THREAD_COUNT = 4
#: Callers that wait for a free thread; the kernel makes further ones wait in connect(2).
_BACKLOG = 16
#: A whole request has to arrive in this time: a caller that is slower holds a thread for too long.
_REQUEST_SECONDS = 10.0
#: The accepting thread wakes up this often to see that the server closes.
_CLOSING_CHECK_SECONDS = 0.5
#: A caller may wait this long for the writer's lock: longer, and few callers would hold all threads.
_MAX_LOCK_TIMEOUT = 300.0
#: socket(7): the peer's supplementary groups; CPython has no name for it.
_SO_PEERGROUPS = 59
#: For a caller with more groups getsockopt(2) fails, and the user database is asked.
_MAX_GROUPS = 256


def grant_group_access(config: Config, report: Reporter) -> None:
    """Let the reading group, and nobody else, read the archive's files, also future files of this process.

    Sets the umask of the process. A failure is reported: archiving goes on with the old permissions.
    """
    try:
        group_id = permissions.reading_group(config.read_group)
        if not permissions.has_access(config.archive, group_id):
            changed_count = permissions.grant_access(config.archive, group_id)
            report(
                LazyMessage.define(
                    "The permissions of {count} files and folders in {path} were set: only its owner writes "
                    "there, and nobody reads but the owner and access.read_group ({group}).",
                    singular="The permissions of {count} file or folder in {path} were set: only its owner writes "
                    "there, and nobody reads but the owner and access.read_group ({group}).",
                ),
                count=changed_count,
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
    os.umask(permissions.umask_for(config.archive))


class SocketServer:
    """Serve requests on the socket of one archive until :meth:`close`.

    Owns the socket, the thread that accepts callers, and the threads that answer them.  Each request opens an
    archive of its own, in the name of the caller.
    """

    def __init__(self, config: Config, report: Reporter) -> None:
        self._config = config
        self._report = report
        # Import all actions now: an upgrade of the package must not mix with the running release.
        all_actions()
        self._is_closing = threading.Event()
        self._listening_socket = _open_socket(config.archive)
        self._socket_inode = os.lstat(config.archive / protocol.SOCKET_NAME).st_ino
        self._thread_pool = ThreadPoolExecutor(_THREAD_COUNT, "reception")
        self._free_threads = threading.Semaphore(_THREAD_COUNT)
        self._accepting_thread = threading.Thread(target=self._accept_callers, name="reception", daemon=True)
        self._accepting_thread.start()

    def close(self) -> None:
        """Accept no more requests, finish the running ones, and remove the socket."""
        self._is_closing.set()
        self._accepting_thread.join()
        self._listening_socket.close()
        self._thread_pool.shutdown()
        # On a disk that takes no write, the next daemon removes the socket.
        with suppress(OSError):
            (self._config.archive / protocol.SOCKET_NAME).unlink(missing_ok=True)

    @property
    def is_reachable(self) -> bool:
        """Return True if the socket's path still leads to this socket, not to another socket or nowhere."""
        try:
            return os.lstat(self._config.archive / protocol.SOCKET_NAME).st_ino == self._socket_inode
        except OSError:
            # Removed, or the disk is gone: the service opens a new socket as soon as it can.
            return False

    def _accept_callers(self) -> None:
        while not self._is_closing.is_set():
            if not self._free_threads.acquire(timeout=_CLOSING_CHECK_SECONDS):
                continue
            try:
                peer, _ = self._listening_socket.accept()
            except OSError:
                # No caller in the meantime, or one that went away again.
                self._free_threads.release()
                continue
            self._thread_pool.submit(self._serve_caller, peer)

    def _serve_caller(self, peer: socket.socket) -> None:
        try:
            with peer:
                _send_reply(peer, self._answer_request(peer))
        except OSError:
            # The caller went away before the reply: the action is done, and journalled.
            return
        finally:
            self._free_threads.release()

    def _answer_request(self, peer: socket.socket) -> dict[str, Any]:
        try:
            actor = self._admit(peer)
            read_exactly = _request_reader(peer)
            message = protocol.ActionMessage.decode(protocol.read_message(read_exactly))
            return {"result": self._perform(actor, message, read_exactly)}
        except ArchiverError as error:
            return protocol.encode_error(error)
        except (protocol.BadMessage, UnicodeError) as error:
            return protocol.encode_error(
                UsageError("The daemon did not understand the request ({reason}).", reason=str(error)[:200])
            )
        except Exception as error:
            # One request must not end the service that archives, whatever an action raises.
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

    def _admit(self, peer: socket.socket) -> Actor:
        _, uid, gid = struct.unpack("3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        actor = users.user_with_id(uid)
        if uid in (0, os.geteuid()) or self._allowed_group_id() in {gid, *_peer_groups(peer, uid, gid)}:
            return actor
        _note_refusal(self._config.archive, uid)
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
            # The group does not exist: no caller is of it. -1 is the number of no group.
            return -1

    def _perform(
        self, actor: Actor, message: protocol.ActionMessage, read_exactly: Callable[[int], bytes]
    ) -> dict[str, Any]:
        """Carry out a caller's request on an archive opened, and closed again, in the caller's name.

        Raises BadMessage if the attachment does not arrive, and whatever the action raises.
        """
        archive = Archive(self._config.archive, actor=actor)
        try:
            with _received_attachment(message.attachment_size, read_exactly, archive.spool) as attachment:
                # The comparison is false for NaN too.
                is_acceptable = 0 <= message.lock_timeout <= _MAX_LOCK_TIMEOUT
                lock_timeout = float(message.lock_timeout) if is_acceptable else _MAX_LOCK_TIMEOUT
                context = ActionContext(archive, self._config, lock_timeout, attachment)
                return perform(context, decode_action(message.action_name, message.arguments))
        finally:
            archive.close()


def _open_socket(archive: Path) -> socket.socket:
    (archive / protocol.SOCKET_NAME).unlink(missing_ok=True)
    listening_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with protocol.short_socket_path(archive) as short_path:
            listening_socket.bind(short_path)
        # Everybody may connect: SO_PEERCRED identifies each caller.
        (archive / protocol.SOCKET_NAME).chmod(0o666)
        listening_socket.listen(_BACKLOG)
    except OSError:
        listening_socket.close()
        raise
    listening_socket.settimeout(_CLOSING_CHECK_SECONDS)
    return listening_socket


def _peer_groups(peer: socket.socket, uid: int, gid: int) -> set[int]:
    try:
        group_ids = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 4 * _MAX_GROUPS)
        return set(struct.unpack(f"{len(group_ids) // 4}I", group_ids))
    except OSError:
        # An older kernel, or too many groups: ask the user database below.
        pass
    try:
        return set(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        # A user without an entry has only the group that SO_PEERCRED returned.
        return set()


def _request_reader(peer: socket.socket) -> Callable[[int], bytes]:
    """Return a function to read an exact number of bytes, with a single deadline for the whole request.

    The function raises BadMessage if the deadline passes or the caller goes away.
    """
    deadline = clock.monotonic() + _REQUEST_SECONDS

    def receive(byte_count: int) -> bytes:
        remaining_seconds = deadline - clock.monotonic()
        if remaining_seconds <= 0:
            raise protocol.BadMessage("it came too slowly")
        peer.settimeout(remaining_seconds)
        try:
            return peer.recv(byte_count)
        except TimeoutError:
            raise protocol.BadMessage("it came too slowly") from None
        except OSError as error:
            raise protocol.BadMessage(error.strerror or "it went away") from None

    return lambda byte_count: protocol.read_exactly(receive, byte_count)


@contextmanager
def _received_attachment(
    size: int | None, read_exactly: Callable[[int], bytes], spool: Path
) -> Iterator[IO[bytes] | None]:
    """Receive the attachment into a file without a name, which vanishes at the end of the block or in a crash.

    Raises BadMessage if the attachment does not arrive, OSError if the disk cannot take it.
    """
    if size is None:
        yield None
        return
    with tempfile.TemporaryFile(dir=spool) as attachment_file:
        remaining_bytes = size
        while remaining_bytes:
            chunk = read_exactly(min(remaining_bytes, 1 << 20))
            attachment_file.write(chunk)
            remaining_bytes -= len(chunk)
        attachment_file.seek(0)
        yield attachment_file


def _send_reply(peer: socket.socket, reply: dict[str, Any]) -> None:
    peer.settimeout(_REQUEST_SECONDS)
    try:
        encoded_reply = protocol.encode_message(reply)
    except protocol.BadMessage:
        # The result is too long for a message; the action is done, so the reply must not be an error.
        encoded_reply = protocol.encode_message({"result": {}})
    peer.sendall(encoded_reply)


def _note_refusal(archive: Path, uid: int) -> None:
    """Note a rejected caller in the spool, for :mod:`archiver.daemon.refusals` to journal many at once.

    With an event for each attempt, callers without rights could fill the journal.
    """
    try:
        with open(archive / "spool" / "refused", "a", encoding="ascii") as note_file:
            note_file.write(f"act\tsocket\t{uid}\n")
    except OSError:
        # A full disk: the caller is rejected all the same, and only the note is missing.
        return
