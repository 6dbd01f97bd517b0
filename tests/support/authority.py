"""A real time-stamp authority (RFC 3161) on loopback: ``openssl ts`` behind a small HTTP server."""

from __future__ import annotations

import http.server
import subprocess
import threading
from pathlib import Path

from tests.support import faketime

_CONFIG = """\
[tsa]
default_tsa = one
[one]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/leaf.pem
signer_key = {folder}/leaf.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ess_cert_id_chain = no
"""
_EXTENSIONS = "extendedKeyUsage=critical,timeStamping\nbasicConstraints=CA:FALSE\n"


class Authority:
    """Its ``days`` say how far its clock is ahead of this machine's."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.days = 0.0
        self.broken = False
        self._lock = threading.Lock()
        self._make_certificates()
        authority = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                query = self.rfile.read(int(self.headers["Content-Length"]))
                answer = authority.answer(query)
                self.send_response(200 if answer else 500)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/tsa"

    @property
    def root(self) -> Path:
        return self.folder / "root.pem"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, query: bytes) -> bytes:
        """Queries one after the other: openssl rewrites its serial file."""
        if self.broken:
            return b""
        with self._lock:
            (self.folder / "query").write_bytes(query)
            arguments = ["ts", "-reply", "-config", "tsa.cnf", "-queryfile", "query", "-out", "reply"]
            self._openssl(*arguments, env=faketime.at(self.days))
            return (self.folder / "reply").read_bytes()

    def _make_certificates(self) -> None:
        (self.folder / "tsa.cnf").write_text(_CONFIG.format(folder=self.folder))
        (self.folder / "ext.cnf").write_text(_EXTENSIONS)
        (self.folder / "serial").write_text("01\n")
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        self._openssl(
            "req",
            "-x509",
            *curve,
            "-keyout",
            "root.key",
            "-out",
            "root.pem",
            "-days",
            "20000",
            "-subj",
            "/CN=root",
        )
        self._openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=authority")
        self._openssl(
            *("x509", "-req", "-in", "leaf.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial"),
            *("-days", "20000", "-extfile", "ext.cnf", "-out", "leaf.pem"),
        )

    def _openssl(self, *arguments: str, env: dict[str, str] | None = None) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True, env=env)
