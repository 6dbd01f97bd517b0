"""While nothing changes, the service writes nothing to the archive's disk, which can sleep."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.support.site import Site, wait_until

#: Scans and probes follow each other as fast as a test needs it.
CODE = """\
import archiver.intake.folder.probe_schedule as c; c.PERIOD_SECONDS = 0.3
import archiver.daemon.capture_loop as d; d._LONGEST_PAUSE_SECONDS = 0.1
from archiver.cli.main import run; run()
"""


def state(site: Site) -> dict[str, tuple[int, int, int]]:
    """Size and times of everything in the archive: whatever is written changes one of them."""
    found = {}
    for folder, _, names in os.walk(site.archive):
        for path in (folder, *(os.path.join(folder, name) for name in names)):
            status = os.lstat(path)
            found[path] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


@pytest.mark.parametrize("skipped", [False, True])
def test_an_idle_service_writes_nothing(site: Site, skipped: bool) -> None:
    site.set("watch", "scan_minutes", 0.01)
    site.write("f/s/a", "1")
    if skipped:
        site.write("f/s/~$open.docx", "left out with a reason")
        (site.watch / "f/s/link").symlink_to("a")
    daemon = subprocess.Popen(
        [sys.executable, "-c", CODE, "--config", site.config, "run", "--settle", "0.2"], stdout=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: site.tags() == ["f/s/v1"] and site.json("status")["pending"] == [])
        first_scan = site.json("status")["last_scan"]
        wait_until(lambda: site.json("status")["last_scan"] > first_scan)
        scan_before = site.json("status")["last_scan"]
        time.sleep(1)
        before = state(site)
        time.sleep(4)
        assert state(site) == before
        assert site.json("status")["last_scan"] > scan_before, "it has looked in between"
    finally:
        daemon.terminate()
        assert daemon.wait(timeout=20) == 0
    ended_with = site.json("status")["last_scan"]
    assert ended_with >= scan_before
