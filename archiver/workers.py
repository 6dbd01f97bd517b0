"""Run work in child processes, with the same protocol everywhere, and a deadline for each answer.

Children wait for filesystems that hang, open documents made to harm a reader, and hash beside Python's own lock.

The child's standard input is a socket.  A request and its answer are frames on it: two lengths of four bytes each
(little-endian), JSON as long as the first, and content as long as the second.  JSON, because a document may take
over the child that reads it: ``pickle`` would run code of that child's here, and ``marshal`` crashes on bytes made
for that.  The text is UTF-8 with lone surrogates passed through, so that file names travel as :func:`name_to_text`
writes them, and stay readable.  Only what a file holds travels as content, straight into the caller's buffer: as
base64 it would take ten times as much of the processor.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

# Not archiver.clock, which no child needs: an answer's deadline is no time of the archive.
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    # Children import this module too, and their start is waited for.
    import socket
    import subprocess

_Answer = TypeVar("_Answer")

_LENGTHS = struct.Struct("<II")
#: Received at a time, so that memory is taken for what has arrived, not for what a child announces.
_CHUNK_BYTES = 1 << 20
#: Far above any answer of 128 files with paths of 4,096 bytes, and far below what the server would feel.
_DEFAULT_ANSWER_BYTES = 64 << 20
#: A child that was killed is gone at once, unless it hangs in the kernel: then nobody can wait for it.
_KILL_WAIT_SECONDS = 0.5
#: A child without work ends as soon as its socket is closed; on a machine that swaps, a little later.
_CLOSE_WAIT_SECONDS = 5.0

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class WorkerProblem(OSError):
    """No usable answer came from a child; the base of all errors for a caller to expect."""

    _errno = errno.EIO

    def __init__(self, explanation: str) -> None:
        # The system's words: a person may read them as the reason why a file is unreadable.
        super().__init__(self._errno, os.strerror(self._errno))
        self.explanation = explanation


class WorkerHung(WorkerProblem, TimeoutError):
    """The whole answer did not arrive in time; the child was killed."""

    _errno = errno.ETIMEDOUT


class WorkerDied(WorkerProblem):
    """The child could not be started, or ended before the answer was complete."""


class WorkerFailed(WorkerProblem):
    """The child reported an exception, or sent something else than an answer and was killed."""

    _errno = errno.EPROTO


def name_to_text(name: bytes) -> str:
    """Write a file name for a frame; bytes outside UTF-8 become surrogates, in every locale."""
    return name.decode("utf-8", "surrogateescape")


def text_to_name(text: str) -> bytes:
    """Read a file name from a frame; raises UnicodeError or TypeError if no name has this form."""
    return str.encode(text, "utf-8", "surrogateescape")


def expect_text(value: object) -> str:
    """Return a text from a frame unchanged; raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


class WithContent(NamedTuple):
    """A child's answer together with bytes of a file."""

    answer: object
    content: bytes | memoryview


@dataclass(frozen=True, slots=True)
class WorkerProgram:
    """The command line of a child, and limits."""

    module: str
    arguments: tuple[bytes, ...] = ()
    #: -P: a file in the current folder must not pass for one of our modules.
    interpreter_options: tuple[str, ...] = ("-P",)
    #: Standard error is /dev/null: complaints of a document's parser help nobody.
    is_silent: bool = False
    longest_answer_bytes: int = _DEFAULT_ANSWER_BYTES


