"""Serve requests of other users on a Unix socket, on which the kernel identifies each caller (SO_PEERCRED).

Size, duration and number of the requests are limited.  A caller outside access.act_group is rejected before any
byte of the request is read.
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
from archiver.actions.registry import decode_action_request, load_all_actions, perform_action
from archiver.config.settings import Config
from archiver.errors import ArchiverError, LazyMessage, Reporter, StorageError, UsageError
from archiver.model import Actor
from archiver.store import permissions, users
from archiver.store.archive import Archive

#: Threads that answer requests. With more threads, callers that send nothing hold more memory. With fewer, a few
#: such callers keep all others waiting.
_THREAD_COUNT = 4
#: Callers that wait for a free thread; the kernel makes further callers wait in connect(2).
_BACKLOG = 16
#: A request has to arrive within this time. With a longer time, a slow caller holds a thread for too long.
_REQUEST_SECONDS = 10.0
#: The accepting thread wakes up this often to check whether the server closes.
_CLOSING_CHECK_SECONDS = 0.5
#: A caller may wait this long for the writer's lock. With a longer time, a few callers could hold all threads.
_MAX_LOCK_TIMEOUT = 300.0
#: ``struct ucred`` of unix(7), which SO_PEERCRED fills: pid, uid and gid.
_PEER_CREDENTIALS = struct.Struct("3i")
#: The socket option for a caller's supplementary groups, unix(7); the module ``socket`` has no name for it.
_SO_PEERGROUPS = 59
#: getsockopt(2) fails for a caller with more groups, and the user database is read instead.
_MAX_GROUPS = 256
_GROUP_ID_BYTES = 4
#: Bytes of an attachment to receive at a time.
_CHUNK_BYTES = 1 << 20


def grant_group_access(config: Config, report: Reporter) -> None:
    """Let only the owner and the group access.read_group read the archive's files, and only the owner write them.

    Sets the umask of the process, so that its future files get the same permissions.  A failure is reported, and
    archiving continues with the old permissions.
    """
    try:
        group_id = permissions.reading_group_id(config.read_group)
        if not permissions.has_expected_access(config.archive, group_id):
            changed_count = permissions.set_access_for_group(config.archive, group_id)
            report(
                LazyMessage.define(
                    "The permissions of {count} files and folders in {path} were set: only the archive owner can "
                    "write, and only the archive owner and access.read_group ({group}) can read.",
                    singular=(
                        "The permissions of {count} file or folder in {path} were set: only the archive owner "
                        "can write, and only the archive owner and access.read_group ({group}) can read."
                    ),
                ),
                count=changed_count,
                path=config.archive,
                group=config.read_group or "-",
            )
    except (OSError, KeyError) as error:
        report(
            "Cannot give the group {group} access to the archive {path} ({reason}). No archived data was lost. "
            "The user that runs the service must own the archive and belong to the group.",
            problem="access",
            path=config.archive,
            group=config.read_group or "-",
            reason=getattr(error, "strerror", None) or error,
        )
    # Set once for the whole process: other threads create files too, and share the mask.
    os.umask(permissions.umask_for(config.archive))


class SocketServer:
    """Serve requests on the socket of one archive until :meth:`close`.

    Owns the socket, the thread that accepts callers, and the threads that answer them.  Each request opens the
    archive separately, in the name of the caller.
    """

    def __init__(self, config: Config, report: Reporter) -> None:
        """Open the socket in the archive's folder, and start to serve requests.

        An existing socket is replaced.  ``report`` is called on the threads that answer.

        Raises OSError, and RuntimeError if no thread can be started; nothing stays open then.
        """
        self._config = config
        self._report = report
        # Import all actions now: an upgrade of the package must not mix with the running release.
        load_all_actions()
        self._is_closing = threading.Event()
        self._thread_pool = ThreadPoolExecutor(_THREAD_COUNT, "reception")
        self._free_threads = threading.Semaphore(_THREAD_COUNT)
        self._accepting_thread = threading.Thread(target=self._accept_connections, name="reception", daemon=True)
        self._listening_socket = _open_listening_socket(config.archive)
        try:
            self._socket_inode = os.lstat(config.archive / protocol.SOCKET_NAME).st_ino
            self._accepting_thread.start()
        except BaseException:
            self._listening_socket.close()
            raise

    def close(self) -> None:
        """Accept no more requests, wait until the running ones are finished, and remove the socket."""
        self._is_closing.set()
        self._accepting_thread.join()
        self._listening_socket.close()
        self._thread_pool.shutdown()
        # If the socket cannot be removed from a read-only or failing disk, the next daemon replaces it.
        with suppress(OSError):
            (self._config.archive / protocol.SOCKET_NAME).unlink(missing_ok=True)

    @property
    def is_reachable(self) -> bool:
        """Return True if the socket's path still leads to this socket, and not to another socket or nowhere."""
        try:
            return os.lstat(self._config.archive / protocol.SOCKET_NAME).st_ino == self._socket_inode
        except OSError:
            # The socket was removed, or the disk is missing.  The service opens a new socket as soon as possible.
            return False

    def _accept_connections(self) -> None:
        """Pass each connection to a free thread until the server closes; the target of the accepting thread."""
        while not self._is_closing.is_set():
            if not self._free_threads.acquire(timeout=_CLOSING_CHECK_SECONDS):
                continue
            try:
                connection, _ = self._listening_socket.accept()
            except OSError:
                # No caller came before the timeout, or the caller went away again.
                self._free_threads.release()
                continue
            self._thread_pool.submit(self._serve_connection, connection)

    def _serve_connection(self, connection: socket.socket) -> None:
        """Answer one request, close the connection, and mark the thread as free again; never raises OSError."""
        try:
            with connection:
                _send_reply(connection, self._answer_request(connection))
        except OSError:
            # The caller disconnected before the reply.  The action has been carried out and journalled.
            return
        finally:
            self._free_threads.release()

    def _answer_request(self, connection: socket.socket) -> dict[str, Any]:
        """Read a request and carry it out; return the reply, with a result or an encoded error.

        Never raises: whatever goes wrong is part of the reply.
        """
        try:
            actor = self._authorize_caller(connection)
            read_exactly = _request_reader(connection)
            message = protocol.ActionMessage.decode(protocol.read_message(read_exactly))
            return {"result": self._perform_action(actor, message, read_exactly)}
        except ArchiverError as error:
            return protocol.encode_error(error)
        except (protocol.BadMessage, UnicodeError) as error:
            return protocol.encode_error(
                UsageError("The service cannot interpret the request ({reason}).", reason=str(error)[:200])
            )
        except Exception as error:
            # One request must not end the service that archives, whatever an action raises.
            self._report(
                "A request from another user failed ({reason}). No archived data was lost.",
                problem="request",
                reason=repr(error),
            )
            return protocol.encode_error(
                StorageError(
                    "The service could not complete the request ({reason}). No archived data was lost.",
                    reason=repr(error),
                )
            )

    def _authorize_caller(self, connection: socket.socket) -> Actor:
        """Return the user at the other end of the connection; raises StorageError unless this user may act.

        Root, the service's own user and the members of access.act_group may act on the archive.  Any other caller
        is rejected, and the refusal is noted for the journal.
        """
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
        _, uid, gid = _PEER_CREDENTIALS.unpack(credentials)
        actor = users.user_with_id(uid)
        if uid in (0, os.geteuid()):
            return actor
        if self._act_group_id() in {gid, *_supplementary_group_ids(connection, uid, gid)}:
            return actor
        _note_refusal(self._config.archive, uid)
        raise StorageError(
            "{user} is not in the group that can act on {path} (access.act_group). Nothing was changed. Contact "
            "the administrator of this server.",
            user=str(actor),
            path=self._config.archive,
        )

    def _act_group_id(self) -> int:
        """Return the id of access.act_group; -1, which no group has, if the setting is empty or names no group."""
        try:
            return grp.getgrnam(self._config.act_group).gr_gid if self._config.act_group else -1
        except KeyError:
            # The group does not exist, so no caller is a member.
            return -1

    def _perform_action(
        self, actor: Actor, message: protocol.ActionMessage, read_exactly: Callable[[int], bytes]
    ) -> dict[str, Any]:
        """Carry out a request in the name of ``actor``, and return the result for the reply.

        ``read_exactly`` reads the attachment, which follows the message.  The archive is opened for this request,
        and closed again.

        Raises BadMessage if the attachment does not arrive, and any exception of the action.
        """
        archive = Archive(self._config.archive, actor=actor)
        try:
            with _receive_attachment(message.attachment_size, read_exactly, archive.spool_folder) as attachment:
                lock_timeout = _limit_lock_timeout(message.lock_timeout)
                context = ActionContext(archive, self._config, lock_timeout, attachment)
                return perform_action(context, decode_action_request(message.action_name, message.arguments))
        finally:
            archive.close()


