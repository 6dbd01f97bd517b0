"""A proxy on loopback that makes the trouble a network makes."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator


class Proxy:
    """Passes connections on to a server, as long as it is not told otherwise.

    ``answer``: what everybody gets instead; ``cut_up``, ``cut_down``: bytes towards and from the server after
    which a connection is reset; ``calm_after``: so many connections are treated so, the next ones are not.
    """

    def __init__(self, port: int, tls: ssl.SSLContext | None = None) -> None:
        self._target, self._tls = port, tls
        self.answer: bytes | None = None
        self.cut_up: int | None = None
        self.cut_down: int | None = None
        self.calm_after: int | None = None
        self.connections = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        scheme = "https" if self._tls else "http"
        return f"{scheme}://127.0.0.1:{self._listening.getsockname()[1]}"

    def close(self) -> None:
        self._closed = True
        # A close alone would let the thread that waits accept one more.
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _accept(self) -> None:
        while not self._closed:
            try:
                caller, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(caller,), daemon=True).start()

    def _serve(self, caller: socket.socket) -> None:
        calm = self.calm_after is not None and self.connections > self.calm_after
        if self._tls:
            try:
                caller = self._tls.wrap_socket(caller, server_side=True)
            except OSError:
                caller.close()
                return
        with caller, contextlib.suppress(OSError):
            if self.answer is not None and not calm:
                caller.settimeout(5)
                caller.recv(1 << 16)
                caller.sendall(self.answer)
                return
            with socket.create_connection(("127.0.0.1", self._target)) as server:
                up = threading.Thread(
                    target=_pass, args=(caller, server, None if calm else self.cut_up), daemon=True
                )
                up.start()
                _pass(server, caller, None if calm else self.cut_down)
                up.join(5)


def _pass(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    done = 0
    try:
        while data := source.recv(1 << 16):
            done += len(data)
            if limit is not None and done > limit:
                for each in (source, target):
                    each.shutdown(socket.SHUT_RDWR)
                return
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def http(status: str, body: str, kind: str = "text/html") -> bytes:
    data = body.encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(data)}\r\nConnection: close\r\n\r\n"
    return head.encode() + data


@contextlib.contextmanager
def proxied(port: int, tls: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy in front of ``port``; ``tls``: it ends what came encrypted."""
    proxy = Proxy(port, tls)
    try:
        yield proxy
    finally:
        proxy.close()
