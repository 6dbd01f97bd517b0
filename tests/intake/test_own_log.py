"""The service's own output in the watched folder: it would cause a version, which would cause a line."""

from __future__ import annotations

import signal
import time

import pytest

from tests.support.site import Site, wait_until

pytestmark = pytest.mark.needs("processes")


def test_a_log_in_the_watched_folder_does_not_feed_itself(site: Site) -> None:
    site.set("watch", "maximum_delay_seconds", 1)
    site.write("f/s/a", "1")
    with open(site.write("f/s/service.log", b""), "a") as log:
        daemon = site.start("--settle", "0.2", output=log)
        wait_until(lambda: "f/s/v1" in site.tags())
        # Under another name it is the same file.
        (site.watch / "f/s/service.log").rename(site.watch / "f/s/service.log.1")
        site.write("f/s/a", "2")
        wait_until(lambda: "f/s/v2" in site.tags())
        time.sleep(3)
        daemon.send_signal(signal.SIGHUP)
        wait_until(lambda: site.json("status")["skipped"])
        assert {item["code"] for item in site.json("status")["skipped"]} == {"path.own-log"}
        daemon.send_signal(signal.SIGINT)
        assert daemon.wait(20) == 0
    assert sorted(site.tags()) == ["f/s/v1", "f/s/v2"]
    assert [each["path"] for each in site.json("show", "f/s/v2")["materials"]] == ["a"]
    site.verified()


def test_the_figures_are_not_written_into_the_watched_folder(site: Site) -> None:
    before = site.config.read_bytes()
    site.configure(metrics={"textfile": str(site.watch / "figures/archiver.prom")})
    refused = site.run("run", "--once", code=3).stderr
    assert "is in the watched folder" in refused
    link = site.root / "elsewhere"
    link.symlink_to(site.watch)
    site.configure(metrics={"textfile": str(link / "archiver.prom")})
    site.run("run", "--once", code=3)
    site.config.write_bytes(before)
    site.run("run", "--once")
