"""Signals at whatever moment, and many in a row: none of them stops the program that they are sent to."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from archiver.config.loader import load_config
from archiver.daemon import service as service_module
from archiver.daemon.service import Service
from tests.support.site import Site, wait_until

#: Waits on an event nearly all the time, as the daemon does between two turns.  With handlers that set the event, it
#: waited for its own lock within a second, and each further signal was one more handler that waited inside the last.
WAITS = """
import signal, threading
from archiver.daemon.signal_listener import SignalListener
wake, stopping = threading.Event(), threading.Event()
heard = 0
def hear():
    global heard
    heard += 1
    wake.set()
with SignalListener({signal.SIGHUP: hear, signal.SIGTERM: stopping.set}):
    print("ready", flush=True)
    while not stopping.is_set():
        wake.wait(0.0001)
        wake.clear()
print(heard, flush=True)
"""


@pytest.mark.needs("processes")
def test_signals_find_no_lock_that_is_held() -> None:
    with subprocess.Popen([sys.executable, "-c", WAITS], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for _ in range(10_000):
            process.send_signal(signal.SIGHUP)
            # So that it runs in between: signals that wait for delivery are one signal.
            time.sleep(0.0001)
        process.terminate()
        assert int(process.communicate(timeout=60)[0]) > 100
    assert process.returncode == 0


def test_the_daemon_ends_after_many_signals(site: Site) -> None:
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.json("status")["daemon"])
    for _ in range(500):
        daemon.send_signal(signal.SIGHUP)
        time.sleep(0.001)
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    for _ in range(20):
        daemon.send_signal(signal.SIGTERM)
        daemon.send_signal(signal.SIGINT)
    out, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, out
    assert "Stopped." in out
    site.verified()


def test_a_reload_is_not_lost_while_a_daemon_is_being_made(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The signal found no daemon to interrupt: the configuration was read when the next signal came."""
    loaded = 0

    def count_and_load():
        nonlocal loaded
        loaded += 1
        return load_config(site.config)

    made = service_module.Daemon

    def make_and_reload(*arguments):
        daemon = made(*arguments)
        (service.reload if loaded == 1 else service.stop)()
        return daemon

    monkeypatch.setattr(service_module, "Daemon", make_and_reload)
    service = Service(count_and_load, lambda *_, **__: None, settle_seconds=0.1)
    given_up = threading.Timer(30, service.stop)
    given_up.start()
    service.run()
    assert given_up.is_alive(), "the first daemon was not interrupted"
    given_up.cancel()
    assert loaded == 2
