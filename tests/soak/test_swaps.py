"""A few seconds of swaps; the ten minutes are ``make soak``."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.soak.swaps import SwapRun


@pytest.mark.needs("processes")
def test_ten_seconds_of_swaps(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    print(SwapRun(tmp_path, seed).run(10))