class Worker:
    """Own a child process, called by a single thread at a time.

    The child starts with the first call, and anew with the call after a WorkerProblem.  The owner ends the child
    with :meth:`close`; a child whose parent dies ends by itself.
    """

    def __init__(self, program: WorkerProgram) -> None:
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None

    @property
    def is_ready(self) -> bool:
        """Return True from the start of the child until an end by this process."""
        return self._socket is not None

    @property
    def is_gone(self) -> bool:
        """Return True if no process is left, not even a killed process hanging in the kernel."""
        return self._process is None or self._process.poll() is not None

    def start(self) -> None:
        """Start the child ahead of the first request; raises WorkerDied if no process can be had."""
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

    def call(self, request: object, decode: Callable[[Any], _Answer], patience_seconds: float) -> _Answer:
        """Send ``request`` and return the child's answer as ``decode`` reads it from JSON.

        ``decode`` refuses an answer with TypeError, ValueError, LookupError or AttributeError.
        ``patience_seconds`` is for the whole exchange, until the last byte has arrived.

        Raises WorkerHung, WorkerDied or WorkerFailed.  The child is killed then, unless the child itself reported
        the failure: a late answer would pass for the answer to the next request.
        """
        return self.call_for_content(request, decode, memoryview(b""), patience_seconds)[0]

    def call_for_content(
        self, request: object, decode: Callable[[Any], _Answer], buffer: memoryview, patience_seconds: float
    ) -> tuple[_Answer, int]:
        """Do as :meth:`call` does, and receive content into ``buffer``; return the answer and the content's size.

        Content longer than the buffer is a WorkerFailed.
        """
        request_frame = _encode_frame(request)
        self.start()
        try:
            reply, content_size = self._exchange_frames(request_frame, buffer, monotonic() + patience_seconds)
            if "failed" not in reply:
                return decode(reply["answer"]), content_size
        except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
            self.kill()
            raise WorkerFailed(f"not an answer: {error!r}"[:500]) from error
        except BaseException:
            self.kill()
            raise
        raise WorkerFailed(str(reply["failed"]))

    def _exchange_frames(self, frame: bytes, buffer: memoryview, deadline: float) -> tuple[Any, int]:
        """Send a frame and receive the answer; return the JSON and the size of the content in ``buffer``.

        Raises WorkerProblem, and ValueError or RecursionError if the answer is not JSON.
        """
        try:
            self._socket_before(deadline).sendall(frame)
            json_length, content_length = _LENGTHS.unpack(self._receive_bytes(_LENGTHS.size, deadline))
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

    def _receive_bytes(self, count: int, deadline: float) -> bytearray:
        """Return the next ``count`` bytes, and take no memory before the bytes arrive; raises OSError."""
        data = bytearray()
        while len(data) < count:
            chunk = self._socket_before(deadline).recv(min(count - len(data), _CHUNK_BYTES))
            if not chunk:
                raise WorkerDied(f"it ended after {len(data)} of {count} bytes")
            data += chunk
        return data

    def _receive_into(self, buffer: memoryview, deadline: float) -> None:
        """Fill ``buffer`` with the next bytes; raises OSError."""
        while buffer:
            received_count = self._socket_before(deadline).recv_into(buffer)
            if not received_count:
                raise WorkerDied(f"it ended {len(buffer)} bytes too early")
            buffer = buffer[received_count:]

    def _socket_before(self, deadline: float) -> socket.socket:
        """Return the socket, set to give up at the deadline; raises TimeoutError after the deadline."""
        remaining_seconds = deadline - monotonic()
        if remaining_seconds <= 0:
            raise TimeoutError
        assert self._socket is not None
        self._socket.settimeout(remaining_seconds)
        return self._socket

    def release(self) -> None:
        """Close the socket, so that the child ends by itself; do not wait."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def kill(self) -> None:
        """End the child at once; leave a child behind, after a moment, if the kernel does not end it."""
        self.release()
        if self._process is not None:
            self._process.kill()
            self._ends_within(_KILL_WAIT_SECONDS)

    def close(self) -> None:
        """Let the child end, and wait; after a few seconds kill the child."""
        self.release()
        if not self._ends_within(_CLOSE_WAIT_SECONDS):
            self.kill()

    def _ends_within(self, seconds: float) -> bool:
        """Wait until the process has ended; return False if ``seconds`` were not enough."""
        import subprocess

        with suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(seconds)
        return self.is_gone


def _start_process(program: WorkerProgram, child_end: socket.socket) -> subprocess.Popen[bytes]:
    """Start a child with ``child_end`` as standard input; raises OSError."""
    import subprocess

    return subprocess.Popen(
        [sys.executable, *program.interpreter_options, "-m", program.module, *program.arguments],
        stdin=child_end.fileno(),
        # Answers have their own channel, so that a library that prints breaks no frame.
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if program.is_silent else None,
        # A Ctrl-C on the terminal is for the parent, which knows what to bring to an end.
        start_new_session=True,
    )


class WorkerPool:
    """Own a child process for each calling thread.

    Threads of one Python that hash, copy and look at many files spend their time handing its lock to each other.
    The owner ends all children with :meth:`close`.
    """

    def __init__(self, program: WorkerProgram) -> None:
        self._program = program
        self._thread_local = threading.local()
        self._workers: list[Worker] = []

    def start(self) -> None:
        """Start this thread's child ahead of the first request; raises WorkerDied."""
        self._of_this_thread().start()

    def call(self, request: object, decode: Callable[[Any], _Answer], patience_seconds: float) -> _Answer:
        """Call this thread's child, as :meth:`Worker.call` does; raises WorkerProblem."""
        return self._of_this_thread().call(request, decode, patience_seconds)

    def _of_this_thread(self) -> Worker:
        if not hasattr(self._thread_local, "worker"):
            self._thread_local.worker = Worker(self._program)
            self._workers.append(self._thread_local.worker)
        worker: Worker = self._thread_local.worker
        return worker

    def release(self) -> None:
        """Let the children end, without waiting; only while no thread calls."""
        for worker in self._workers:
            worker.release()

    def close(self) -> None:
        """Let the children end, and wait for each; only while no thread calls."""
        self.release()
        self._thread_local = threading.local()
        while self._workers:
            self._workers.pop().close()


def serve(answer_request: Callable[[Any], object]) -> None:
    """Answer requests until the parent closes the socket: the main loop of a child.

    An exception of ``answer_request`` becomes a WorkerFailed in the parent, and the child goes on.
    """
    with suppress(EOFError, ConnectionError):  # The parent has closed the socket, or died.
        while True:
            json_length, _ = _LENGTHS.unpack(_read_bytes(_LENGTHS.size))
            request = json.loads(_read_bytes(json_length))
            try:
                reply_frame = _encode_reply(answer_request(request))
            except Exception as error:
                # Whatever was raised belongs to this request: the next one may go well.
                reply_frame = _encode_frame({"failed": f"{type(error).__name__}: {error}"[:500]})
            _write_bytes(reply_frame)


def _encode_reply(answer: object) -> bytes:
    if isinstance(answer, WithContent):
        return _encode_frame({"answer": answer.answer}, answer.content)
    return _encode_frame({"answer": answer})


def _encode_frame(value: object, content: bytes | memoryview = b"") -> bytes:
    json_bytes = _to_json(value).encode("utf-8", "surrogatepass")
    return b"".join((_LENGTHS.pack(len(json_bytes), len(content)), json_bytes, content))


def _read_bytes(count: int) -> bytes:
    """Return the next ``count`` bytes of a request; raises EOFError if the parent has closed the socket."""
    data = bytearray()
    while len(data) < count:
        chunk = os.read(0, count - len(data))
        if not chunk:
            raise EOFError
        data += chunk
    return bytes(data)


def _write_bytes(data: bytes) -> None:
    unwritten = memoryview(data)
    while unwritten:
        unwritten = unwritten[os.write(0, unwritten) :]
