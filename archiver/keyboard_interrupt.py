"""Ctrl-C before and after the work of a command, when there is nothing to undo or to finish.

Python raises KeyboardInterrupt wherever it happens to be. In the middle of an import, that shows a traceback to a
person who only changed their mind. In a callback of the import system, Python prints the exception and goes on.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

#: The exit code after Ctrl-C, listed in docs/commands.md. A shell shows the same for a process that the signal
#: ended.
EXIT_CODE = 130


class _ExitHandler:
    """A signal handler that ends the process at once: nothing is printed, and no clean-up runs."""

    def __init__(self, exit_code: int) -> None:
        """End the process with ``exit_code``."""
        self._exit_code = exit_code

    def __call__(self, _signal_number: int, _frame: FrameType | None) -> None:
        os._exit(self._exit_code)


def exit_on_ctrl_c(exit_code: int) -> None:
    """Make Ctrl-C end the process with ``exit_code`` and without a traceback.

    This lasts until :func:`restore_keyboard_interrupt`. For the main thread only.
    """
    # A shell makes the background processes of a script ignore the signal, and they keep ignoring it.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _ExitHandler(exit_code))


def restore_keyboard_interrupt() -> None:
    """Make Ctrl-C raise KeyboardInterrupt again. Call this before work that has to be undone or finished.

    A handler that :func:`exit_on_ctrl_c` did not install stays in force. For the main thread only.
    """
    if isinstance(signal.getsignal(signal.SIGINT), _ExitHandler):
        signal.signal(signal.SIGINT, signal.default_int_handler)
