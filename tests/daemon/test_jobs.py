"""What the daemon does for the desk by itself: questions, looks at the display, reminders."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest

from archiver.config.loader import load_config
from archiver.daemon.jobs import JobRunner, SideJob
from archiver.errors import LazyMessage, message_from
from archiver.store.archive import Archive
from tests.support.site import COMMAND, Site, wait_until

NUMBER = "网信算备110108823483901230031号"


@pytest.fixture
def server() -> Iterator[tuple[str, list[str]]]:
    taken: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"nothing of it")

        def do_POST(self) -> None:
            taken.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["message"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{served.server_port}", taken
    served.shutdown()
    served.server_close()


def test_the_daemon_notices_looks_and_reminds(site: Site, server: tuple[str, list[str]]) -> None:
    place, taken = server
    site.write("推荐/首次/模型", "1")
    site.catch_up()
    site.run("submit", "推荐/首次", "--on", "2026-03-02")
    site.run(
        "filing", "set", "推荐", "--number", NUMBER, "--issued-on", "2026-03-20", "--published-at", "https://x/y"
    )
    site.configure(
        reminders={"hour": 0}, display={"allow_private": True}, filings={"推荐": {"pages": [f"http://{place}/"]}}
    )
    environment = {**os.environ, "ARCHIVER_TARGET_OWNER": f"json://{place}/", "LC_ALL": "zh_CN.UTF-8"}
    daemon = subprocess.Popen(
        [COMMAND, "--config", site.config, "run", "--settle", "0.1"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: site.json("filing", "show", "推荐")["displays"] != [])
        assert site.json("filing", "show", "推荐")["displays"][0]["number"] is False
        wait_until(lambda: taken != [])
        assert "标明备案编号" in "".join(taken)
        site.write("推荐/首次/模型", "2")
        wait_until(lambda: site.json("change", "list") != [], seconds=90)
    finally:
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(timeout=30) == 0
    assert len(site.json("filing", "show", "推荐")["displays"]) == 1
    site.verified()


def test_a_fault_of_the_program_in_a_job_is_told(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    messages: list[str] = []

    def report(template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        messages.append(f"{problem}: {message_from(template, fields)}")

    def fail(_archive: Archive) -> NoReturn:
        raise ZeroDivisionError("a fault of the program")

    runner = JobRunner(load_config(site.config), report, 5)
    runner._jobs = (SideJob("drill", lambda _archive: True, fail),)
    archive = site.open()
    runner.start_due_job(archive)
    wait_until(lambda: messages)
    archive.close()
    log = next(tmp_path.glob("archiver-error-*.log"))
    assert messages[0].startswith("drill: An unexpected error occurred.")
    assert str(log) in messages[0]
    assert "ZeroDivisionError: a fault of the program" in log.read_text()
