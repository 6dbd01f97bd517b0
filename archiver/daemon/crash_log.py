"""Write a crash log: a file about an unexpected error, which a user can send with a report.

An *unexpected error* is a fault of the program, not of its environment.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence

from archiver import __version__
from archiver.errors import LazyMessage

#: The message that a user sees after an unexpected error; ``path`` is the path of the crash log.
UNEXPECTED_ERROR = LazyMessage.define(
    "An unexpected error occurred. No archived data was lost. The details are in {path}. Send that file with "
    "your report."
)


def write_crash_log(error: BaseException, arguments: Sequence[str]) -> str:
    """Write the traceback of ``error`` to a new temporary file, and return the path of the file.

    The file also contains the versions of archiver and Python, and ``arguments``, the command line. Raises OSError
    if the file cannot be written.
    """
    # Commands that only read import this module, and this import takes milliseconds.
    import tempfile

    log_fd, log_path = tempfile.mkstemp(prefix="archiver-error-", suffix=".log")
    with open(log_fd, "w", encoding="utf-8", errors="backslashreplace") as log_file:
        traceback_text = "".join(traceback.format_exception(error))
        log_file.write(f"archiver {__version__}, Python {sys.version}\n{list(arguments)}\n\n{traceback_text}")
    return log_path
