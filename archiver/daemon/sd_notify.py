"""Notify systemd by sd_notify(3): a datagram for each message, none if systemd does not listen."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from archiver import clock


class Notifier:
    """Send messages to the service manager's socket, ``$NOTIFY_SOCKET``."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._watchdog_pause = _watchdog_seconds() / 2
        self._last_watchdog = 0.0

    def ready(self, status: str) -> None:
        """Report a completed start, or a completed load of the new configuration."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Report the begin of another load of the configuration."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic() * 1e6)}")

    def stopping(self) -> None:
        """Report the begin of the end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Report progress to the watchdog, at most twice in a watchdog period."""
        now = clock.monotonic()
        if self._watchdog_pause and now - self._last_watchdog >= self._watchdog_pause:
            self._last_watchdog = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # An abstract socket begins with @ in the environment, and with NUL for the kernel.
        socket_address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # A manager that does not listen must not stop the service.
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify_socket,
        ):
            notify_socket.sendto(text.encode("utf-8", "replace"), socket_address)


def _watchdog_seconds() -> float:
    try:
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return 0.0
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        # Not set by systemd: there is no watchdog to feed.
        return 0.0
