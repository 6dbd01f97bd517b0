"""Commands that are killed at a named step, as by a power cut without the loss of what was written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from archiver.store.failpoints import Step
from tests.support.site import Site

HOOK = """\
import os, signal, sys
def hook(event, arguments, left=[{nth}]):
    if event == "archiver.step" and arguments[0] == {step!r}:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from archiver.cli.main import run
run()
"""
CAPTURE = ("run", "--once", "--settle", "0")
#: The steps of every batch of events, from its signature on, in their order.
BATCH_STEPS = (
    Step.HEAD_SIGNED,
    Step.GIT_OBJECTS_WRITTEN,
    Step.GIT_OBJECTS_DURABLE,
    Step.REFS_MOVED,
    Step.REFS_DURABLE,
    Step.INDEX_UPDATED,
)


def run_killed(site: Site, step: Step, *command: str, nth: int = 1) -> int:
    """Run a command, and kill it when it comes to a step for the ``nth`` time; return its exit code."""
    code = HOOK.format(step=step.value, nth=nth)
    line = [sys.executable, "-c", code, "--config", os.fspath(site.config), *(command or CAPTURE)]
    return subprocess.run(line, cwd=site.root, capture_output=True, timeout=60).returncode


def killed_at(site: Site, step: Step, *command: str, nth: int = 1) -> None:
    """As :func:`run_killed`, for a command that does come to the step."""
    assert run_killed(site, step, *command, nth=nth) == -signal.SIGKILL, step
