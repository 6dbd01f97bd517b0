"""Clocks that lie, through the installed command: nothing becomes disposable early."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from archiver import clock
from archiver.evidence.request_timestamp import read_authority_certificates
from archiver.store.archive import Archive
from archiver.store.events.attached_files import TOKEN_FILE
from archiver.store.events.evidence_events import TimestampReceived
from archiver.store.writing.drafts import Draft
from archiver.verify import rfc3161
from tests.support import faketime
from tests.support.authority import Authority
from tests.support.journal_model import sha256
from tests.support.site import CHECKOUT, COMMAND, Site, run_forked

TEN_YEARS = 3653


@pytest.fixture
def ended(site: Site) -> Site:
    """An archive in which only time keeps v1."""
    site.write("f/s/a", "1")
    site.catch_up()
    site.write("f/s/a", "2")
    site.catch_up()
    site.run("filing", "end", "f", "--on", "2026-01-01", "--reason", "closed")
    return site


def attack(site: Site, *arguments: object, code: int, prefix: tuple[str, ...] = (), env: Any = None) -> str:
    done = subprocess.run(
        [*prefix, COMMAND, "--config", site.config, *arguments],
        env=env,
        capture_output=True,
        text=True,
        cwd=site.root,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def show(what: str, site: Site) -> datetime:
    """Print the compliance clock beside the system clock, as the issue asks."""
    compliance = site.json("status")["clock"]["time"]
    print(f"{what:40} system {clock.read_clocks().wall.isoformat(timespec='seconds')}  compliance {compliance}")
    return datetime.fromisoformat(compliance)


def test_the_wall_clock_ten_years_ahead_and_back(ended: Site) -> None:
    before = show("before", ended)
    for days in (TEN_YEARS, -TEN_YEARS):
        env = faketime.at(days)
        assert "is retained at least through" in attack(ended, "dispose", "plan", code=4, env=env)
        attack(ended, "checkpoint", code=0, env=env)
        assert "is retained at least through" in attack(ended, "dispose", "plan", code=4, env=env)
        status = json.loads(attack(ended, "status", "--json", code=0, env=env))
        print(f"wall clock {days:+} days", status["clock"])
        assert abs(datetime.fromisoformat(status["clock"]["time"]) - before) < timedelta(minutes=5)
        if days > 0:
            assert status["clock"]["ahead_seconds"] > 0.9 * days * 86400
    attack(ended, "dispose", "plan", code=4)
    assert show("after", ended) - before < timedelta(minutes=5)
    ended.verified()


@pytest.mark.needs("root", "time namespace")
@pytest.mark.parametrize("days", [0, TEN_YEARS])
def test_the_boot_clock_shifted_by_a_time_namespace(ended: Site, days: int) -> None:
    before = show("before", ended)
    seconds = str(TEN_YEARS * 86400)
    inside = ("unshare", "-T", "--boottime", seconds, "--monotonic", seconds, "--fork")
    env = faketime.at(days) if days else None
    for arguments, code in ((["dispose", "plan"], 4), (["checkpoint"], 0), (["dispose", "plan"], 4)):
        attack(ended, *arguments, code=code, prefix=inside, env=env)
    assert show("after", ended) - before < timedelta(minutes=5)
    assert "f/s/v1: retained at least through" in ended.run("explain", "f/s/v1").stdout
    ended.verified()


def test_a_clock_file_has_no_say(ended: Site) -> None:
    """There is none: the newest event is the clock's only state (ADR 0004)."""
    before = show("before", ended)
    for text in ("", "9999-12-31T00:00:00Z", '{"time": "2099-01-01T00:00:00.000000Z"}'):
        (ended.archive / "clock").write_text(text)
        ended.run("dispose", "plan", code=4)
    (ended.archive / "clock").unlink()
    ended.run("dispose", "plan", code=4)
    assert show("after", ended) - before < timedelta(minutes=5)


