"""Replication by the daemon: what fails waits, and is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import NoReturn

import pytest

from archiver import clock
from archiver.config.loader import load_config
from archiver.daemon import replication
from archiver.daemon.replication import Replication
from archiver.errors import LazyMessage, message_from
from archiver.replica.sync_result import HeldBackContent
from archiver.store.events.archive_events import ReplicaCreated
from archiver.store.writing.drafts import Draft
from tests.support.site import Site


def test_a_fault_of_the_program_is_told_and_waits_as_any_failure(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon asks at every turn, 20 times a second: without a pause each one would start a thread."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    messages: list[str] = []

    def report(template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        messages.append(f"{problem}: {message_from(template, fields)}")

    def fail(*_: object) -> NoReturn:
        raise ZeroDivisionError("a fault of the program")

    archive = site.open()
    with archive.writing(5) as writer:
        writer.append(Draft("replica", ReplicaCreated(url="s3://a-bucket/x", lock=True)))
    monkeypatch.setattr(replication, "open_replica", fail)
    runner = Replication(load_config(site.config), report)
    runner.start_if_due(archive)
    first_run = runner._thread
    assert first_run is not None
    first_run.join()
    runner.start_if_due(archive)
    assert runner._thread is first_run
    archive.close()
    log = next(tmp_path.glob("archiver-error-*.log"))
    assert messages == [
        f"replica: An unexpected error occurred. No archived data was lost. The details are in {log}. Send that file "
        "with your report."
    ]
    assert "ZeroDivisionError: a fault of the program" in log.read_text()


def test_the_end_of_a_grace_period_makes_a_run_due(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is journalled at that moment, and content that is due is missing in the bucket."""
    now = clock.read_clocks().wall
    released_soon = HeldBackContent(1, 5, now + timedelta(minutes=2), now + timedelta(hours=20))
    runner = Replication(load_config(site.config), lambda *_, **__: None)
    monkeypatch.setattr(Replication, "_replicate_once", lambda _: released_soon)
    runner._run_replication("a commit")
    assert 100 < runner._next_check_at - clock.monotonic_seconds() < 130
    monkeypatch.setattr(Replication, "_replicate_once", lambda _: None)
    runner._run_replication("a commit")
    assert runner._next_check_at - clock.monotonic_seconds() > 3500
