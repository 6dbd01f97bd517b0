"""Run work in child processes, with the same protocol everywhere and a deadline for each answer.

Children access filesystems that may hang, open malicious documents, and hash without this interpreter's lock.

The standard input of a child is a socket. Each request and each answer on it is a *frame*: the lengths of the JSON
and of the content (four bytes each, little-endian), then the JSON, then the content. The frames do not use
``pickle``: a child that a malicious document took over could run code in this process. The JSON is UTF-8 with lone
surrogates passed through, so file names stay readable. Files travel as content: base64 takes ten times as long.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

# Not from archiver.clock: a deadline is not a time of the archive, and children start sooner without that module.
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    # Children import this module too, and should start quickly.
    import socket
    import subprocess

_Answer = TypeVar("_Answer")
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_FRAME_LENGTHS = struct.Struct("<II")
#: Bytes to receive at a time: memory is allocated as they arrive, not for the length that a child announces.
_CHUNK_BYTES = 1 << 20
#: Far more than an answer about 128 files with paths of 4,096 bytes, and far less than the memory of the server.
_DEFAULT_ANSWER_BYTES = 64 << 20
#: A killed child ends at once, unless it hangs in the kernel. Then no wait is long enough.
_KILL_WAIT_SECONDS = 0.5
#: A child without work ends as soon as its socket is closed, or a little later on a machine that swaps.
_CLOSE_WAIT_SECONDS = 5.0
#: The most characters of an exception's text that are passed on: the text may quote a whole answer.
_MAX_ERROR_LENGTH = 500


class WorkerProblem(OSError):
    """A child gave no usable answer. This is the base of all errors that a caller of a child has to expect."""

    _errno = errno.EIO

    def __init__(self, explanation: str) -> None:
        # The text is that of a system error, because people see it as the reason why a file could not be read.
        super().__init__(self._errno, os.strerror(self._errno))
        self.explanation = explanation


class WorkerHung(WorkerProblem, TimeoutError):
    """The answer did not arrive completely in time, and the child was killed."""

    _errno = errno.ETIMEDOUT


class WorkerDied(WorkerProblem):
    """The child could not be started, or ended before the answer was complete."""


class WorkerFailed(WorkerProblem):
    """The child reported an exception, or sent something other than an answer and was killed."""

    _errno = errno.EPROTO


def name_to_text(name: bytes) -> str:
    """Return a file name as text for a frame. Bytes outside UTF-8 become surrogates, in every locale."""
    return name.decode("utf-8", "surrogateescape")


def text_to_name(text: str) -> bytes:
    """Return the file name encoded in ``text``. Raises UnicodeError or TypeError for any other value."""
    return str.encode(text, "utf-8", "surrogateescape")


def expect_text(value: object) -> str:
    """Return ``value`` if it is a text. Raises TypeError for any other JSON value."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


class WithContent(NamedTuple):
    """A child's answer, a JSON value, with bytes of a file for :meth:`Worker.call_for_content`."""

    answer: object
    content: bytes | memoryview = b""


class WorkerProgram(NamedTuple):
    """The command line of a child, and the limit for answers."""

    #: The module to run as ``python -m`` does. It has to call :func:`serve`.
    module: str
    arguments: tuple[bytes, ...] = ()
    #: With -P, Python does not import a file in the current folder in place of a module of the program.
    interpreter_options: tuple[str, ...] = ("-P",)
    #: True: standard error is /dev/null, since nobody needs the warnings of a document's parser.
    is_silent: bool = False
    #: The limit for the JSON of an answer. Content is limited by the caller's buffer.
    longest_answer_bytes: int = _DEFAULT_ANSWER_BYTES


