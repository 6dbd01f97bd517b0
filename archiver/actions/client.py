"""Send requests to the daemon of an archive that belongs to another user.

The kernel identifies the calling user to the daemon, so a request carries no credentials.
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


def owns_archive(archive_folder: Path) -> bool:
    """Return True if this process runs as the owner of the archive's folder, or if the owner is unknown.

    The owner is unknown if, for example, the folder does not exist.
    """
    try:
        return os.stat(archive_folder).st_uid == os.geteuid()
    except OSError:
        # The caller opens the archive next, and that reports a better message.
        return True


@contextmanager
def open_attachment(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open the file at ``path``, and yield it for reading; yield None if ``path`` is None.

    The file is closed at the end of the block. Raises UsageError if it is not a regular file, cannot be opened, or
    is larger than ``MAX_ATTACHMENT_BYTES``.
    """
    if path is None:
        yield None
        return
    with ExitStack() as open_files:
        try:
            # Without O_NONBLOCK, opening a pipe that has no writer would block the command.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            attachment = open_files.enter_context(open(descriptor, "rb"))
            file_stat = os.fstat(descriptor)
            is_sendable = stat.S_ISREG(file_stat.st_mode) and file_stat.st_size <= protocol.MAX_ATTACHMENT_BYTES
        except OSError:
            # Use the same message as for a file that is too large.
            is_sendable = False
        if not is_sendable:
            raise UsageError(
                "Cannot attach {path}: not a readable regular file of at most 64 MiB. Nothing was recorded. "
                "Check the path and try again.",
                path=path,
            )
        yield attachment


def send_to_daemon(
    archive_folder: Path, request: Request, lock_timeout: float, attachment_path: Path | None
) -> dict[str, Any]:
    """Send a request to the daemon of ``archive_folder``; wait for the result of the action, and return it.

    ``lock_timeout`` is in seconds. ``attachment_path`` is the file to send along, or None. Returns an empty dict
    if the result was too long for a message.

    Raises any ArchiverError that the action raised in the daemon, UsageError if the attachment cannot be sent, and
    StorageError if no daemon listens or the reply is missing or unreadable. Without a readable reply, the caller
    cannot know if the action was carried out.
    """
    with open_attachment(attachment_path) as attachment, _connect_to_daemon(archive_folder) as connection:
        attachment_bytes = attachment.read() if attachment is not None else None
        attachment_size = None if attachment_bytes is None else len(attachment_bytes)
        message = protocol.ActionMessage(
            find_action(request).name, encode_request(request), lock_timeout, attachment_size
        )
        try:
            # To a caller without permission, the daemon replies before it reads the request, and then closes the
            # connection. The reply can be read although sending has failed.
            with suppress(BrokenPipeError, ConnectionResetError):
                connection.sendall(message.encode() + (attachment_bytes or b""))
            reply = protocol.read_message(lambda byte_count: protocol.read_exactly(connection.recv, byte_count))
            action_error = protocol.decode_error(reply) if "error" in reply else None
            action_result = None if "error" in reply else protocol.decode_value(reply.get("result"))
        except (OSError, protocol.BadMessage) as error:
            raise StorageError(
                "The service for {path} did not reply ({reason}). No archived data was lost. The request may "
                "have succeeded. Before you retry, run: archiver log",
                path=archive_folder,
                reason=error,
            ) from None
        if action_error is not None:
            raise action_error
        return action_result if isinstance(action_result, dict) else {}


@contextmanager
def _connect_to_daemon(archive_folder: Path) -> Iterator[socket.socket]:
    """Connect to the daemon of ``archive_folder``, and yield the connection; it is closed at the end of the block.

    Raises StorageError if no daemon listens.
    """
    try:
        with protocol.short_socket_path(archive_folder) as socket_path:
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.connect(socket_path)
    except OSError as error:
        raise StorageError(
            "The archive {path} belongs to another user, and its service cannot be reached ({reason}). Nothing "
            "was changed. Start the service, or run this as the archive owner.",
            path=archive_folder,
            reason=error.strerror,
        ) from None
    with connection:
        yield connection
