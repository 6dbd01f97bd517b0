"""A real git server on loopback: git's own ``http-backend``, and giftless for Git LFS.

As a process: ``python -m tests.replica.gitserver PORT FOLDER [--password NAME:WORD] [--without-lfs]``; it serves
``http://127.0.0.1:PORT/owner/NAME.git``.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import CHECKOUT, listens, wait_until
from tests.replica.server import free_base

App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass
class GitServer:
    """A running server with one empty repository, and where both keep what they are sent."""

    folder: Path
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/owner/mirror.git"

    @property
    def repository(self) -> Path:
        return self.folder / "owner/mirror.git"

    def contents(self) -> dict[str, bytes]:
        """What the LFS server holds."""
        return {path.name: path.read_bytes() for path in (self.folder / "lfs").rglob("*") if path.is_file()}


@contextlib.contextmanager
def serving(folder: Path, *options: str) -> Iterator[GitServer]:
    server = GitServer(folder, free_base(60 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])))
    subprocess.run(["git", "init", "-q", "--bare", server.repository], check=True)
    with open(folder / "log", "wb") as log:
        words = ["-W", "ignore", "-m", "tests.replica.gitserver", str(server.port), folder, *options]
        process = subprocess.Popen([sys.executable, *words], cwd=CHECKOUT, stdout=log, stderr=log)
        try:
            wait_until(lambda: listens(server.port) or process.poll() is not None, seconds=30)
            assert process.poll() is None, (folder / "log").read_text()
            yield server
        finally:
            process.kill()
            process.wait()


def anybody(_: Any) -> Any:
    """Whom the LFS server takes for whom: the password is asked before it."""
    from giftless.auth.identity import DefaultIdentity

    class Anybody(DefaultIdentity):
        def is_authorized(self, *_: Any, **__: Any) -> bool:
            return True

    return Anybody("anybody", "anybody")


def _lfs(folder: Path) -> App:
    from giftless.app import init_app

    storage = {"storage_class": "giftless.storage.local_storage:LocalStorage"}
    options = {**storage, "storage_options": {"path": str(folder / "lfs")}, "action_lifetime": 900}
    adapter = {"factory": "giftless.transfer.basic_streaming:factory", "options": options}
    providers = {"AUTH_PROVIDERS": ["tests.replica.gitserver:anybody"], "PRE_AUTHORIZED_ACTION_PROVIDER": None}
    settings = {"TRANSFER_ADAPTERS": {"basic": adapter}, **providers}
    app: App = init_app(additional_config=settings)
    return app


def _git(folder: Path) -> App:
    from werkzeug.wsgi import get_input_stream

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        body = get_input_stream(environ).read()
        names = ("REQUEST_METHOD", "QUERY_STRING", "CONTENT_TYPE", "HTTP_CONTENT_ENCODING", "HTTP_GIT_PROTOCOL")
        passed = {name: environ[name] for name in names if environ.get(name)}
        passed |= {"PATH": os.environ["PATH"], "PATH_INFO": environ["PATH_INFO"], "REMOTE_USER": "somebody"}
        passed |= {"GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1", "CONTENT_LENGTH": str(len(body))}
        done = subprocess.run(["git", "http-backend"], input=body, env=passed, capture_output=True)
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = [tuple(line.split(": ", 1)) for line in head.decode().splitlines() if line]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        start(status, [each for each in headers if each[0] != "Status"])
        return [rest]

    return answer


def _guarded(app: App, password: str) -> App:
    expected = "Basic " + base64.b64encode(password.encode()).decode()

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION") == expected:
            return app(environ, start)
        start("401 Unauthorized", [("WWW-Authenticate", 'Basic realm="git"')])
        return [b""]

    return answer if password else app


def main() -> None:
    from werkzeug.serving import run_simple

    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--password", default="")
    parser.add_argument("--without-lfs", action="store_true")
    given = parser.parse_args()
    git = _guarded(_git(given.folder), given.password)
    lfs = git if given.without_lfs else _lfs(given.folder)
    batch = _guarded(lfs, given.password)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"].endswith("/objects/batch"):
            return batch(environ, start)
        return (lfs if "/objects/storage" in environ["PATH_INFO"] else git)(environ, start)

    run_simple("127.0.0.1", given.port, answer, threaded=True)


if __name__ == "__main__":
    main()
