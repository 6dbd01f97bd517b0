"""A watched folder and a snapshot without a daemon, folders on filesystems of their own, and services."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from archiver.intake.snapshot import Snapshot
from tests.support.site import Site, wait_until
from tests.support.volumes import Disk, fill


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Snapshot]:
    opened = Snapshot(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def disks() -> Iterator[list[Disk]]:
    made: list[Disk] = []
    yield made
    for disk in made:
        disk.end()


@pytest.fixture
def filled(bare_site: Site) -> Site:
    """An archive of two files, in a folder that stands where other filesystems are mounted over it or away."""
    bare_site.init()
    fill(bare_site)
    return bare_site


@pytest.fixture
def start() -> Iterator[Callable[[Site], None]]:
    """A function that starts a service, and waits until it watches; it must end cleanly with the test."""
    services: list[subprocess.Popen[str]] = []

    def start_service(site: Site) -> None:
        services.append(site.start("--settle", "0.2"))
        wait_until(lambda: site.json("status")["watching_code"] != "watching.none")

    yield start_service
    for service in services:
        service.terminate()
        out, _ = service.communicate(timeout=20)
        assert service.returncode == 0, out
        assert "Traceback" not in out
