"""A few seconds of the soak; the long one is ``make soak``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.soak.random_work import soak


@pytest.mark.needs("processes")
def test_ten_seconds_of_random_work(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    print(soak(tmp_path, 10, 0, seed))


@pytest.mark.needs("processes")
def test_kills_in_the_middle_of_random_work(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    print(soak(tmp_path, 4, 10, seed))
