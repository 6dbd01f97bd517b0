"""Act on signals in a separate thread: a signal handler could need a lock that the interrupted code holds."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from types import FrameType, TracebackType

#: Bytes to read at a time. Each signal is one byte, and far fewer signals arrive between two reads.
_READ_BYTES = 4096


class SignalListener:
    """A context in which a thread acts on signals.  Enter it in the main thread only.

    Python runs a handler between two instructions of the main thread.  If the main thread has just taken the lock
    of a ``threading.Event`` in order to wait, a handler that sets the event waits for the lock for ever.  So the
    handlers do nothing.  The interpreter writes the number of each signal into a pipe
    (:func:`signal.set_wakeup_fd`), and the thread at the other end does the work.

    These handlers stay in force after the context: a second Ctrl-C must not interrupt the end of the program.
    """

    def __init__(self, signal_actions: Mapping[signal.Signals, Callable[[], object]]) -> None:
        """Open the pipe, which the context closes.

        Each of ``signal_actions`` is called on the listening thread, once for each delivery of its signal.
        """
        self._signal_actions = {int(signal_number): action for signal_number, action in signal_actions.items()}
        self._thread = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._read_end, self._write_end = os.pipe2(os.O_CLOEXEC)

    def __enter__(self) -> SignalListener:
        """Start the thread, and replace the handlers of the signals; raises ValueError outside the main thread."""
        # set_wakeup_fd requires a descriptor that does not block: the interpreter must never wait for the reader.
        os.set_blocking(self._write_end, False)
        self._thread.start()
        signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False)
        for signal_number in self._signal_actions:
            signal.signal(signal_number, _do_nothing)
        return self

    def __exit__(
        self, error_class: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Act on the signals that have arrived, then end the thread and close the pipe."""
        signal.set_wakeup_fd(-1)
        # The thread reads the remaining bytes, then the end of the pipe.
        os.close(self._write_end)
        self._thread.join()
        os.close(self._read_end)

    def _listen(self) -> None:
        """Call the action of each signal until the pipe is closed; the target of the thread."""
        while signal_numbers := os.read(self._read_end, _READ_BYTES):
            for signal_number in signal_numbers:
                # Signals with handlers of other modules arrive too, for example a change of the terminal's size.
                if signal_number in self._signal_actions:
                    self._signal_actions[signal_number]()


def _do_nothing(_signal_number: int, _frame: FrameType | None) -> None:
    """Handle a signal by doing nothing: without a handler, the interpreter does not write the signal's number."""