def test_an_older_copy_of_the_archive(ended: Site) -> None:
    shutil.copytree(ended.archive, ended.root / "copy", symlinks=True)
    line = ended.run("checkpoint", "--print").stdout.strip()
    before = show("before", ended)
    shutil.rmtree(ended.archive)
    (ended.root / "copy").rename(ended.archive)
    ended.run("dispose", "plan", code=4)
    assert show("after", ended) - before < timedelta(minutes=5)
    ended.verified()
    assert "A046" in ended.run("verify", "--since", line, code=5).stdout


def later(site: Site, when: str, *arguments: object, code: int = 0) -> str:
    words = ["--config", os.fspath(site.config), *map(str, arguments)]
    done = run_forked([COMMAND, *words], CHECKOUT, None, dict(os.environ), when) or subprocess.run(
        [sys.executable, "-m", "tests.support.later", when, *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_switched_off_or_moved_to_another_machine_for_ten_years(ended: Site) -> None:
    before = show("before", ended)
    there = f"{TEN_YEARS}/another-machine"
    later(ended, there, "dispose", "plan", code=4)
    status = json.loads(later(ended, there, "status", "--json"))
    print("another machine, ten years on", status["clock"])
    assert datetime.fromisoformat(status["clock"]["time"]) - before < timedelta(minutes=5)
    assert status["clock"]["off_seconds"] > 0.99 * TEN_YEARS * 86400
    assert "archiver checkpoint" in later(ended, there, "status")
    later(ended, f"{2 * TEN_YEARS}/a-third-one", "dispose", "plan", code=4)
    ended.verified()


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    authority = Authority(tmp_path / "authority")
    yield authority
    authority.close()


@pytest.fixture
def stamped(bare_site: Site, authority: Authority) -> Site:
    bare_site.init("--tsa-url", authority.url, "--tsa-root", str(authority.root))
    bare_site.write("f/s/a", "1")
    bare_site.catch_up()
    return bare_site


@pytest.mark.needs("openssl")
def test_a_token_catches_up_and_moves_the_anchors_with_it(stamped: Site, authority: Authority) -> None:
    """Two years off, a version, a token: three years are counted from the token, not from the lagging clock."""
    authority.days = 731
    there = "731/second-boot"
    stamped.write("f/s/a", "2")
    later(stamped, there, "run", "--once", "--settle", "0.05")
    lagging = {v["tag"]: v["keep_until"][:4] for v in json.loads(later(stamped, there, "log", "--json"))}
    assert "Timestamp: " in later(stamped, there, "checkpoint")
    proven = {v["tag"]: v["keep_until"][:4] for v in json.loads(later(stamped, there, "log", "--json"))}
    assert {tag: int(year) - int(lagging[tag]) for tag, year in proven.items()} == {"f/s/v1": 2, "f/s/v2": 2}
    status = json.loads(later(stamped, there, "status", "--json"))["clock"]
    assert status["lag_seconds"] < 60
    assert status["off_seconds"] == 0
    stamped.verified()
    # A stranger checks the token by the command that the package prints.
    stamped.run("audit", "--to", "package")
    text = (stamped.root / "package/README.txt").read_text("utf-8")
    how_to_check_tokens = text.partition("timestamp tokens (N")[2].splitlines()
    commands = " && ".join([line.strip() for line in how_to_check_tokens if line.startswith("    ")][:2])
    bodies = (stamped.root / "package/data/bodies.jsonl").read_text("utf-8").splitlines()
    seq, token = next((n, json.loads(line)) for n, line in enumerate(bodies, 1) if '"action":"timestamp"' in line)
    commands = commands.replace(":M,", f":{token['details']['seq']},").replace("/N/", f"/{seq}/")
    done = subprocess.run(["bash", "-c", commands], cwd=stamped.root / "package", capture_output=True, text=True)
    assert "Verification: OK" in done.stdout + done.stderr, done
    # On the wrong machine of today the clock is ahead of everything, and stays.
    assert show("after", stamped) > clock.read_clocks().wall + timedelta(days=700)


@pytest.mark.needs("openssl")
def test_an_authority_that_is_down_delays_the_token_only(stamped: Site, authority: Authority) -> None:
    authority.broken = True
    done = stamped.run("checkpoint")
    assert "archiver-witness" in done.stdout
    assert "returned no token" in done.stderr
    stamped.run("submit", "f/s", "--on", "2026-01-01")
    assert stamped.json("status")["clock"]["last_token"] is None
    authority.broken = False
    daemon = stamped.start("--settle", "0.2")
    from tests.support.site import wait_until

    wait_until(lambda: stamped.json("status")["clock"]["last_token"])
    daemon.terminate()
    assert daemon.wait(20) == 0
    daemon.stdout and daemon.stdout.close()
    stamped.verified()


@pytest.mark.needs("openssl")
def test_a_token_of_another_authority_is_not_taken(stamped: Site, tmp_path: Path) -> None:
    other = Authority(tmp_path / "other")
    other.days = TEN_YEARS
    stamped.set("timestamp", "url", json.dumps(other.url))
    events = stamped.git("rev-list", "--count", "journal").stdout
    assert "cannot be trusted" in stamped.run("checkpoint").stderr
    other.close()
    assert int(stamped.git("rev-list", "--count", "journal").stdout) == int(events) + 1
    assert show("after", stamped) < clock.read_clocks().wall + timedelta(minutes=1)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("fake", ["authority", "claim"])
def test_a_forged_token_event_is_found(stamped: Site, tmp_path: Path, fake: str) -> None:
    """Whoever owns the archive can write the event; the pinned root tells."""
    other = Authority(tmp_path / "other")
    if fake == "authority":
        other.days = TEN_YEARS
    else:
        shutil.copytree(tmp_path / "authority", other.folder, dirs_exist_ok=True)
        (other.folder / "tsa.cnf").write_text(
            (other.folder / "tsa.cnf").read_text().replace("/authority", "/other")
        )
    with closing(stamped.open()) as archive:
        newest = archive.head_history.newest_signed_head()
        assert newest is not None
        token = rfc3161.request_token(other.url, newest.data)
        claimed = clock.read_clocks().wall + timedelta(days=TEN_YEARS)
        journal_token(archive, token, claimed, newest.head.last, sha256(newest.data))
    other.close()
    assert {each["code"] for each in stamped.findings()} == {"A047"}


def journal_token(archive: Archive, token: bytes, claimed: datetime, seq: int, head: str) -> None:
    """Write the event of a token, as somebody does who leaves out every check."""
    details = TimestampReceived(
        seq=seq, head=head, time=clock.format_time(claimed), authority="http://tsa.example"
    )
    with archive.writing(5) as writer:
        writer.append(Draft("clock", details, {TOKEN_FILE: io.BytesIO(token)}, proven=claimed))


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("claim", ["the newest head", "another digest"])
def test_a_token_over_another_head_than_it_is_journalled_for_is_found(
    stamped: Site, authority: Authority, claim: str
) -> None:
    """It would vouch for events that were written after it."""
    with closing(stamped.open()) as archive:
        newest, *_, oldest = archive.head_history.signed_heads()
        token = rfc3161.request_token(authority.url, oldest.data)
        roots = read_authority_certificates(archive)
        proven = rfc3161.verify_token(token, oldest.data, roots)
        if claim == "the newest head":
            journal_token(archive, token, proven, newest.head.last, sha256(newest.data))
        else:
            journal_token(archive, token, proven, oldest.head.last, sha256(newest.data))
    assert {each["code"] for each in stamped.findings()} == {"A047"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["--tsa-url", "ftp://127.0.0.1/", "--tsa-root", "root.pem"],
        ["--tsa-url", "http://127.0.0.1/"],
        ["--tsa-root", "root.pem"],
        ["--tsa-url", "http://127.0.0.1/", "--tsa-root", "none.pem"],
    ],
)
def test_half_an_authority_is_refused(bare_site: Site, arguments: list[str]) -> None:
    (bare_site.root / "root.pem").write_text("not a certificate\n")
    bare_site.run("init", "--archive", bare_site.archive, "--watch", bare_site.watch, *arguments, code=2)
    assert not bare_site.archive.exists()
    assert not os.path.exists(bare_site.config)
