"""What archiving can do without: it fails alone, says so, and comes back by itself."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from archiver.daemon.failures import FailureReporter
from archiver.daemon.log import Log
from archiver.errors import LazyMessage, message_from
from tests.daemon.test_service import set_metrics
from tests.support.site import COMMAND, Site, free_port, listens, wait_until


@contextmanager
def running(site: Site) -> Iterator[list[str]]:
    """A daemon that archives what comes; what it told is in the list once it has ended well."""
    told: list[str] = []
    daemon = site.start("--settle", "0.2")
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    try:
        yield told
    finally:
        daemon.terminate()
        out, _ = daemon.communicate(timeout=30)
        told.append(out)
    assert daemon.returncode == 0, out
    assert "Traceback" not in out
    assert out.count("Watching") == 1, "the daemon was started anew"


def goes_on(site: Site) -> None:
    site.write("f/s/a", "2")
    wait_until(lambda: len(site.tags()) == 2)


def last_problem(site: Site) -> str:
    return str((site.json("status")["last_problem"] or {}).get("message"))


def test_a_port_that_is_taken_is_served_once_it_is_free(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        set_metrics(site, listen=address)
        with running(site) as told:
            wait_until(
                lambda: f"Cannot provide metrics.listen {address} (Address already in use)" in last_problem(site)
            )
            goes_on(site)
            other.close()

            def read() -> str:
                with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
                    return str(answer.read().decode())

            wait_until(lambda: listens(int(address.split(":")[1])), 15)
            wait_until(lambda: 'archiver_problems_total{kind="metrics"}' in read(), 15)
    assert told[0].count("Cannot provide metrics.listen") == 1
    assert "Available again: metrics.listen." in told[0]


def test_a_missing_folder_for_the_figures_is_used_once_it_is_there(site: Site) -> None:
    textfile = site.root / "nowhere" / "archiver.prom"
    port = free_port()
    set_metrics(site, textfile=os.fspath(textfile), listen=f"127.0.0.1:{port}")
    with running(site) as told:
        wait_until(
            lambda: f"Cannot provide metrics.textfile {textfile} (No such file or directory)" in last_problem(site)
        )
        # The one does not wait for the other.
        assert listens(port)
        textfile.parent.mkdir()
        wait_until(textfile.exists, 15)
        goes_on(site)
    assert told[0].count("Cannot provide metrics.textfile") == 1
    assert "Available again: metrics.textfile." in told[0]


def test_the_unit_starts_without_the_folder_for_the_figures(site: Site) -> None:
    set_metrics(site, textfile=os.fspath(site.root / "nowhere" / "archiver.prom"))
    unit = site.run("service", "install", "--print").stdout
    assert f"ReadWritePaths={site.archive} -{site.root}/nowhere\n" in unit


def test_a_socket_that_cannot_be_made_is_made_once_it_can(site: Site) -> None:
    (site.archive / "socket").mkdir()
    with running(site) as told:
        wait_until(lambda: "Cannot provide socket " in last_problem(site))
        goes_on(site)
        (site.archive / "socket").rmdir()
        wait_until((site.archive / "socket").is_socket, 15)
        # Nor need it be the one that was made at the start.
        (site.archive / "socket").unlink()
        wait_until((site.archive / "socket").is_socket, 15)
        with socket.socket(socket.AF_UNIX) as caller:
            os.chdir(site.archive)
            caller.connect("socket")
    assert "Available again: socket." in told[0]
    assert not (site.archive / "socket").exists()


@pytest.mark.parametrize("trouble", ["at the start", "while it runs"])
def test_without_a_canary_events_are_believed(site: Site, trouble: str) -> None:
    site.run("status")
    canary = site.archive / "canary"
    if trouble == "at the start":
        canary.write_text("something else")
    code = (
        "import archiver.intake.folder.probe_schedule as c; c.PERIOD_SECONDS = 1.0\n"
        "import archiver.intake.folder.volatile_folder as v; v._MEMORY_FOLDER = '/nonexistent'\n"
        "from archiver.cli.main import run; run()"
    )
    daemon = subprocess.Popen(
        [sys.executable, "-c", code, "--config", site.config, "run", "--settle", "0.2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    if trouble == "while it runs":
        shutil.rmtree(canary)
        canary.write_text("something else")
    wait_until(lambda: "Cannot test the kernel notifications in" in last_problem(site))
    goes_on(site)
    canary.unlink()
    wait_until((canary / "beat").exists)
    # A beat that was on its way when its folder went makes the watch deaf, until the next one is heard.
    wait_until(lambda: site.json("status")["watching"] == "watched by kernel notifications and scans", 40)
    daemon.terminate()
    out, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, out


def test_without_a_key_everything_is_archived_unsigned(site: Site) -> None:
    key = site.archive / "keys" / "signing_key"
    kept = key.read_bytes()
    key.write_bytes(b"damaged")
    site.set("watch", "scan_minutes", 0.02)
    with running(site):
        wait_until(lambda: "Cannot use the signing key" in last_problem(site))
        goes_on(site)
        assert "the archive cannot be signed" in site.run("status", "--check", code=9).stderr
        key.write_bytes(kept)
        wait_until(lambda: site.json("status")["last_checkpoint"] is not None)
        wait_until(lambda: site.json("status")["unsigned_since"] is None)
    site.verified()


def test_what_git_refused_cannot_be_read_and_nothing_stops(site: Site) -> None:
    """Left by a hook that root ran, under a mask that shuts the service out."""
    (site.archive / "spool" / "refused").mkdir()
    with running(site):
        wait_until(lambda: "Is a directory" in last_problem(site))
        goes_on(site)


@pytest.mark.parametrize("how", ["jobs", "replication"])
def test_what_is_done_beside_the_work_may_fail_in_any_way(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(logs))
    broken = "def broken(self, archive): raise RuntimeError('no more threads')"
    method = {"jobs": "JobRunner.start_due_job", "replication": "Replication.start_if_due"}[how]
    code = f"import archiver.daemon.{how} as m\n{broken}\nm.{method} = broken\nfrom archiver.cli.main import run; run()"
    daemon = subprocess.Popen(
        [sys.executable, "-c", code, "--config", site.config, "run", "--settle", "0.2"], stderr=subprocess.DEVNULL
    )
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    wait_until(lambda: "An unexpected error occurred." in last_problem(site))
    # It fails at every turn, and has one log all the same.
    (log,) = logs.glob("archiver-error-*.log")
    assert "no more threads" in log.read_text()
    daemon.terminate()
    assert daemon.wait(20) == 0


@pytest.mark.parametrize("log", ["a pipe nobody reads", "/dev/full"])
def test_a_log_that_takes_nothing_stops_nothing(site: Site, log: str) -> None:
    if log == "/dev/full":
        out = os.open(log, os.O_WRONLY)
    else:
        reading, out = os.pipe()
        os.close(reading)
    daemon = subprocess.Popen([COMMAND, "--config", site.config, "run", "--settle", "0.2"], stdout=out, stderr=out)
    os.close(out)
    site.write("f/s/a", "1")
    (site.watch / "f/s/link").symlink_to("a")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    shutil.move(site.watch, site.root / "away")
    wait_until(lambda: "lines of the log were not written" in last_problem(site))
    shutil.move(site.root / "away", site.watch)
    goes_on(site)
    daemon.terminate()
    daemon.wait(20)


@pytest.mark.parametrize("log", ["| true", "> /dev/full", ">&-"])
def test_nor_does_it_stop_catching_up(site: Site, log: str) -> None:
    for filing in "abcdef":
        site.write(f"{filing}/s/a", "1")
    line = f"{COMMAND} --config {site.config} run --once --settle 0 {log}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True)
    assert "nexpected" not in done.stderr
    assert len(site.tags()) == 6


def test_the_log_tells_how_much_of_it_is_missing() -> None:
    told: list[str] = []
    full = True

    def tell(template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        if full:
            raise OSError(28, "No space left on device")
        told.append(str(message_from(template, fields)))

    log = Log(tell)
    log("one")
    log("two")
    full = False
    log("three")
    log("four")
    assert [each.partition(". ")[0] for each in told] == [
        "three",
        "2 lines of the log were not written",
        "four",
    ]


@pytest.mark.needs("root")
def test_an_unreadable_file_of_targets_stops_nothing(site: Site, tmp_path: Path) -> None:
    site.configure(reminders={"hour": 0, "targets": "nowhere.toml"})
    with running(site):
        wait_until(lambda: "Cannot read the file with reminder addresses" in last_problem(site))
        goes_on(site)


@pytest.mark.parametrize("has_room", [True, False])
def test_a_fault_that_comes_again_has_one_crash_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_room: bool
) -> None:
    """Side jobs try again for as long as the daemon runs, and a log each would fill the folder."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path if has_room else tmp_path / "missing"))
    told: list[str] = []

    def tell(template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        told.append(f"{problem}: {message_from(template, fields)}")

    failures = FailureReporter(tell, Path("/the/archive"))
    for divisor in (0, 0):
        try:
            1 / divisor
        except ZeroDivisionError as error:
            failures.report_failure(error, "drill")
    assert told[0] == told[1]
    if has_room:
        (log,) = tmp_path.iterdir()
        assert f"The details are in {log}" in told[0]
    else:
        assert told[0].startswith("drill: /the/archive: division by zero.")