class Worker:
    """Owns a child process. Only a single thread may call at a time.

    The first call starts the child, and so does the next call after the child ended. The owner ends the child with
    :meth:`close`. A child whose parent dies ends by itself.
    """

    def __init__(self, program: WorkerProgram) -> None:
        """Prepare to run ``program``. No process is started yet."""
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def is_ready(self) -> bool:
        """True if this process has started a child and not ended it. The child may have died by itself."""
        return self._socket is not None

    @property
    def is_gone(self) -> bool:
        """True if no process exists, not even a killed process hanging in the kernel."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start the child before the first request, unless already started. Raises WorkerDied on failure."""
        if self._socket is not None:
            return
        import socket

        try:
            parent_end, child_end = socket.socketpair()
        except OSError as error:
            raise WorkerDied(str(error)) from error
        with child_end:
            try:
                self._process = _start_process(self._program, child_end)
            except OSError as error:
                parent_end.close()
                raise WorkerDied(str(error)) from error
        self._socket = parent_end

    def call(self, request: object, decode: Callable[[Any], _Answer], timeout_seconds: float) -> _Answer:
        """Send ``request``, any JSON value, and return the child's answer after ``decode`` has converted it.

        ``decode`` gets a JSON value. It rejects an answer with TypeError, ValueError, LookupError or
        AttributeError. ``timeout_seconds`` is the time for the whole exchange, until the last byte has arrived.

        Raises WorkerHung, WorkerDied, or WorkerFailed if the answer is rejected or the child reports an exception.
        Unless it sent such a report, the child is killed: the next call would take a late answer for its own.
        """
        return self.call_for_content(request, decode, memoryview(b""), timeout_seconds)[0]

    def call_for_content(
        self, request: object, decode: Callable[[Any], _Answer], buffer: memoryview, timeout_seconds: float
    ) -> tuple[_Answer, int]:
        """Send a request like :meth:`call`; return the answer, and the number of bytes received into ``buffer``.

        Raises the errors of :meth:`call`, and WorkerFailed if the content is longer than ``buffer``.
        """
        request_frame = _encode_frame(request)
        self.start()
        try:
            reply, content_size = self._exchange_frames(request_frame, buffer, monotonic() + timeout_seconds)
            if "failed" not in reply:
                return decode(reply["answer"]), content_size
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            self.kill()
            raise WorkerFailed(f"not an answer: {error!r}"[:_MAX_ERROR_LENGTH]) from error
        except BaseException:
            self.kill()
            raise
        raise WorkerFailed(str(reply["failed"]))

    def _exchange_frames(self, frame: bytes, buffer: memoryview, deadline: float) -> tuple[Any, int]:
        """Send a frame and receive the answer. Return its JSON, and the size of the content in ``buffer``.

        Raises WorkerProblem, and ValueError or RecursionError if the answer is not JSON.
        """
        try:
            self._timed_socket(deadline).sendall(frame)
            json_length, content_length = _FRAME_LENGTHS.unpack(self._receive_bytes(_FRAME_LENGTHS.size, deadline))
            if json_length > self._program.longest_answer_bytes or content_length > len(buffer):
                raise WorkerFailed(f"an answer of {json_length} and {content_length} bytes")
            reply = json.loads(self._receive_bytes(json_length, deadline))
            self._receive_into(buffer[:content_length], deadline)
            return reply, content_length
        except WorkerProblem:
            raise
        except TimeoutError:
            raise WorkerHung("no whole answer in time") from None
        except OSError as error:
            raise WorkerDied(str(error)) from error

    def _receive_bytes(self, byte_count: int, deadline: float) -> bytearray:
        """Receive ``byte_count`` bytes, allocating memory as they arrive. Raises OSError if any are missing."""
        received_bytes = bytearray()
        while len(received_bytes) < byte_count:
            chunk = self._timed_socket(deadline).recv(min(byte_count - len(received_bytes), _CHUNK_BYTES))
            if not chunk:
                raise WorkerDied(f"it ended after {len(received_bytes)} of {byte_count} bytes")
            received_bytes += chunk
        return received_bytes

    def _receive_into(self, buffer: memoryview, deadline: float) -> None:
        """Fill ``buffer`` with the next bytes. Raises OSError if they do not arrive."""
        while buffer:
            received_count = self._timed_socket(deadline).recv_into(buffer)
            if not received_count:
                raise WorkerDied(f"it ended {len(buffer)} bytes too early")
            buffer = buffer[received_count:]

    def _timed_socket(self, deadline: float) -> socket.socket:
        """Return the socket with a timeout at ``deadline``. Raises TimeoutError if the deadline has passed."""
        remaining_seconds = deadline - monotonic()
        if remaining_seconds <= 0:
            raise TimeoutError
        assert self._socket is not None  # start() has opened it
        self._socket.settimeout(remaining_seconds)
        return self._socket

    def release(self) -> None:
        """Close the socket to let the child end by itself, without waiting."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def kill(self) -> None:
        """Kill the child. A child that hangs in the kernel and does not end within a moment is left behind."""
        self.release()
        if self._process is not None:
            self._process.kill()
            self._wait_for_end(_KILL_WAIT_SECONDS)

    def close(self) -> None:
        """Let the child end by itself and wait. After a few seconds, kill the child."""
        self.release()
        if not self._wait_for_end(_CLOSE_WAIT_SECONDS):
            self.kill()

    def _wait_for_end(self, timeout_seconds: float) -> bool:
        """Wait up to ``timeout_seconds`` for the process to end. Return True if it did, or if there is none."""
        import subprocess

        with suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(timeout_seconds)
        return self.is_gone


def _start_process(program: WorkerProgram, child_end: socket.socket) -> subprocess.Popen[bytes]:
    """Start a child with ``child_end`` as standard input. Raises OSError on failure."""
    import subprocess

    return subprocess.Popen(
        [sys.executable, *program.interpreter_options, "-m", program.module, *program.arguments],
        stdin=child_end.fileno(),
        # Answers do not go to standard output, so a library that prints cannot damage a frame.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if program.is_silent else None,
        # A Ctrl-C on the terminal is for the parent alone, which finishes or undoes its work.
        start_new_session=True,
    )


class WorkerPool:
    """Owns a child process for each calling thread.

    Without children, threads that hash and copy many files would spend their time waiting for the interpreter's
    lock. The owner ends all children with :meth:`close`.
    """

    def __init__(self, program: WorkerProgram) -> None:
        """Prepare to run ``program`` in each child. No process is started yet."""
        self._program = program
        self._thread_local = threading.local()
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Start this thread's child before the first request. Raises WorkerDied on failure."""
        self._thread_worker().start()

    def call(self, request: object, decode: Callable[[Any], _Answer], timeout_seconds: float) -> _Answer:
        """Send ``request`` to this thread's child; see :meth:`Worker.call`, which raises the errors."""
        return self._thread_worker().call(request, decode, timeout_seconds)

    def _thread_worker(self) -> Worker:
        """Return the worker of the calling thread, created if missing."""
        if not hasattr(self._thread_local, "worker"):
            self._thread_local.worker = Worker(self._program)
            self._workers.append(self._thread_local.worker)
        worker: Worker = self._thread_local.worker
        return worker

    def release(self) -> None:
        """Close the sockets to let the children end, without waiting. No thread may call at the same time."""
        for worker in self._workers:
            worker.release()

    def close(self) -> None:
        """Let the children end, and wait for each of them. No thread may call at the same time."""
        self.release()
        self._thread_local = threading.local()
        while self._workers:
            self._workers.pop().close()


