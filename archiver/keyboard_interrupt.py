"""What Ctrl-C does where there is nothing to bring to an end: a process that only begins, or is over.

Python raises KeyboardInterrupt wherever it happens to be.  In the middle of an import that is a traceback for
a person who only changed their mind, and in a callback of the import system it is printed and forgotten.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

#: The code of docs/commands.md; a shell shows the same for a process that dies of the signal.
INTERRUPTED = 130


class _End:
    """A handler that ends the process at once: nothing is written, no clean-up runs, no traceback."""

    def __init__(self, code: int) -> None:
        self._code = code

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        os._exit(self._code)


def end_at_once(code: int) -> None:
    """Let Ctrl-C end the process with ``code``, until :func:`raise_in_the_work`; only in the main thread."""
    # Who was started in the background of a script is not interrupted, and stays so.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _End(code))


def raise_in_the_work() -> None:
    """Let Ctrl-C raise KeyboardInterrupt again, from where there is something to undo or to finish.

    Whoever did not come through :func:`end_at_once` keeps their own handler.
    """
    if isinstance(signal.getsignal(signal.SIGINT), _End):
        signal.signal(signal.SIGINT, signal.default_int_handler)
