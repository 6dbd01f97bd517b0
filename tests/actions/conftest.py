"""A page and a webhook on loopback."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator

import pytest


class Web:
    """A page that says nothing of any filing, and a webhook that keeps what it was sent."""

    def __init__(self) -> None:
        self.received: list[str] = []
        web = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(b"<p>about us</p>")

            def do_POST(self) -> None:
                web.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"])
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        place = f"127.0.0.1:{self._server.server_port}"
        self.page, self.webhook = f"http://{place}/about", f"json://{place}/"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()