def _limit_lock_timeout(requested_seconds: float) -> float:
    """Return the time that a caller requests for the writer's lock, or the maximum if the time is not valid."""
    # The caller chose the number. It may be NaN, which is not valid either: any comparison with NaN is False.
    is_valid = 0 <= requested_seconds <= _MAX_LOCK_TIMEOUT
    return float(requested_seconds) if is_valid else _MAX_LOCK_TIMEOUT


def _open_listening_socket(archive_folder: Path) -> socket.socket:
    """Replace the socket in the archive's folder, and return the new, listening socket; raises OSError.

    accept() raises TimeoutError after ``_CLOSING_CHECK_SECONDS`` without a caller.  The caller of this function
    closes the socket, and removes its file.
    """
    socket_path = archive_folder / protocol.SOCKET_NAME
    socket_path.unlink(missing_ok=True)
    listening_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with protocol.short_socket_path(archive_folder) as short_path:
            listening_socket.bind(short_path)
        # Every user may connect, because the server checks the user of each connection itself.
        socket_path.chmod(0o666)
        listening_socket.listen(_BACKLOG)
    except OSError:
        listening_socket.close()
        raise
    listening_socket.settimeout(_CLOSING_CHECK_SECONDS)
    return listening_socket


def _supplementary_group_ids(connection: socket.socket, uid: int, gid: int) -> set[int]:
    """Return the ids of a caller's supplementary groups: from the kernel or, failing that, the user database.

    ``uid`` and ``gid`` are the caller's user and primary group.
    """
    try:
        encoded_ids = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUP_ID_BYTES * _MAX_GROUPS)
        return set(struct.unpack(f"{len(encoded_ids) // _GROUP_ID_BYTES}I", encoded_ids))
    except OSError:
        # The kernel is older than the option, or the caller has too many groups: read the user database below.
        pass
    try:
        return set(os.getgrouplist(pwd.getpwuid(uid).pw_name, gid))
    except KeyError:
        # A user who is not in the database has only the primary group, which the caller of this function knows.
        return set()


