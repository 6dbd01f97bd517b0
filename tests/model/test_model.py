"""2,000 steps of the model; ``make model`` does more."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from tests.support.site import CHECKOUT

#: Another one with each run; a failure shows it, and the blob with which it is reproduced.
SEED = os.environ.get("MODEL_SEED") or str(random.randrange(1 << 32))


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
