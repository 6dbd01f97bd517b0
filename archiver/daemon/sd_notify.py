"""What systemd is told, sd_notify(3): one datagram each, nothing where systemd does not listen."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from archiver import clock


class Notifier:
    """Speaks to the service manager through ``$NOTIFY_SOCKET``."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._pause = _watchdog_seconds() / 2
        self._last = 0.0

    def ready(self, status: str) -> None:
        """The service has started, or has taken in its new configuration."""
        self._send(f"READY=1\nSTATUS={status}")

    def reloading(self) -> None:
        """The configuration is being read again."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic() * 1e6)}")

    def stopping(self) -> None:
        """The service ends."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The work makes progress; sent twice per period of the watchdog."""
        now = clock.monotonic()
        if self._pause and now - self._last >= self._pause:
            self._last = now
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        # An abstract socket is written with @ in the environment, with NUL for the kernel.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
            channel.sendto(text.encode("utf-8", "replace"), address)


def _watchdog_seconds() -> float:
    try:
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) != os.getpid():
            return 0.0
        return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    except ValueError:
        return 0.0
