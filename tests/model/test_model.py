"""About 2,000 steps of the model; ``make model`` does more."""

from __future__ import annotations

import os
import random
from unittest import TestCase

import pytest
from hypothesis import seed, settings

from tests.model.__main__ import STEPS_PER_RUN
from tests.model.archives import GoldenArchive, NewArchive
from tests.model.machine import ArchiveMachine

#: Another one with each run; a failure shows it, and the blob with which it is reproduced.
SEED = int(os.environ.get("MODEL_SEED") or random.randrange(1 << 32))


def make_test(machine: type[ArchiveMachine], examples: int, steps: int) -> type[TestCase]:
    test_case = seed(SEED)(machine).TestCase
    test_case.settings = settings(max_examples=examples, stateful_step_count=steps, deadline=None)
    for mark in (
        pytest.mark.needs("processes"),
        pytest.mark.timeout(900),
        # A crash within this process leaves open what a killed process would leave to the system.
        pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning"),
    ):
        test_case = mark(test_case)
    return test_case


#: As long as those of the long run.  The golden archive has a past, which makes each act slower.
TestNewArchive = make_test(NewArchive, 34, STEPS_PER_RUN)
TestGoldenArchive = make_test(GoldenArchive, 6, STEPS_PER_RUN)


@pytest.fixture(autouse=True)
def _shown_seed() -> None:
    print(f"MODEL_SEED={SEED}")
