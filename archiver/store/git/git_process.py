"""Communicate with a running git process through three pipes, and end the process."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from typing import IO, Any, NamedTuple


class GitEnded(Exception):
    """git closed its end of the pipe before answering."""


class GitProcess(NamedTuple):
    """A running git process with pipes for input, output and error messages; the owner calls :meth:`end`."""

    #: Started with all three pipes, so none of the assertions below can fail.
    popen: subprocess.Popen[bytes]
    #: GitPython's handle, if GitPython started git.  It is kept because GitPython ends the process when the handle
    #: is garbage-collected.
    handle: Any = None

    @property
    def stdin(self) -> IO[bytes]:
        """Return the pipe to git's input."""
        assert self.popen.stdin is not None
        return self.popen.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Return the pipe with git's output."""
        assert self.popen.stdout is not None
        return self.popen.stdout

    @property
    def stderr(self) -> IO[bytes]:
        """Return the pipe with git's error messages."""
        assert self.popen.stderr is not None
        return self.popen.stderr

    def end(self) -> None:
        """Kill git if it still runs, wait until it has ended, and close the pipes."""
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        for pipe in (self.stdin, self.stdout, self.stderr):
            # Closing the input writes the rest of its buffer, which nobody reads any more.
            with suppress(BrokenPipeError):
                pipe.close()
