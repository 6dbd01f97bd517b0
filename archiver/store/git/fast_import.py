"""Write many objects through a single ``git fast-import`` process, made durable by a single sync."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from typing import IO

from archiver import clock
from archiver.store.git.git_process import GitEnded, GitProcess
from archiver.store.keys import PRINCIPAL

IDENTITY = f"archiver <{PRINCIPAL}>"
_COPY_BYTES = 1 << 16


class FastImport:
    """The stream of objects into a ``git fast-import`` process, ended by the owner with :meth:`close`.

    Each commit needs a ref during the import.  These are staging refs, reset at the end, so that the import leaves
    no ref behind.
    """

    def __init__(self, process: GitProcess) -> None:
        """Write to the running ``git fast-import``."""
        self._process = process
        self._in: IO[bytes] = process.stdin
        self._marks = 0
        #: The time of the last byte that git read or wrote, in monotonic seconds.
        self.progress = clock.monotonic_seconds()
        self._staging: list[str] = []
        #: Object id -> mark, of the commits of this stream: git does not find them by their ids yet.
        self._marks_by_oid: dict[str, int] = {}

    def commit(
        self,
        message: str,
        seconds: int,
        parent: str | None,
        files: Iterable[tuple[bytes, bytes | None]],
        attachments: Mapping[str, tuple[IO[bytes], int]] | None = None,
        fresh: bool = False,
    ) -> str:
        """Write a commit; return the object id.

        ``seconds`` is the commit's date, in seconds since 1970.  ``files`` are paths in the tree with their bytes;
        None deletes a path.  ``attachments`` are open files with their sizes by their names in the tree; they are
        streamed, not held in memory.  The tree starts as that of ``parent``, or empty if ``parent`` is None or
        ``fresh`` is set.

        Raises BrokenPipeError or GitEnded if git ends.
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
            mark = self._marks_by_oid.get(parent)
            self._in.write(b"from %s\n" % (parent.encode() if mark is None else b":%d" % mark))
        if fresh:
            self._in.write(b"deleteall\n")
        for path, data in files:
            self._file(path, data)
        for name, (stream, size) in (attachments or {}).items():
            self._in.write(b"M 100644 inline %s\ndata %d\n" % (_quoted(name.encode()), size))
            while chunk := stream.read(_COPY_BYTES):
                self._in.write(chunk)
                self.progress = clock.monotonic_seconds()
            self._in.write(b"\n")
        oid = self._mark()
        self._marks_by_oid[oid] = self._marks
        return oid

    def _file(self, path: bytes, data: bytes | None) -> None:
        """Add a file to the tree of the present commit; delete the path if ``data`` is None."""
        if data is None:
            self._in.write(b"D %s\n" % _quoted(path))
        else:
            self._in.write(b"M 100644 inline %s\ndata %d\n%s\n" % (_quoted(path), len(data), data))
        self.progress = clock.monotonic_seconds()

    def _mark(self) -> str:
        """Ask git for the object id of the present commit; raises GitEnded if git ends."""
        self._in.write(b"get-mark :%d\n" % self._marks)
        self._in.flush()
        answer: bytes = self._process.stdout.readline()
        if len(answer.strip()) != 40:
            raise GitEnded
        self.progress = clock.monotonic_seconds()
        return answer.decode("ascii").strip()

    def finish(self) -> None:
        """Drop the staging refs, and wait until git has written all objects; raises GitEnded if git fails."""
        for ref in self._staging:
            self._in.write(b"reset %s\n\n" % ref.encode())
        self._in.write(b"done\n")
        self._in.close()
        # GitPython's own wait() would raise an exception that quotes the whole command.
        if self._process.popen.wait() != 0:
            raise GitEnded

    def end(self) -> None:
        """Kill the process, so a thread waiting for an answer gets GitEnded or BrokenPipeError."""
        self._process.popen.kill()

    def close(self) -> None:
        """End the process if still running, and close the pipes."""
        self._process.end()


class Overseer:
    """Kills an import making no more progress, so the import's thread does not wait for ever."""

    def __init__(self, stream: FastImport, patience_seconds: float) -> None:
        """Start a thread to watch ``stream`` until :meth:`dismiss` is called or git is killed.

        Git is killed if it makes no progress for ``patience_seconds``.  ``ended_it`` is True then.
        """
        self.ended_it = False
        self._stream = stream
        self._patience = patience_seconds
        self._dismissed = threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def dismiss(self) -> None:
        """Stop watching: the import is over."""
        self._dismissed.set()

    def _look(self) -> None:
        """Wake up whenever the time of the last progress may have run out; the main function of the thread."""
        left = self._patience
        while not self._dismissed.wait(left):
            left = self._stream.progress + self._patience - clock.monotonic_seconds()
            if left <= 0:
                self.ended_it = True
                self._stream.end()
                return


def _quoted(path: bytes) -> bytes:
    """Return a path in the quoting that git fast-import reads: octal escapes, as in C."""
    body = b"".join(
        b"\\%03o" % byte if byte < 0x20 or byte in b'"\\' or byte == 0x7F else bytes([byte]) for byte in path
    )
    return b'"' + body + b'"'
