"""Notify systemd of the service's state by the protocol of sd_notify(3), with a datagram for each message."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from archiver import clock


class SystemdNotifier:
    """Send messages to the socket of systemd, ``$NOTIFY_SOCKET``.

    The methods never raise an exception, and do nothing if systemd did not start the service.
    """

    def __init__(self) -> None:
        """Read the socket's address and the watchdog's period from the environment."""
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        #: Seconds between two messages to the watchdog; 0 without a watchdog.
        self._watchdog_interval = _watchdog_seconds() / 2
        self._last_watchdog_at = 0.0

    def notify_ready(self, status: str) -> None:
        """Report a completed start or reload; ``status`` is a single line for ``systemctl status``."""
        self._send(f"READY=1\nSTATUS={status}")

    def notify_reloading(self) -> None:
        """Report that a reload of the configuration begins."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic_seconds() * 1e6)}")

    def notify_stopping(self) -> None:
        """Report that the service has begun to end."""
        self._send("STOPPING=1")

    def notify_watchdog(self) -> None:
        """Report progress to systemd's watchdog, at most twice in its period, however often this is called."""
        now = clock.monotonic_seconds()
        if self._watchdog_interval and now - self._last_watchdog_at >= self._watchdog_interval:
            self._last_watchdog_at = now
            self._send("WATCHDOG=1")

    def _send(self, message_lines: str) -> None:
        """Send lines of the form ``NAME=value``; do nothing if systemd did not start the service."""
        if not self._address:
            return
        # The address of an abstract socket begins with @ in the environment, and with NUL for the kernel.
        socket_address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        # The service must continue even if systemd does not listen.
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify_socket,
        ):
            notify_socket.sendto(message_lines.encode("utf-8", "replace"), socket_address)


def _watchdog_seconds() -> float:
    """Return the watchdog's period in seconds, from the environment; 0 if this process has no watchdog."""
    try:
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return 0.0
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        # The values are not numbers, so systemd did not set these variables: there is no watchdog.
        return 0.0
