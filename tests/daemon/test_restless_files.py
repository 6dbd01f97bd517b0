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
        files = RestlessFiles(snapshot)

        def version(*unsettled: set[bytes]) -> None:
            for paths in unsettled:
                files.note_attempt("g", frozenset(paths))
                files.note_version("g", [path, b"other"])

        version({path}, {path}, set(), {path}, {path})
        assert read_restless_files(snapshot) == []
        version({path})
        assert read_restless_files(snapshot) == [path]
        files.note_version("g", [b"other"])
        assert read_restless_files(snapshot) == [path]
        version(set())
        assert read_restless_files(snapshot) == []
        version({path}, {path}, {path})
        assert read_restless_files(snapshot) == [path]
        RestlessFiles(snapshot)
        assert read_restless_files(snapshot) == []
        for stored in ("{", "3", json.dumps([1])):
            snapshot.set_meta("restless", stored)
            assert read_restless_files(snapshot) == []
