"""A process that has imported the program, and forks for each command: ``python -m tests.support.command_server FD``.

Half of the time of all tests went into starting Python and importing the program, thousands of times.  A fork
saves that, and everything else is as for the installed command: a process of its own, its arguments, its
environment, its streams, its exit code.

A request comes with a connection over the socket ``FD``, see :mod:`tests.support.forked_commands`.  The answer is
the process's id, and when it has ended, its wait status.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import os
import pkgutil
import selectors
import socket
import sys
import threading
import traceback
from typing import NoReturn

from tests.support.forked_commands import REQUEST_BYTES, CommandRequest

#: Imported beforehand, as most commands need them. The program imports git in its own way, and after a check.
PRELOADED_LIBRARIES = ("click", "cryptography.hazmat.primitives.asymmetric.ed25519", "git", "watchdog.observers")

#: The verifier of a package is a script, only a child process reads PDF files, and the off-site copy's libraries are
#: heavy and seldom needed.
NOT_PRELOADED = ("archiver.audit.resources", "archiver.documents.pdf", "archiver.replica.s3", "archiver.__main__")
HUGE_PAGE_BYTES = 2 << 20
#: See madvise(2); the second one exists since Linux 6.1, and fails without harm before.
MADV_HUGEPAGE, MADV_COLLAPSE = 14, 25


def main() -> None:
    """Serve until the other end of the socket is closed.  A forked command ends in :func:`run_command`."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    preload()
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is not listener:
                pidfd = key.fd
                process_id, connection = running.pop(pidfd)
                selector.unregister(pidfd)
                os.close(pidfd)
                connection.send(str(os.waitpid(process_id, 0)[1]).encode())
                connection.close()
                continue
            message, descriptors, _, _ = socket.recv_fds(listener, REQUEST_BYTES, 4)
            if not message:
                return
            connection = socket.socket(fileno=descriptors.pop())
            process_id = os.fork()
            if process_id == 0:
                # Nothing of the server reaches the command.
                for inherited in (selector, listener, connection, *(entry[1] for entry in running.values())):
                    inherited.close()
                for pidfd in running:
                    os.close(pidfd)
                run_command(CommandRequest.decode(message), descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            connection.send(str(process_id).encode())
            pidfd = os.pidfd_open(process_id)
            running[pidfd] = (process_id, connection)
            selector.register(pidfd, selectors.EVENT_READ)


def preload() -> None:
    """Import the program and what it uses, so that no forked command has to."""
    import archiver

    for name in PRELOADED_LIBRARIES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(archiver.__path__, "archiver."):
        if not module.name.startswith(NOT_PRELOADED):
            importlib.import_module(module.name)
    gc.freeze()
    use_huge_pages()


def use_huge_pages() -> None:
    """Let the kernel keep the memory of this process in huge pages, if it can: a fork then takes half of the time."""
    libc = ctypes.CDLL(None)
    with open("/proc/self/maps", encoding="ascii", errors="replace") as maps:
        for line in maps:
            addresses, permissions, _, device, *_ = line.split()
            start, end = (int(address, 16) for address in addresses.split("-"))
            # Only memory that no file is behind; a huge page has 2 MB on most machines.
            if permissions.startswith("rw") and device == "00:00" and end - start >= HUGE_PAGE_BYTES:
                for advice in (MADV_HUGEPAGE, MADV_COLLAPSE):
                    libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), advice)


def run_command(request: CommandRequest, streams: list[int]) -> NoReturn:
    """Become the process that the request describes, and end with its exit code."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    for descriptor in streams:
        os.close(descriptor)
    os.umask(request.umask)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = request.arguments
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        # As the interpreter opens them in C.UTF-8, the locale of all tests.
        errors = "backslashreplace" if name == "stderr" else "surrogateescape"
        mode = "r" if number == 0 else "w"
        stream = open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    if request.shift:
        shift_clocks(request.shift)
    exit_code = call_program()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    # The interpreter's own end would write to all memory that is shared with the server, and copy it thereby.
    os._exit(exit_code)


def shift_clocks(shift: str) -> None:
    """Let this process see the clocks as they will be then."""
    from tests.support import later

    later.shift_as_told(shift)


def call_program() -> int:
    """Call what the installed command calls; return the exit code that the interpreter would end with."""
    from archiver.__main__ import run

    try:
        run()
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    main()
