"""2,000 steps of the model; ``make model`` does more."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.site import CHECKOUT

#: Always the same, so that a change is refused for its own faults alone; ``make model`` takes another each time.
SEED = os.environ.get("MODEL_SEED") or "20260302"


@pytest.mark.needs("processes")
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", ["1/2", "2/2"])
def test_random_work_agrees_with_the_model(part: str) -> None:
    """In a process of its own: a crash forks it, and the process of all tests is four times as large."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.model", "--steps", "2000", "--part", part, "--seed", SEED],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"MODEL_SEED={SEED}\n{done.stdout[-5000:]}\n{done.stderr[-20000:]}"
