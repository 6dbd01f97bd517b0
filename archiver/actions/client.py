"""Send requests to the daemon of an archive that belongs to another user.

The kernel tells the daemon which user is calling, so a request carries no credentials.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from archiver.actions import protocol
from archiver.actions.registry import find_action
from archiver.actions.request_fields import Request, encode_request
from archiver.errors import StorageError, UsageError


def owns_archive(archive: Path) -> bool:
    """Return True if this process runs as the user who owns the archive's folder.

    Also returns True if the owner cannot be determined, for example because the folder does not exist.
    """
    try:
        return os.stat(archive).st_uid == os.geteuid()
    except OSError:
        # The caller opens the archive next, and that error describes the problem better.
        return True


@contextmanager
def open_attachment(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Yield the open file to send along, or None without a path; close it at the end of the block.

    Raises UsageError if the path is not a regular file, cannot be read, or exceeds ``MAX_ATTACHMENT_BYTES``.
    """
    if path is None:
        yield None
        return
    with ExitStack() as closing:
        try:
            # Without O_NONBLOCK, opening a pipe that has no writer would block the command.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            stream = closing.enter_context(open(descriptor, "rb"))
            file_stat = os.fstat(descriptor)
            is_sendable = stat.S_ISREG(file_stat.st_mode) and file_stat.st_size <= protocol.MAX_ATTACHMENT_BYTES
        except OSError:
            # Reported below, with the same sentence as a file that is too large.
            is_sendable = False
        if not is_sendable:
            raise UsageError(
                "Cannot attach {path}: not a readable regular file of at most 64 MiB. Nothing was recorded. "
                "Check the path and try again.",
                path=path,
            )
        yield stream


def send_to_daemon(
    archive: Path, request: Request, lock_timeout: float, attachment: Path | None
) -> dict[str, Any]:
    """Send a request to the daemon of ``archive``, wait for the reply, and return the result of the action.

    ``lock_timeout`` is in seconds. ``attachment`` is the path of the file to send along, None without one. The
    result is an empty dict if the daemon could not send it, because it was too long for a message.

    Raises any ArchiverError that the action raised in the daemon, UsageError if the attachment cannot be sent, and
    StorageError if no daemon listens or its reply is missing or unreadable. After a missing reply, the action may
    have been carried out nevertheless.
    """
    with open_attachment(attachment) as stream, _connect_to_daemon(archive) as connection:
        attachment_bytes = stream.read() if stream is not None else None
        attachment_size = None if attachment_bytes is None else len(attachment_bytes)
        message = protocol.ActionMessage(
            find_action(request).name, encode_request(request), lock_timeout, attachment_size
        )
        try:
            # The daemon replies to a caller without permission, and hangs up, before it reads the request.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(message.encode() + (attachment_bytes or b""))
            reply = protocol.read_message(lambda byte_count: protocol.read_exactly(connection.recv, byte_count))
            result = None if "error" in reply else protocol.decode_value(reply.get("result"))
            action_error = protocol.decode_error(reply) if "error" in reply else None
        except (OSError, protocol.BadMessage) as error:
            raise StorageError(
                "The daemon for {path} did not reply ({reason}). No archived data was lost. The request may have "
                "succeeded. Before you retry, run: archiver log",
                path=archive,
                reason=error,
            ) from None
        if action_error is not None:
            raise action_error
        return result if isinstance(result, dict) else {}


@contextmanager
def _connect_to_daemon(archive: Path) -> Iterator[socket.socket]:
    """Yield a connection to the daemon of ``archive``; close it at the end of the block.

    Raises StorageError if no daemon listens.
    """
    try:
        with protocol.short_socket_path(archive) as socket_path:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(socket_path)
    except OSError as error:
        raise StorageError(
            "The archive {path} belongs to another user, and its daemon cannot be reached ({reason}). Nothing "
            "was changed. Start the service, or run this as the archive's owner.",
            path=archive,
            reason=error.strerror,
        ) from None
    with connection:
        yield connection
