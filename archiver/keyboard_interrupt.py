"""End the process on Ctrl-C before and after the work of a command, when nothing has to be undone or finished.

Python raises KeyboardInterrupt at any point of the program. In the middle of an import, the exception shows a
traceback to a person who only changed their mind. In a callback of the import system, Python prints the exception
and continues.
"""

from __future__ import annotations

import atexit
import os
import signal
from types import FrameType

#: The exit code after Ctrl-C, listed in docs/commands.md. A shell reports the same code for a process that SIGINT
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

    The effect lasts until :func:`restore_keyboard_interrupt`. Call both in the main thread only.
    """
    # A shell makes the background processes of a script ignore the signal. They must continue to ignore it.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _ExitHandler(exit_code))


def ignore_ctrl_c_at_exit() -> None:
    """Make Ctrl-C change nothing once the functions registered with :mod:`atexit` have run.

    Python then sets the signal's default action, which would end the process without the exit code of the command.
    Call this before any other function is registered: the first one runs last.
    """
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def restore_keyboard_interrupt() -> None:
    """Make Ctrl-C raise KeyboardInterrupt again. Call this before work that has to be undone or finished.

    Does nothing if :func:`exit_on_ctrl_c` did not install the present handler.
    """
    if isinstance(signal.getsignal(signal.SIGINT), _ExitHandler):
        signal.signal(signal.SIGINT, signal.default_int_handler)
