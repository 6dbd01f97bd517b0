"""Notify systemd by sd_notify(3): a datagram for each message, and none if systemd did not start the service."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from archiver import clock


class Notifier:
    """Send messages to the service manager's socket, ``$NOTIFY_SOCKET``; no method raises."""

    def __init__(self) -> None:
        """Read the socket's address and the watchdog's period from the environment."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        #: Seconds between two messages to the watchdog; 0 without a watchdog.
        self._watchdog_pause = _watchdog_seconds() / 2
        self._last_watchdog = 0.0

    def ready(self, status: str) -> None:
        """Report that a start or a reload is complete; ``status`` is one line for ``systemctl status``."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """Report that a reload of the configuration begins."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic_seconds() * 1e6)}")

    def stopping(self) -> None:
        """Report that the service begins to end."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Report progress to the watchdog, at most twice in its period: call this as often as you like."""
        now = clock.monotonic_seconds()
        if self._watchdog_pause and now - self._last_watchdog >= self._watchdog_pause:
            self._last_watchdog = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        """Send lines of the form ``NAME=value``; do nothing without a manager that listens."""
        if not self._address:
            return
        # An abstract socket begins with @ in the environment, and with NUL for the kernel.
        socket_address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # The service must go on even if the manager does not listen.
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify_socket,
        ):
            notify_socket.sendto(text.encode("utf-8", "replace"), socket_address)


def _watchdog_seconds() -> float:
    """Return the watchdog's period from the environment; 0 if systemd expects nothing from this process."""
    try:
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return 0.0
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        # No numbers, so systemd did not set the variables: there is no watchdog.
        return 0.0
