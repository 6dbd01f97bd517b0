"""Asks the daemon of another user for an action; the kernel names the caller to the daemon."""

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


def is_owner(archive: Path) -> bool:
    """Return True if this process may write the archive itself, or no archive is found."""
    try:
        return os.stat(archive).st_uid == os.geteuid()
    except OSError:
        # Opening the archive will say better what is wrong with it.
        return True


@contextmanager
def open_attachment(path: Path | None) -> Iterator[IO[bytes] | None]:
    """Open the file to send along, if any, until the end of the block.

    Raises UsageError if the path is no regular file, cannot be read, or is too large.
    """
    if path is None:
        yield None
        return
    with ExitStack() as closing:
        try:
            # A pipe that nobody writes to would keep the command waiting.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            stream = closing.enter_context(open(descriptor, "rb"))
            file_stat = os.fstat(descriptor)
            size = file_stat.st_size if stat.S_ISREG(file_stat.st_mode) else -1
        except OSError:
            # Refused below, with the same sentence as a file that is too large.
            size = -1
        if not 0 <= size <= protocol.MAX_ATTACHMENT_BYTES:
            raise UsageError(
                "The receipt {path} is not a readable file of at most 64 MiB. Nothing was recorded. "
                "Check the name and submit again.",
                path=path,
            )
        yield stream


def request_action(
    archive: Path, request: Request, lock_timeout: float, attachment: Path | None
) -> dict[str, Any]:
    """Have the daemon of ``archive`` carry out a request, and return the answer.

    Raises whatever the action raised there, UsageError if the attachment cannot be sent, and StorageError if
    no daemon listens or it gives no answer: the action may be done then.
    """
    with open_attachment(attachment) as stream, _connect(archive) as daemon:
        data = stream.read() if stream is not None else None
        size = None if data is None else len(data)
        message = protocol.ActionMessage(find_action(request).name, encode_request(request), lock_timeout, size)
        try:
            # A caller who is turned away is answered before a byte is read.
            with suppress(BrokenPipeError, ConnectionResetError):
                daemon.sendall(message.encode() + (data or b""))
            answer = protocol.read_message(lambda count: protocol.read_exactly(daemon.recv, count))
            result = None if "error" in answer else protocol.decode_value(answer.get("result"))
            problem = protocol.decode_error(answer) if "error" in answer else None
        except (OSError, protocol.BadMessage) as error:
            raise StorageError(
                "The daemon of {path} gave no answer ({reason}). Nothing archived was lost. Look with archiver "
                "log whether it was done, and try again.",
                path=archive,
                reason=error,
            ) from None
        if problem is not None:
            raise problem
        return result if isinstance(result, dict) else {}


@contextmanager
def _connect(archive: Path) -> Iterator[socket.socket]:
    """Connect to the daemon's socket, and close the connection at the end of the block.

    Raises StorageError if no daemon listens.
    """
    try:
        with protocol.short_socket_path(archive) as path:
            daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            daemon.connect(path)
    except OSError as error:
        raise StorageError(
            "The archive {path} belongs to another user, and no daemon could be asked to do this ({reason}). "
            "Nothing was changed and nothing was lost. Start the service, or run this as the archive's owner.",
            path=archive,
            reason=error.strerror,
        ) from None
    with daemon:
        yield daemon
