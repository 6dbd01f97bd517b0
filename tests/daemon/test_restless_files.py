"""Files that are written without pause: each maximum delay ends with a version, until somebody is told."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from archiver.intake.snapshot import Snapshot
from archiver.intake.timing.restless_files import RestlessFiles, read_restless_files
from tests.support.site import Site, wait_until

LOG = "f/s/service.log"


@pytest.mark.needs("processes")
@pytest.mark.parametrize("is_open", [True, False], ids=["kept open", "opened for each line"])
def test_a_file_that_is_written_without_pause_raises_an_alarm_that_ends_with_the_writing(
    site: Site, is_open: bool
) -> None:
    site.set("watch", "maximum_delay_seconds", 2)
    daemon = site.start("--settle", "1.5")
    site.write("f/s/a", "1")
    path, stop = site.write(LOG, "begin"), threading.Event()

    def write_lines() -> None:
        with open(path, "a") as log:
            while not stop.is_set():
                if is_open:
                    log.write("line\n")
                    log.flush()
                else:
                    with open(path, "a") as opened:
                        opened.write("line\n")
                    log.close()
                time.sleep(0.1)

    writer = threading.Thread(target=write_lines)
    writer.start()
    try:
        wait_until(lambda: site.json("status")["restless"], 60)
        status = site.json("status")
        assert LOG in site.run("status", "--check", code=9).stderr
    finally:
        stop.set()
        writer.join()
    assert status["restless"] == [LOG]
    assert "status.restless-files" in status["problem_codes"]
    assert 3 <= len(site.tags()) <= 6
    wait_until(lambda: not site.json("status")["restless"])
    assert "status.restless-files" not in site.json("status")["problem_codes"]
    daemon.terminate()
    daemon.communicate(timeout=20)
    assert daemon.returncode == 0
    site.verified()


def test_only_versions_in_a_row_count(tmp_path: Path) -> None:
    path = b"\xff/a"
    with closing(Snapshot(tmp_path / "state.db")) as snapshot:
        files = RestlessFiles(snapshot, maximum_seconds=300)

        def version(*unsettled: set[bytes], now: float = 0) -> list[bytes]:
            for paths in unsettled:
                files.note_attempt("g", frozenset(paths))
                files.note_version("g", [path, b"other"], now)
            return read_restless_files(snapshot)

        assert version({path}, {path}, set(), {path}, {path}) == []
        assert version({path}) == [path]
        files.note_version("g", [b"other"], 0)
        assert read_restless_files(snapshot) == [path]
        assert version(set()) == []
        assert version({path}, {path}, {path}) == [path]
        # A later start knows nothing of it, and drops what is stored when it begins to work.
        later = RestlessFiles(snapshot, maximum_seconds=300)
        assert read_restless_files(snapshot) == [path]
        later.expire(0)
        assert read_restless_files(snapshot) == []
        for stored in ("{", "3", json.dumps([1])):
            snapshot.set_meta("restless", stored)
            assert read_restless_files(snapshot) == []


def test_a_file_without_a_version_for_long_is_at_rest(tmp_path: Path) -> None:
    """It was closed without another change, or is saved once a day and stays open meanwhile."""
    with closing(Snapshot(tmp_path / "state.db")) as snapshot:
        files = RestlessFiles(snapshot, maximum_seconds=300)
        for now in (0, 300, 600):
            files.note_attempt("g", frozenset([b"a"]))
            files.note_version("g", [b"a"], now)
        files.expire(1200)
        assert read_restless_files(snapshot) == [b"a"]
        files.expire(1201)
        assert read_restless_files(snapshot) == []
        for day in range(5):
            now = day * 86400
            files.expire(now)
            files.note_attempt("g", frozenset([b"a"]))
            files.note_version("g", [b"a"], now)
        assert read_restless_files(snapshot) == []
