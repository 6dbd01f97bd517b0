"""Acting on an archive that belongs to another user: through its daemon, where the kernel names the caller."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from archiver.actions import protocol
from archiver.errors import StorageProblem, UsageProblem


def is_owner(archive: Path) -> bool:
    """Whether this process may write the archive itself; also where there is no archive to ask."""
    try:
        return os.stat(archive).st_uid == os.geteuid()
    except OSError:
        return True


@contextmanager
def opened(path: Path | None) -> Iterator[IO[bytes] | None]:
    """The file to attach, if there is one; raises UsageProblem where it cannot be."""
    if path is None:
        yield None
        return
    with ExitStack() as closing:
        try:
            # A pipe that nobody writes to would keep the command waiting.
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
            stream = closing.enter_context(open(descriptor, "rb"))
            status = os.fstat(descriptor)
            size = status.st_size if stat.S_ISREG(status.st_mode) else -1
        except OSError:
            size = -1
        if not 0 <= size <= protocol.ATTACHMENT_BYTES:
            raise UsageProblem(
                "The receipt {path} is not a readable file of at most 64 MiB. Nothing was recorded. "
                "Check the name and submit again.",
                path=path,
            )
        yield stream


def request(
    archive: Path, action: str, arguments: Mapping[str, Any], wait_seconds: float, attachment: Path | None
) -> dict[str, Any]:
    """Ask the daemon of ``archive``; raises what it answers, StorageProblem where it does not."""
    with opened(attachment) as stream, _connected(archive) as daemon:
        data = stream.read() if stream is not None else None
        message = {
            "action": action,
            "arguments": arguments,
            "wait_seconds": wait_seconds,
            "attachment": None if data is None else len(data),
        }
        try:
            # Whoever is turned away is answered before a byte of theirs is read.
            with suppress(BrokenPipeError, ConnectionResetError):
                daemon.sendall(protocol.pack(message) + (data or b""))
            answer = protocol.receive(lambda count: protocol.exactly(daemon.recv, count))
            result = None if "error" in answer else protocol.revive(answer.get("result"))
            problem = protocol.to_error(answer) if "error" in answer else None
        except (OSError, protocol.BadMessage) as error:
            raise StorageProblem(
                "The daemon of {path} gave no answer ({reason}). Nothing archived was lost. Look with archiver "
                "log whether it was done, and try again.",
                path=archive,
                reason=error,
            ) from None
        if problem is not None:
            raise problem
        return result if isinstance(result, dict) else {}


@contextmanager
def _connected(archive: Path) -> Iterator[socket.socket]:
    try:
        with protocol.short_path(archive) as path:
            daemon = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            daemon.connect(path)
    except OSError as error:
        raise StorageProblem(
            "The archive {path} belongs to another user, and no daemon could be asked to do this ({reason}). "
            "Nothing was changed and nothing was lost. Start the service, or run this as the archive's owner.",
            path=archive,
            reason=error.strerror,
        ) from None
    with daemon:
        yield daemon