def serve(answer_request: Callable[[Any], object]) -> None:
    """Answer requests until the parent closes the socket, as the main loop of a child.

    ``answer_request`` gets a JSON value, and returns a JSON value or a :class:`WithContent`. If it raises an
    exception, WorkerFailed is raised in the parent, and the child continues with the next request.
    """
    with suppress(EOFError, ConnectionError):  # The parent has closed the socket, or died.
        while True:
            json_length, _ = _FRAME_LENGTHS.unpack(_read_bytes(_FRAME_LENGTHS.size))
            request = json.loads(_read_bytes(json_length))
            try:
                answer = answer_request(request)
                reply = answer if isinstance(answer, WithContent) else WithContent(answer)
                reply_frame = _encode_frame({"answer": reply.answer}, reply.content)
            except Exception as error:
                # Whatever the exception is, it concerns this request alone: the next request may succeed.
                reply_frame = _encode_frame({"failed": f"{type(error).__name__}: {error}"[:_MAX_ERROR_LENGTH]})
            _write_bytes(reply_frame)
    gc.freeze()  # The parent waits for the end of this process, which needs no search for garbage.


def _encode_frame(value: object, content: bytes | memoryview = b"") -> bytes:
    """Return a frame with ``value`` as JSON. Raises TypeError or ValueError if JSON cannot express it."""
    json_bytes = _to_json(value).encode("utf-8", "surrogatepass")
    return b"".join((_FRAME_LENGTHS.pack(len(json_bytes), len(content)), json_bytes, content))


def _read_bytes(byte_count: int) -> bytes:
    """Return the next ``byte_count`` bytes of a request. Raises EOFError if the parent has closed the socket."""
    received_bytes = bytearray()
    while len(received_bytes) < byte_count:
        chunk = os.read(0, byte_count - len(received_bytes))
        if not chunk:
            raise EOFError
        received_bytes += chunk
    return bytes(received_bytes)


def _write_bytes(frame: bytes) -> None:
    """Send all of ``frame`` to the parent. Raises OSError if the parent has closed the socket."""
    unwritten_bytes = memoryview(frame)
    while unwritten_bytes:
        unwritten_bytes = unwritten_bytes[os.write(0, unwritten_bytes) :]
