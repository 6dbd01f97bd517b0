"""Run the program in a fork of a process that has imported it already: a quick stand-in for the installed command."""

from __future__ import annotations

import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import IO

from tests.support.other_user import CHECKOUT

#: More than any test's arguments and environment; a request is one datagram.
REQUEST_BYTES = 1 << 17
#: Variables that only the program itself reads, and only when it runs: their names, and the beginnings of names.
#: Others, such as LC_ALL, PATH or LD_PRELOAD, matter to the interpreter's start or to what is imported.
_PASSED_VARIABLES = frozenset({"HOME", "TMPDIR"})
_PASSED_PREFIXES = ("ARCHIVER_", "PYTEST_")
#: The environment of every test that sets nothing itself, whichever test starts the server: see tests/conftest.py.
_COMMON_ENVIRONMENT = {
    name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "ARCHIVER_"))
} | {"LC_ALL": "C.UTF-8"}


@dataclass(frozen=True)
class CommandRequest:
    """What a process is started with."""

    arguments: list[str]
    directory: str
    environment: dict[str, str]
    umask: int
    #: How much later the program's clocks are, as ``tests.support.later`` takes it; empty for the true time.
    shift: str

    def encode(self) -> bytes:
        return json.dumps(asdict(self)).encode()

    @classmethod
    def decode(cls, message: bytes) -> CommandRequest:
        return cls(**json.loads(message))


class CommandServer:
    """The forking process; one for each process of pytest."""

    def __init__(self) -> None:
        self._socket, far_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with far_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.command_server", str(far_end.fileno())],
                cwd=CHECKOUT,
                pass_fds=[far_end.fileno()],
                env=_COMMON_ENVIRONMENT,
                stdin=subprocess.DEVNULL,
            )
        atexit.register(self.close)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def accepts(self, environment: Mapping[str, str]) -> bool:
        """Return True if a process with this environment would start as the server did."""

        def relevant(variables: Mapping[str, str]) -> dict[str, str]:
            return {
                name: value
                for name, value in variables.items()
                # pytest and its workers set some of their own, before and after this module is imported.
                if name not in _PASSED_VARIABLES and not name.startswith(_PASSED_PREFIXES)
            }

        return relevant(environment) == relevant(_COMMON_ENVIRONMENT)

    def run(
        self,
        arguments: Sequence[object],
        *,
        cwd: str | os.PathLike[str],
        env: Mapping[str, str],
        stdin: str | None,
        timeout: float,
        shift: str = "",
    ) -> subprocess.CompletedProcess[str]:
        """Do what ``subprocess.run(arguments, ..., capture_output=True)`` does, with surrogates for other bytes."""
        words = [os.fsdecode(word) if isinstance(word, bytes | os.PathLike) else str(word) for word in arguments]
        umask = os.umask(0)
        os.umask(umask)
        request = CommandRequest(words, os.fspath(cwd), dict(env), umask, shift)
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, _stream_of(stdin) as stdin_file:
            near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with near:
                with far:
                    descriptors = [stdin_file.fileno(), out.fileno(), err.fileno(), far.fileno()]
                    socket.send_fds(self._socket, [request.encode()], descriptors)
                status = _wait(near, words, timeout)
            return subprocess.CompletedProcess(words, os.waitstatus_to_exitcode(status), _text(out), _text(err))


def _wait(connection: socket.socket, words: list[str], timeout: float) -> int:
    """Return the wait status; raises subprocess.TimeoutExpired, after which the process is ended."""
    connection.settimeout(timeout)
    process_id = int(connection.recv(64))
    try:
        return int(connection.recv(64))
    except TimeoutError:
        os.kill(process_id, signal.SIGKILL)
        connection.settimeout(None)
        connection.recv(64)
        raise subprocess.TimeoutExpired(words, timeout) from None


def _stream_of(text: str | None) -> IO[bytes]:
    if text is None:
        return open(os.devnull, "rb")
    stream = tempfile.TemporaryFile()  # noqa: SIM115
    stream.write(text.encode("utf-8", "surrogateescape"))
    stream.seek(0)
    return stream


def _text(stream: IO[bytes]) -> str:
    stream.seek(0)
    return stream.read().decode("utf-8", "surrogateescape").replace("\r\n", "\n")


@functools.cache
def command_server() -> CommandServer:
    """Return this process's server, started with the first call."""
    return CommandServer()
