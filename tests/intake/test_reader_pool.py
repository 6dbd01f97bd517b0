"""Threads that read files, where the system starts few of them."""

from __future__ import annotations

import threading

import pytest

from archiver.intake.reader_pool import ReaderPool


def allow_threads(monkeypatch: pytest.MonkeyPatch, count: int) -> list[threading.Thread]:
    started: list[threading.Thread] = []
    real_start = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        if len(started) >= count:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real_start(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    return started


def test_one_thread_does_all_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    started = allow_threads(monkeypatch, 1)
    gate = threading.Event()
    with ReaderPool(4) as pool:
        # Before 3.9, and where a thread is idle, no second one would be asked for.
        waiting = pool.submit(gate.wait, 10)
        futures = [pool.submit(lambda number=number: number * 2) for number in range(20)]
        gate.set()
        assert [future.result(10) for future in futures] == [number * 2 for number in range(20)]
        assert waiting.result(10)
    assert len(started) == 1


def test_work_that_no_thread_takes_is_never_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asked for it was told that it failed, and asks again."""
    done = []
    with ReaderPool(4) as pool:
        with monkeypatch.context() as limited:
            allow_threads(limited, 0)
            for _ in range(3):
                with pytest.raises(RuntimeError, match="can't start new thread"):
                    pool.submit(done.append, "lost")
        pool.submit(done.append, "asked again").result(10)
    assert done == ["asked again"]
