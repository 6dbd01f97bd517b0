"""The stream into one ``git fast-import``: many objects, one process, one sync."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import IO, Any

from archiver import clock
from archiver.store.keys import PRINCIPAL

IDENTITY = f"archiver <{PRINCIPAL}>"
_COPY_BYTES = 1 << 16


class GitEnded(Exception):
    """git closed its end before it answered."""


class FastImport:
    """The stream into one ``git fast-import``.

    Staging refs are reset at the end, so the import itself moves no ref.
    """

    def __init__(self, process: Any) -> None:
        self._process = process
        self._in: IO[bytes] = process.stdin
        self._marks = 0
        #: When git took or gave something last, in monotonic seconds.
        self.progress = clock.monotonic()
        self._staging: list[str] = []

    def commit(
        self,
        message: str,
        seconds: int,
        parent: str | None,
        files: Iterable[tuple[bytes, bytes | None]],
        attachments: Mapping[str, tuple[IO[bytes], int]] | None = None,
        fresh: bool = False,
    ) -> str:
        """Write one commit and return its id.

        ``files`` are tree paths with their bytes, None to delete; ``fresh``
        starts from an empty tree even with a parent; ``attachments`` are
        streamed.  ``seconds`` is the commit's date, UTC.
        """
        self._marks += 1
        ref = f"refs/staging/{self._marks}"
        self._staging.append(ref)
        text = message.encode("utf-8")
        self._in.write(
            b"commit %s\nmark :%d\nauthor %s %d +0000\ncommitter %s %d +0000\ndata %d\n%s\n"
            % (
                ref.encode(),
                self._marks,
                IDENTITY.encode(),
                seconds,
                IDENTITY.encode(),
                seconds,
                len(text),
                text,
            )
        )
        if parent is not None:
            self._in.write(b"from %s\n" % parent.encode())
        if fresh:
            self._in.write(b"deleteall\n")
        for path, data in files:
            self._file(path, data)
        for name, (stream, size) in (attachments or {}).items():
            self._in.write(b"M 100644 inline %s\ndata %d\n" % (_quoted(name.encode()), size))
            while chunk := stream.read(_COPY_BYTES):
                self._in.write(chunk)
                self.progress = clock.monotonic()
            self._in.write(b"\n")
        return self._mark()

    def _file(self, path: bytes, data: bytes | None) -> None:
        if data is None:
            self._in.write(b"D %s\n" % _quoted(path))
        else:
            self._in.write(b"M 100644 inline %s\ndata %d\n%s\n" % (_quoted(path), len(data), data))
        self.progress = clock.monotonic()

    def _mark(self) -> str:
        self._in.write(b"get-mark :%d\n" % self._marks)
        self._in.flush()
        answer: bytes = self._process.stdout.readline()
        if len(answer.strip()) != 40:
            raise GitEnded
        self.progress = clock.monotonic()
        return answer.decode("ascii").strip()

    def finish(self) -> None:
        """Drop the staging refs and let git write its objects durably."""
        for ref in self._staging:
            self._in.write(b"reset %s\n\n" % ref.encode())
        self._in.write(b"done\n")
        self._in.close()
        # Not wait(): GitPython turns a failure into an exception with the whole command.
        if self._process.proc.wait() != 0:
            raise GitEnded

    def end(self) -> None:
        """Kill the process; whoever waits for its answer goes on."""
        self._process.proc.kill()

    def close(self) -> None:
        """End the process, whatever happened before."""
        end_process(self._process.proc)


class Overseer:
    """Ends an import that makes no progress any more, so that nobody waits for ever."""

    def __init__(self, stream: FastImport, patience_seconds: float) -> None:
        self.ended_it = False
        self._stream = stream
        self._patience = patience_seconds
        self._dismissed = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def dismiss(self) -> None:
        """The import is over."""
        self._dismissed.set()

    def _look(self) -> None:
        left = self._patience
        while not self._dismissed.wait(left):
            left = self._stream.progress + self._patience - clock.monotonic()
            if left <= 0:
                self.ended_it = True
                self._stream.end()
                return


def end_process(process: subprocess.Popen[bytes]) -> None:
    """End a git process and close its pipes, whatever state it is in."""
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def _quoted(path: bytes) -> bytes:
    """A path in fast-import's C-style quoting."""
    body = b"".join(
        b"\\%03o" % byte if byte < 0x20 or byte in b'"\\' or byte == 0x7F else bytes([byte]) for byte in path
    )
    return b'"' + body + b'"'
