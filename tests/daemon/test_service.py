"""Manners of a service: readiness, reload, the end, figures, logs, the unit."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from archiver import clock
from archiver.config.loader import load_config
from archiver.daemon import unit
from tests.support.site import CHECKOUT, COMMAND, Site, free_port, wait_until


def set_metrics(site: Site, **settings: str) -> None:
    site.configure(metrics=settings)


def test_systemd_is_told_of_start_life_reload_and_end(site: Site, tmp_path: Path) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(os.fspath(address))
        manager.settimeout(20)
        env = {**os.environ, "NOTIFY_SOCKET": os.fspath(address), "WATCHDOG_USEC": "500000"}
        daemon = subprocess.Popen([COMMAND, "--config", site.config, "run"], env=env, stdout=subprocess.DEVNULL)

        def hear(word: str) -> str:
            while True:
                text = manager.recv(4096).decode()
                if word in text:
                    return text

        assert "READY=1" in hear("READY")
        for _ in range(3):
            hear("WATCHDOG=1")
        daemon.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in hear("RELOADING=1")
        hear("READY=1")
        daemon.terminate()
        hear("STOPPING=1")
        assert daemon.wait(timeout=10) == 0


def test_a_good_configuration_is_taken_in_and_a_bad_one_refused(site: Site) -> None:
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.json("status")["daemon"])
    site.write("f/s/a.skip", "1")
    site.write("f/s/b", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    good = site.config.read_text(encoding="utf-8")
    site.set("watch", "ignore", '["*.skip"]')
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: {s["path"] for s in site.json("status")["skipped"]} == {"f/s/a.skip"})
    site.config.write_text(good.replace("years = 3", "years = 2"), encoding="utf-8")
    daemon.send_signal(signal.SIGHUP)
    time.sleep(1)
    site.config.write_text(good.replace(str(site.archive), str(site.root / "other")), encoding="utf-8")
    daemon.send_signal(signal.SIGHUP)
    time.sleep(1)
    # The archive was not made for it: with these settings no daemon would start.
    site.config.write_text(
        good.replace('layout = "{filing}/{submission}"', 'layout = "{filing}"'), encoding="utf-8"
    )
    daemon.send_signal(signal.SIGHUP)
    time.sleep(1)
    site.config.write_text(good, encoding="utf-8")
    site.write("f/s/c", "1")
    # The file that was ignored for a while was never deleted, so this is the second version.
    wait_until(lambda: "f/s/v2" in site.tags())
    daemon.terminate()
    out, _ = daemon.communicate(timeout=10)
    assert daemon.returncode == 0
    assert "Reloaded the configuration file" in out
    assert "must be retained for at least 3 years" in out
    assert "archive.path cannot change" in out
    assert "this archive was created with {filing}/{submission}" in out
    assert out.count("The previous one remains in force") == 1, "the same trouble is told once a minute"
    assert not (site.root / "other").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_comes_within_ten_seconds_of_a_huge_file(site: Site, number: int) -> None:
    with open(site.write("f/s/huge", b""), "wb") as stream:
        stream.truncate(200 << 30)
    daemon = site.start("--settle", "0")
    wait_until(lambda: any((site.archive / "spool").glob("tmp*")))
    time.sleep(1)
    started = time.monotonic()
    daemon.send_signal(number)
    out, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, out
    assert time.monotonic() - started < 10
    assert list((site.archive / "spool").glob("tmp*")) == []
    assert site.tags() == []


def test_figures_for_prometheus(site: Site, tmp_path: Path) -> None:
    port = free_port()
    textfile = tmp_path / "archiver.prom"
    set_metrics(site, textfile=os.fspath(textfile), listen=f"127.0.0.1:{port}")
    site.write("f/s/a", "12345")
    site.write("f/s/b", "12345")
    (site.watch / "f/s/link").symlink_to("a")
    daemon = site.start("--settle", "0.2")

    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            return str(answer.read().decode())

    wait_until(lambda: textfile.exists() and "archiver_versions 1.0" in textfile.read_text())
    text = read()
    for line in ("archiver_versions 1.0", "archiver_bytes 5.0", "archiver_pending 0.0", "archiver_skipped 1.0"):
        assert line in text
    assert 'archiver_watching{mode="events"} 1.0' in text
    assert abs(float(text.split("\narchiver_last_scan ")[1].split()[0]) - clock.wall_time_ns() / 1e9) < 60
    os.rename(site.watch, site.root / "away")
    wait_until(lambda: 'archiver_problems_total{kind="folder"} 1.0' in read())
    os.rename(site.root / "away", site.watch)
    daemon.terminate()
    assert daemon.wait(timeout=10) == 0
    assert daemon.stdout is not None
    daemon.stdout.close()


def test_figures_that_cannot_be_written_keep_nothing_from_being_archived(site: Site) -> None:
    set_metrics(site, textfile=os.fspath(site.root / "nowhere" / "archiver.prom"))
    daemon = site.start("--settle", "0.2")
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    # Longer than the figures' period: the daemon must not be started anew each time.
    time.sleep(6)
    daemon.terminate()
    out, _ = daemon.communicate(timeout=10)
    assert daemon.returncode == 0, out
    assert "nowhere" in out
    assert out.count("Watching") == 1


@pytest.mark.parametrize("listen", ["0.0.0.0:9750", "127.0.0.1", "127.0.0.1:99999", "host:80", ":80"])
def test_figures_are_shown_to_this_machine_only(site: Site, listen: str) -> None:
    set_metrics(site, listen=listen)
    assert "loopback" in site.run("run", "--once", code=3).stderr


def test_a_log_for_machines(site: Site) -> None:
    site.write("f/s/a", "1")
    site.write("f/s/材料\n", "1").chmod(0o644)
    out = site.run("run", "--once", "--settle", "0", "--log", "json").stdout
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["level"] for line in lines] == ["info", "info"]
    assert lines[0]["tag"] == "f/s/v1"
    assert lines[0]["kind"] is None
    assert lines[0]["at"].endswith("Z")
    assert "Captured f/s/v1" in lines[0]["message"]


def check_unit(unit: Path) -> None:
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True)
    # It also reads the units of the system, and has its opinion of those.
    ours = [
        line for line in done.stderr.splitlines() if not line.startswith(("/usr/lib/systemd/", "/lib/systemd/"))
    ]
    assert (done.returncode, ours) == (0, [])


@pytest.mark.needs("systemd-analyze")
def test_the_unit_is_what_systemd_wants(site: Site, tmp_path: Path) -> None:
    text = site.run("service", "install", "--print").stdout
    (tmp_path / "archiver.service").write_text(text)
    check_unit(tmp_path / "archiver.service")
    for line in ("Type=notify", "ProtectSystem=strict", f"ReadOnlyPaths=-{site.watch}", "WatchdogSec="):
        assert line in text
    assert f"ReadWritePaths={site.archive}\n" in text


@pytest.mark.needs("systemd-analyze")
def test_the_unit_with_awkward_names(tmp_path: Path) -> None:
    site = Site(tmp_path / '备案 100% $HOME "x"').init()
    set_metrics(site, textfile=os.fspath(tmp_path / "metrics" / "a.prom"))
    text = site.run("service", "install", "--print").stdout
    (tmp_path / "archiver.service").write_text(text)
    check_unit(tmp_path / "archiver.service")
    assert str(tmp_path / "metrics") in text


@pytest.mark.needs("root")
def test_service_install_says_what_is_missing(site: Site, tmp_path: Path) -> None:
    target = tmp_path / "archiver.service"
    assert "useradd" in site.run("service", "install", "--user", "nobody-knows", "--to", target, code=2).stderr
    assert "chown" in site.run("service", "install", "--user", "nobody", "--to", target, code=2).stderr
    assert not target.exists()
    for path in [site.archive, *site.archive.rglob("*")]:
        shutil.chown(path, "nobody")
    out = site.run("service", "install", "--user", "nobody", "--to", target).stdout
    assert "systemctl enable --now archiver" in out
    assert "User=nobody" in target.read_text()
    site.run("service", "install", "--user", "nobody", "--to", tmp_path / "none" / "x", code=8)


def test_the_unit_in_deploy_is_the_rendered_one() -> None:
    text = unit.render_unit(
        Path("/opt/archiver/bin/archiver"),
        Path("/etc/archiver/archiver.toml"),
        Path("/var/lib/archiver"),
        Path("/srv/filings"),
        "archiver",
        [],
    )
    assert (CHECKOUT / "deploy" / "archiver.service").read_text(encoding="utf-8") == text


def test_the_archive_may_vanish_and_return(site: Site) -> None:
    """Nothing is written into the empty mount point, and the work goes on by itself."""
    daemon = site.start("--settle", "0.2")
    site.write("f/s/a", "1")
    wait_until(lambda: site.tags() == ["f/s/v1"])
    os.rename(site.archive, site.root / "away")
    site.archive.mkdir()
    site.write("f/s/a", "2")
    time.sleep(3)
    assert daemon.poll() is None
    assert list(site.archive.iterdir()) == []
    site.archive.rmdir()
    os.rename(site.root / "away", site.archive)
    wait_until(lambda: site.tags() == ["f/s/v2", "f/s/v1"])
    daemon.terminate()
    out, _ = daemon.communicate(timeout=10)
    assert daemon.returncode == 0, out
    assert "Waiting for its volume to be mounted" in out
    site.verified()


def test_the_configuration_is_validated(site: Site) -> None:
    text = site.config.read_text(encoding="utf-8")
    for bad in (
        '[filings."f"]\nmin_version_interval_minutes = -1',
        '[filings."f"]\nmin_version_interval = 1',
        "[filings]\nf = 1",
        '[metrics]\ntextfile = "x"',
        "[metrics]\nlisten = 9",
    ):
        site.config.write_text(f"{text}\n{bad}\n", encoding="utf-8")
        site.run("status", code=3)
    site.config.write_text(text, encoding="utf-8")
    site.configure(filings={"推荐": {"min_version_interval_minutes": 1.5}})
    settings = load_config(site.config)
    assert settings.min_version_interval_seconds("推荐".encode()) == 90
    assert settings.min_version_interval_seconds(b"other") == 0


def test_starts_that_fail_leave_nothing_open(site: Site) -> None:
    """A folder in the place of the daemon's lock: every second another daemon is made, and cannot start."""
    site.write("f/s/a", "1")
    daemon = site.start("--settle", "0.2")

    def open_states() -> int:
        names = []
        for path in Path(f"/proc/{daemon.pid}/fd").iterdir():
            # The daemon closes others meanwhile.
            with suppress(FileNotFoundError):
                names.append(path.readlink().name)
        return names.count("state.db")

    wait_until(lambda: site.tags() == ["f/s/v1"])
    assert open_states() == 1
    (site.archive / "daemon.lock").unlink()
    (site.archive / "daemon.lock").mkdir()
    daemon.send_signal(signal.SIGHUP)
    wait_until(lambda: "daemon.lock" in str(site.json("status")["last_problem"]))
    time.sleep(4)
    assert open_states() <= 1
    (site.archive / "daemon.lock").rmdir()
    site.write("f/s/a", "2")
    wait_until(lambda: len(site.tags()) == 2)
    daemon.terminate()
    out, _ = daemon.communicate(timeout=20)
    assert daemon.returncode == 0, out
