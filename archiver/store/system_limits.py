"""Tell limits of the process, the service, the user and the machine from faults of the disk or of the program."""

from __future__ import annotations

import errno
import os

from archiver.errors import LazyMessage, LimitReached
from archiver.workers import WorkerDied

#: Number of an error of the system -> what the system refuses, and what to raise.
_LIMIT_BY_ERROR = {
    errno.EMFILE: LazyMessage(
        "This process can open no more files ({reason}). No archived data was lost. Raise LimitNOFILE of the "
        "service, or ulimit -n of the shell."
    ),
    errno.ENFILE: LazyMessage(
        "This machine can open no more files ({reason}). No archived data was lost. Raise fs.file-max with sysctl."
    ),
    errno.ENOMEM: LazyMessage(
        "No memory is left ({reason}). No archived data was lost. Raise MemoryMax of the service or the memory "
        "limit of the container, or end other programs."
    ),
    errno.EAGAIN: LazyMessage(
        "No further process or thread can be started ({reason}). No archived data was lost. Raise TasksMax of the "
        "service, the limit of processes of the container, or ulimit -u of the user."
    ),
}
#: What Python says if the system starts no thread: it has no class of exceptions for that.
_NO_THREAD_TEXT = "can't start new thread"


def find_limit(error: BaseException, *, is_process_start: bool = False) -> LimitReached | None:
    """Return the error for people if ``error`` means that a limit of the system is reached, otherwise None.

    ``is_process_start`` means that a process was to be started: EAGAIN has other meanings elsewhere.  The error of
    a child process that could not be started counts with its cause.
    """
    if isinstance(error, WorkerDied) and error.__cause__ is not None:
        return find_limit(error.__cause__, is_process_start=True)
    number = error.errno if isinstance(error, OSError) else None
    if isinstance(error, MemoryError):
        number = errno.ENOMEM
    elif isinstance(error, RuntimeError) and str(error) == _NO_THREAD_TEXT:
        number, is_process_start = errno.EAGAIN, True
    if number not in _LIMIT_BY_ERROR or (number == errno.EAGAIN and not is_process_start):
        return None
    reason = str(error) if isinstance(error, RuntimeError) else os.strerror(number)
    message = _LIMIT_BY_ERROR[number].with_fields(reason=reason)
    return LimitReached(message)
