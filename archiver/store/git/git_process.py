"""Hold a running git by its three pipes, and end it."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import IO, Any, NamedTuple


class GitEnded(Exception):
    """git closed its end of the pipe before answering."""


class GitProcess(NamedTuple):
    """A running git with pipes for input, output and messages; the owner calls :meth:`end`."""

    popen: subprocess.Popen[bytes]
    #: GitPython's handle if GitPython started git, which ends when the handle is garbage-collected.
    handle: Any = None

    @property
    def stdin(self) -> IO[bytes]:
        """Return the pipe to git."""
        assert self.popen.stdin is not None
        return self.popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Return the pipe with git's output."""
        assert self.popen.stdout is not None
        return self.popen.stdout

    @property
    def stderr(self) -> IO[bytes]:
        """Return the pipe with git's messages."""
        assert self.popen.stderr is not None
        return self.popen.stderr

    def end(self) -> None:
        """Kill git if it still runs, wait for its end, and close the pipes."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            with suppress(BrokenPipeError):
                pipe.close()