def _request_reader(connection: socket.socket) -> Callable[[int], bytes]:
    """Return a function that reads a given number of bytes of a request.

    All of its calls together may take ``_REQUEST_SECONDS``.  The function raises BadMessage after that time, or if
    the caller disconnects before all bytes have arrived.
    """
    deadline = clock.monotonic_seconds() + _REQUEST_SECONDS

    def receive(byte_count: int) -> bytes:
        """Return up to ``byte_count`` bytes, none at the end of the stream; raises BadMessage on failure."""
        remaining_seconds = deadline - clock.monotonic_seconds()
        if remaining_seconds <= 0:
            raise protocol.BadMessage("it came too slowly")
        connection.settimeout(remaining_seconds)
        try:
            return connection.recv(byte_count)
        except TimeoutError:
            raise protocol.BadMessage("it came too slowly") from None
        except OSError as error:
            raise protocol.BadMessage(error.strerror or "it went away") from None

    return lambda byte_count: protocol.read_exactly(receive, byte_count)


@contextmanager
def _receive_attachment(
    attachment_size: int | None, read_exactly: Callable[[int], bytes], spool_folder: Path
) -> Iterator[IO[bytes] | None]:
    """Receive an attachment of ``attachment_size`` bytes into a file, and yield the file, open at the beginning.

    Yields None if ``attachment_size`` is None, because the request has no attachment.

    The file is on the disk of ``spool_folder`` but has no name, so it vanishes at the end of the block, or in a
    crash.

    Raises BadMessage if the attachment does not arrive, and OSError if it cannot be written.
    """
    if attachment_size is None:
        yield None
        return
    with tempfile.TemporaryFile(dir=spool_folder) as attachment_file:
        remaining_bytes = attachment_size
        while remaining_bytes:
            chunk = read_exactly(min(remaining_bytes, _CHUNK_BYTES))
            attachment_file.write(chunk)
            remaining_bytes -= len(chunk)
        attachment_file.seek(0)
        yield attachment_file


def _send_reply(connection: socket.socket, reply: dict[str, Any]) -> None:
    """Send a reply, with an empty result if the result is too long; raises OSError if the caller disconnected."""
    connection.settimeout(_REQUEST_SECONDS)
    try:
        encoded_reply = protocol.encode_message(reply)
    except protocol.BadMessage:
        # The result is too long for a message.  The action is done, so the reply must not be an error.
        encoded_reply = protocol.encode_message({"result": {}})
    connection.sendall(encoded_reply)


def _note_refusal(archive_folder: Path, uid: int) -> None:
    """Add a rejected caller to the file of refusals, which :mod:`archiver.daemon.refusals` journals later.

    If each refusal became an event at once, callers without rights could fill the journal.  Never raises OSError.
    """
    try:
        with open(archive_folder / "spool" / "refused", "a", encoding="ascii") as note_file:
            note_file.write(f"act\tsocket\t{uid}\n")
    except OSError:
        # For example, the disk is full.  The caller is still rejected, but the journal will not show it.
        return
