"""A longer retention in the settings binds only after a person has accepted it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from archiver.actions.context import ActionContext
from archiver.actions.registry import perform_action
from archiver.actions.retention_actions import AcceptRetention, ShowWaitingRetention
from archiver.config.loader import load_config
from archiver.errors import UsageError
from archiver.model import Event
from tests.retention.test_disposal import FOUR_YEARS, Later
from tests.support.other_user import become_user
from tests.support.site import CHECKOUT, COMMAND, Site, open_the_way, wait_until
from tests.test_golden import unpacked

OFFICER, STRANGER, GROUP_ID = 65105, 65106, 65534
PROBLEM = "status.promise-waiting"
CTRL_C, CTRL_D = "\x03", "\x04"


def events(site: Site) -> list[Event]:
    with closing(site.open()) as archive:
        return list(archive.journal.events_since(None))


def promises(site: Site) -> list[Event]:
    return [event for event in events(site) if event.action == "policy"]


def signed_heads(site: Site) -> list[int]:
    """The numbers of the events that end a batch."""
    with_head = [event for event in events(site) if "head.json" in site.git("ls-tree", event.commit).stdout]
    return [event.seq for event in with_head]


def problem_codes(site: Site) -> list[str]:
    return [code for code in site.json("status")["problem_codes"] if code == PROBLEM]


def longer(site: Site) -> None:
    """Let the settings promise more of everything, of a filing, and of a submission."""
    submissions = {"首次": ["cn-archive-30"]}
    site.configure(
        retention={"years": 5, "timezone": "UTC"},
        filings={"推荐": {"profiles": ["eu-ai-act"], "submissions": submissions}},
    )


@pytest.fixture
def captured(site: Site) -> Site:
    """Two versions with a shared content in one filing, one version in another."""
    site.write("推荐/首次/a", "same")
    site.catch_up()
    site.write("推荐/首次/b", "more than that")
    site.catch_up()
    site.write("其他/首次/a", "same")
    site.catch_up()
    return site


# --- what is accepted with the archive


def test_what_stands_in_the_settings_at_init_is_accepted(bare_site: Site) -> None:
    site = bare_site
    site.config.write_text(
        f'[archive]\npath = "{site.archive}"\n[watch]\npath = "{site.watch}"\n[retention]\nyears = 20\n'
        '[filings."推荐"]\nprofiles = ["cn-archive-30"]\n[filings."其他".submissions]\n"首次" = ["cn-archive-permanent"]\n'
        '[filings."短"]\nprofiles = ["sec-17a4"]\n',
        "utf-8",
    )
    site.init()
    found = [(event.action, event.details.get("of_filing")) for event in events(site)]
    assert found == [
        ("init", None),
        ("format", None),
        ("watch-path", None),
        ("policy", None),
        ("policy", "其他"),
        ("policy", "推荐"),
    ]
    everything, of_other, of_filing = promises(site)
    assert everything.chain == "archive"
    assert everything.details["retention_years"] == 20
    assert everything.details["hold_while_live"] is True
    assert "scopes" not in everything.details
    # What the retention of everything covers is no promise.
    assert (of_other.details["scopes"], of_filing.details["scopes"]) == ({"其他/首次": 10_000}, {"推荐": 30})
    assert len({everything.chain, of_other.chain, of_filing.chain}) == 3
    assert signed_heads(site) == [6], "all of that is one batch"
    site.verified()
    assert site.json("retention", "show")["waiting"] == []
    assert problem_codes(site) == []
    before = events(site)
    site.catch_up()
    assert [event.action for event in events(site)[len(before) :]] == ["watch-folder"]
    # Shorter settings change nothing: the first batch has promised.
    site.configure(retention={"years": 3, "hold_while_live": False})
    site.write("推荐/首次/a", "1")
    site.catch_up()
    explained = site.json("explain", "推荐/首次/v1")
    assert int(explained["keep_until"][:4]) >= int(events(site)[0].at[:4]) + 30
    assert explained["open"] == ["the filing is live"]


def test_what_stands_in_the_settings_at_an_adoption_is_accepted(captured: Site, tmp_path: Path) -> None:
    clone = Site(tmp_path / "clone")
    clone.archive.mkdir(parents=True)
    source = os.fspath(captured.repository)
    own_format = ["-c", f"safe.directory={source}", "-c", "init.defaultRefFormat=files"]
    clone_command = ["git", *own_format, "clone", "-q", "--mirror", source, os.fspath(clone.repository)]
    subprocess.run(clone_command, check=True)
    subprocess.run(["cp", "-a", captured.repository / "lfs", captured.archive / "keys", clone.root], check=True)
    (clone.root / "lfs").rename(clone.repository / "lfs")
    (clone.root / "keys").rename(clone.archive / "keys")
    clone.config.write_text(
        f'[archive]\npath = "{clone.archive}"\n[watch]\npath = "{clone.watch}"\n'
        '[retention]\nyears = 5\n[filings."推荐"]\nprofiles = ["cn-archive-30"]\n',
        "utf-8",
    )
    known = len(events(captured))
    clone.init("--adopt")
    # The adoption promises 5 years of everything itself; the promise is one of the filing with it.
    assert [event.action for event in events(clone)[known:]] == ["policy", "policy", "adopt"]
    assert clone.json("retention", "show")["waiting"] == []
    periods = {
        item["scope"]: item["years"] for item in clone.json("retention", "show")["accepted"] if item["years"]
    }
    assert periods == {"": 5, "推荐": 30}
    # Said again, it is complete.
    before = events(clone)
    clone.init("--adopt")
    assert events(clone) == before
    clone.verified()


# --- what waits


def test_the_service_accepts_nothing(captured: Site) -> None:
    site = captured
    before = promises(site)
    assert problem_codes(site) == []
    longer(site)
    output = site.catch_up().stdout
    assert "waits for acceptance" in output
    assert "archiver retention show" in output
    assert promises(site) == before
    # The watch is checked as before; the retention comes with a code.
    status = site.json("status")
    assert PROBLEM in status["problem_codes"]
    assert [(each["kind"], each["scope"], each["years"]) for each in status["waiting_retention"]] == [
        ("period", "", 5),
        ("period", "推荐", 10),
        ("period", "推荐/首次", 30),
        ("time-zone", None, None),
    ]
    checked = site.run("status", "--check", code=9).stderr
    assert "run: archiver retention show" in checked
    assert "待确认" in site.run("--lang", "zh", "status", "--check", code=9).stderr
    site.configure(
        retention={"years": 3, "timezone": "Asia/Shanghai"}, filings={"推荐": {"profiles": [], "submissions": {}}}
    )
    assert problem_codes(site) == []
    assert site.json("status")["waiting_retention"] == []
    assert promises(site) == before


def test_a_running_service_accepts_nothing_at_a_reload(site: Site) -> None:
    """A profile that stood in the settings for four seconds bound for a hundred years."""
    process = site.start("--settle", "0.1", "--log", "json")
    assert process.stdout is not None
    lines = iter(process.stdout.readline, "")
    try:
        wait_until(lambda: site.json("status")["daemon"])
        site.configure(retention={"profiles": ["cn-archive-permanent"]})
        process.send_signal(signal.SIGHUP)
        assert any("waits for acceptance" in line for line in lines)
        site.configure(retention={"profiles": []})
        process.send_signal(signal.SIGHUP)
        site.write("f/s/a", "1")
        wait_until(lambda: site.tags())
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert len(promises(site)) == 1
    assert not site.json("explain", "f/s/v1")["keep_until"].startswith("9999")


# --- accepting


def test_a_person_sees_what_the_acceptance_binds(captured: Site) -> None:
    site = captured
    longer(site)
    shown = site.json("retention", "show")
    year = int(events(site)[0].at[:4])
    found = {each["scope"]: (each["years"], each["versions"], each["bytes"]) for each in shown["waiting"]}
    # A content counts once, in whichever versions it is.
    assert found[""] == (5, 3, len("same") + len("more than that"))
    assert found["推荐"] == (10, 2, len("same") + len("more than that"))
    assert found["推荐/首次"] == (30, 2, len("same") + len("more than that"))
    assert [int(each["retained_through"][:4]) - year for each in shown["waiting"][:3]] == [5, 10, 30]
    assert (shown["longest_years"], shown["needs_years"]) == (30, True)
    refused = site.run("retention", "accept", code=2, stdin="")
    days = [each["retained_through"] for each in shown["waiting"]]
    assert f"everything: 5 years, retained through {days[0]} (3 versions, 18 bytes)" in refused.stdout
    assert f"推荐/首次: 30 years, retained through {days[2]} (2 versions, 18 bytes)" in refused.stdout
    assert "days end in the time zone UTC" in refused.stdout
    chinese = site.run("--lang", "zh", "retention", "accept", code=2, stdin="").stdout
    assert f"推荐/首次：30 年，保存至 {days[2]}（含当日）（版本 2 个，18 字节）" in chinese


def test_a_long_period_needs_its_years_and_nothing_is_recorded_without_them(captured: Site) -> None:
    site = captured
    longer(site)
    before = events(site)
    for arguments, stdin in (([], ""), ([], "30\n"), (["--years", 10], ""), (["--years", 31], ""), (["-q"], "")):
        refused = site.run("retention", "accept", *arguments, code=2, stdin=stdin)
        assert "Nothing was recorded" in refused.stderr
    assert site.run("retention", "accept", "--json", code=2, stdin="").stdout == ""
    assert events(site) == before
    accepted = site.json("retention", "accept", "--years", 30)
    new = events(site)[len(before) :]
    assert accepted["events"] == [event.seq for event in new]
    assert [(event.action, event.details.get("of_filing")) for event in new] == [
        ("policy", None),
        ("policy", "推荐"),
    ]
    assert new[1].details["scopes"] == {"推荐": 10, "推荐/首次": 30}
    assert new[0].details["act"] == new[1].details["act"]
    assert signed_heads(site)[-1] == new[-1].seq
    assert new[0].seq not in signed_heads(site), "one batch"
    assert problem_codes(site) == []
    site.verified()


def test_up_to_ten_years_no_question_is_asked(captured: Site) -> None:
    captured.configure(retention={"profiles": ["eu-ai-act"]})
    done = captured.run("retention", "accept", stdin="")
    [event] = promises(captured)[1:]
    assert f"recorded as journal event {event.seq}." in done.stdout
    assert event.actor["uid"] == os.geteuid()
    [period] = [each for each in captured.json("retention", "show")["accepted"] if each["kind"] == "period"]
    assert (period["years"], period["event"], period["at"]) == (10, event.seq, event.at)
    # The table for people has the same.
    row = captured.run("retention", "show").stdout.splitlines()[1]
    assert row.split()[:3] == ["everything", "10", "years"]
    assert row.split()[-1] == str(event.seq)


def test_where_nothing_waits_that_is_said(captured: Site) -> None:
    before = events(captured)
    for arguments in ([], ["--years", 30]):
        assert captured.run("retention", "accept", *arguments).stdout == "No retention waits for acceptance.\n"
    assert captured.json("retention", "accept")["events"] == []
    assert events(captured) == before
    assert "No retention waits" in captured.run("retention", "show").stdout


@pytest.mark.parametrize(
    ("typed", "code"), [("30\n", 0), ("３０\n", 0), ("10\n", 2), ("thirty\n", 2), (CTRL_D, 130), (CTRL_C, 130)]
)
def test_at_a_terminal_the_years_are_typed(captured: Site, typed: str, code: int) -> None:
    longer(captured)
    before = events(captured)
    screen, terminal = pty.openpty()
    process = subprocess.Popen(
        [COMMAND, "--config", captured.config, "retention", "accept"],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # The terminal is that of this command, so that Ctrl-C reaches it.
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
    )
    os.close(terminal)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        shown = [process.stdout.readline() for _ in range(5)]
        assert shown[0] == "Waiting for acceptance:\n"
        question = ""
        while not question.endswith("(30): "):
            question += process.stderr.read(1)
        assert "cannot be shortened" in question
        os.write(screen, typed.encode())
        if typed == CTRL_C:
            # Pressed before the command reads, it is noticed at the next key.
            wait_until(lambda: process.poll() is not None or not os.write(screen, typed.encode()))
        output, problem = process.communicate(timeout=60)
    finally:
        os.close(screen)
    assert process.returncode == code, problem
    if code == 0:
        assert "Accepted" in output
        assert len(promises(captured)) == 3
    else:
        assert events(captured) == before
    if code == 2:
        assert "Nothing was recorded" in problem


def test_other_settings_than_those_shown_are_not_accepted(captured: Site) -> None:
    captured.configure(retention={"years": 5})
    before = events(captured)
    with closing(captured.open()) as archive:
        context = ActionContext(archive, load_config(captured.config), 5.0)
        shown = perform_action(context, ShowWaitingRetention())
        captured.configure(retention={"years": 9})
        changed = ActionContext(archive, load_config(captured.config), 5.0)
        with pytest.raises(UsageError, match=r"has changed since it was shown.*retention show"):
            perform_action(changed, AcceptRetention(promise_id=shown["promise"]))
        assert events(captured) == before
        # Twice the same, as if two people had been asked at once.
        assert len(perform_action(context, AcceptRetention(promise_id=shown["promise"]))["events"]) == 1
        assert perform_action(context, AcceptRetention(promise_id=shown["promise"])) == {"events": []}


def test_the_years_are_checked_by_the_action_too(captured: Site) -> None:
    """Who sends a request to the service may leave them out."""
    captured.configure(retention={"years": 40})
    with closing(captured.open()) as archive:
        context = ActionContext(archive, load_config(captured.config), 5.0)
        shown = perform_action(context, ShowWaitingRetention())
        for years in (None, 39):
            with pytest.raises(UsageError, match="Nothing was recorded"):
                perform_action(context, AcceptRetention(promise_id=shown["promise"], typed_years=years))
    assert len(promises(captured)) == 1


@pytest.mark.needs("processes")
def test_an_archive_of_an_earlier_format_is_upgraded_first(tmp_path: Path) -> None:
    golden = unpacked(tmp_path / "golden")
    golden.configure(retention={"years": 20})
    refused = golden.run("retention", "accept", "--years", 20, code=3).stderr
    assert "archiver upgrade" in refused
    known = golden.json("retention", "show")
    assert [(each["kind"], each["years"]) for each in known["waiting"]] == [("period", 20)]
    golden.run("upgrade")
    golden.run("retention", "accept", "--years", 20)
    assert golden.json("retention", "show")["waiting"] == []
    golden.verified()


def test_what_was_accepted_survives_the_index(captured: Site) -> None:
    longer(captured)
    captured.run("retention", "accept", "--years", 30)
    before = captured.json("retention", "show")
    captured.run("reindex")
    assert captured.json("retention", "show") == before


# --- disposal


def after_all_others(site: Site) -> Later:
    """Two versions of an ended filing, years after the periods of the settings at ``init``."""
    site.write("推荐/首次/a", "first draft")
    site.catch_up()
    site.write("推荐/首次/a", "second draft")
    site.catch_up()
    site.run("filing", "end", "推荐", "--on", "2026-06-01", "--reason", "the service was closed")
    return Later(site, FOUR_YEARS)


def test_nothing_is_disposed_of_while_a_longer_period_waits(site: Site) -> None:
    later = after_all_others(site)
    site.configure(retention={"years": 10})
    refused = later.run("dispose", "plan", "推荐/首次/v1", code=4).stderr
    assert "推荐/首次/v1 is retained at least through" in refused
    assert site.json("dispose", "list") == []
    # Withdrawn before anybody accepted it, it is over.
    site.configure(retention={"years": 3})
    assert [each["tag"] for each in later.json("dispose", "plan")["going"]] == ["推荐/首次/v1"]


def test_a_longer_period_ends_a_plan_and_an_accepted_one_for_good(site: Site) -> None:
    later = after_all_others(site)
    later.run("dispose", "plan")
    site.configure(filings={"推荐": {"profiles": ["eu-ai-act"]}})
    site.run("retention", "accept")
    site.configure(filings={"推荐": {"profiles": []}})
    assert site.json("retention", "show")["waiting"] == []
    refused = later.run("dispose", "plan", "推荐/首次/v1", code=4).stderr
    assert "推荐/首次/v1 is retained at least through" in refused
    [plan] = site.json("dispose", "list")
    assert not plan["begun"]
    later.run("dispose", "run", plan["plan"], code=4)
    site.run("restore", "推荐/首次/v1", "--to", site.root / "back")


# --- through the service


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    open_the_way(tmp_path)
    site = Site(tmp_path / "site").init()
    site.configure(access={"read_group": "nogroup", "act_group": "nogroup"}, retention={"years": 30})
    site.write("f/s/a", "1")
    process = site.start("--settle", "0.1")
    wait_until(lambda: site.tags() == ["f/s/v1"] and (site.archive / "socket").exists())
    yield site
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output


def as_user(site: Site, uid: int, *arguments: object, group_id: int = GROUP_ID, code: int = 0) -> tuple[str, str]:
    done = subprocess.run(
        [
            *become_user(uid, group_id),
            *(sys.executable, "-m", "archiver", "--config", os.fspath(site.config), *map(str, arguments)),
        ],
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


@pytest.mark.needs("root", "another user")
def test_an_officer_accepts_through_the_service(served: Site) -> None:
    before = promises(served)
    shown, refused = as_user(served, OFFICER, "retention", "accept", code=2)
    assert "everything: 30 years, retained through" in shown
    assert "--years 30" in refused
    as_user(served, STRANGER, "retention", "accept", "--years", 30, group_id=STRANGER, code=8)
    assert promises(served) == before
    accepted: dict[str, Any] = json.loads(
        as_user(served, OFFICER, "retention", "accept", "--years", 30, "--json")[0]
    )
    [event] = promises(served)[len(before) :]
    assert accepted["events"] == [event.seq]
    assert event.actor["uid"] == OFFICER
    assert "No retention waits" in as_user(served, OFFICER, "retention", "accept")[0]
    # What counts is what the service has loaded: the file alone promises nothing yet.
    served.configure(retention={"years": 40})
    assert "No retention waits" in as_user(served, OFFICER, "retention", "accept", "--years", 40)[0]
    # Readers see both, without any right to act.
    periods = [
        each["years"]
        for each in json.loads(as_user(served, OFFICER, "retention", "show", "--json")[0])["accepted"]
    ]
    assert 30 in periods
    served.verified()
