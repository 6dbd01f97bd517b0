"""Act on signals in a thread, since a handler may interrupt the holder of a lock it needs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType

#: More than one byte for each signal that can come while the thread is not run: the pipe holds 65,536.
_READ_BYTES = 4096


class SignalListener:
    """A context in which a thread acts on signals; entered in the main thread only.

    Python runs a handler between two instructions of the main thread.  If the main thread has just taken the lock
    of a ``threading.Event`` in order to wait, a handler that sets the event waits for the lock for ever.  So the
    handlers do nothing; the interpreter writes the number of each signal into a pipe
    (:func:`signal.set_wakeup_fd`), and the thread at the other end does the work.

    The handlers stay after the end and go on doing nothing: a second Ctrl-C must not cut the end short.
    """

    def __init__(self, actions: Mapping[signal.Signals, Callable[[], object]]) -> None:
        """``actions``: each is called once for each delivery of the signal."""
        self._actions = {int(number): action for number, action in actions.items()}
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._reading, self._writing = os.pipe2(os.O_CLOEXEC)

    def __enter__(self) -> SignalListener:
        # The interpreter must not wait where nobody reads; the thread must.
        os.set_blocking(self._writing, False)
        self._thread.start()
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in self._actions:
            signal.signal(number, _do_nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        # The thread reads what is left, then the end of the pipe.
        os.close(self._writing)
        self._thread.join()
        os.close(self._reading)

    def _listen(self) -> None:
        while numbers := os.read(self._reading, _READ_BYTES):
            for number in numbers:
                # Others than ours may have a handler too, such as the terminal's size.
                if number in self._actions:
                    self._actions[number]()


def _do_nothing(_number: int, _frame: FrameType | None) -> None:
    """Be the handler of a signal: without a handler, the interpreter would not write the number."""
