"""A watched folder and a snapshot without a daemon, for tests that scan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from archiver.intake.snapshot import Snapshot


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "w").mkdir()
    return tmp_path / "w"


@pytest.fixture
def snapshot(tmp_path: Path) -> Iterator[Snapshot]:
    opened = Snapshot(tmp_path / "state.db")
    yield opened
    opened.close()
