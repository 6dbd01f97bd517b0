"""One filing through a year and to its end, through the commands, on chosen days.

Every date below was counted by hand with the calendar of 2026 (State Council notice: off from
15 to 23 February and from 1 to 7 October, 1 to 5 May, 4 to 6 April, 19 to 21 June, 25 to 27 September;
work on 14 and 28 February, 9 May, 20 September and 10 October).
"""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from archiver import clock
from tests.retention.test_disposal import FIRST, GROUP, PLANNER, SECOND, Later, Served
from tests.support.site import Site, open_the_way

pytestmark = pytest.mark.needs("root", "another user")

NUMBER = "网信算备110108823483901230031号"
LINK = "https://beian.example/public/1"


def days_until(day: str) -> float:
    """From now to noon, in Shanghai, of that day."""
    noon = datetime.fromisoformat(f"{day}T04:00:00").replace(tzinfo=UTC)
    return (noon - clock.read_clocks().wall).total_seconds() / 86400


class Server(http.server.BaseHTTPRequestHandler):
    """The company's page, and the webhook that takes reminders."""

    page = b"<p>about us</p>"
    taken: list[str] = []  # noqa: RUF012, one server a test

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.page)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.taken.extend(body["message"].splitlines())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[str]:
    Server.taken = []
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=served.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{served.server_port}"
    served.shutdown()
    served.server_close()


class Year:
    """The site on a day: commands, then what is due and what reminders went out."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.table: dict[str, tuple[str, list[tuple[str, str]], list[str]]] = {}

    def on(self, day: str, *commands: tuple[object, ...], code: int = 0) -> None:
        later = Later(self.site, days_until(day))
        later.run("run", "--once", "--settle", "0")
        for words in commands:
            later.run(*words, code=code)
        Server.taken.clear()
        later.run("remind")
        shown = later.json("filing", "show", "推荐")
        dues = [(due["due"], due["what"]) for due in later.json("deadlines")]
        self.table[day] = (shown["state"], dues, list(Server.taken))


@pytest.fixture
def site(tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> Site:
    open_the_way(tmp_path)
    site = Site(tmp_path / "site")
    Later(site, days_until("2026-02-10")).run("init", "--archive", site.archive, "--watch", site.watch)
    code = site.root / "code"
    subprocess.run(["git", "init", "-q", code], check=True)
    subprocess.run(
        [
            "git",
            "-C",
            code,
            "-c",
            "user.name=x",
            "-c",
            "user.email=x@x",
            "commit",
            "-q",
            "--allow-empty",
            "-m",
            "x",
        ],
        check=True,
    )
    site.configure(
        access={"read_group": GROUP, "act_group": GROUP},
        display={"allow_private": True},
        filings={"推荐": {"pages": [f"{server}/about"], "signals": [f"git:{code}"]}},
    )
    monkeypatch.setenv("ARCHIVER_TARGET_OWNER", server.replace("http:", "json:"))
    return site


def test_a_year_and_what_comes_after(site: Site) -> None:
    year = Year(site)
    site.write("推荐/首次/自评估报告", "first")
    submit = ("submit", "推荐/首次", "--on", "2026-02-10")
    year.on("2026-02-10", submit, ("filing", "set", "推荐", "--service-start", "2026-02-10"))
    year.on("2026-02-12", ("filing", "set", "推荐", "--status", "under_review", "--portal-text", "审核中"))
    site.write("推荐/首次/自评估报告", "second")
    number = ("--number", NUMBER, "--issued-on", "2026-03-18", "--published-at", LINK)
    year.on("2026-03-18", ("filing", "set", "推荐", *number))
    # The second draft came after the handing-in: whether it matters is a person's decision.
    year.on("2026-03-19", ("change", "decide", "1", "--material", "no", "--reason", "only typing errors"))
    year.on("2026-03-20", ("display", "check", "推荐"), code=9)
    Server.page = f'<p>{NUMBER} <a href="{LINK}">公示</a></p>'.encode()
    year.on("2026-03-23", ("display", "check", "推荐"))
    subprocess.run(["git", "-C", site.root / "code", "tag", "v2"], check=True)
    year.on("2026-04-28")
    year.on("2026-05-06", ("change", "decide", "2", "--material", "yes", "--reason", "a new model"))
    site.write("推荐/变更/说明", "model v2")
    year.on("2026-05-12", ("submit", "推荐/变更", "--on", "2026-05-12"))
    year.on("2026-06-20", ("filing", "set", "推荐", "--status", "filed", "--portal-text", "变更通过"))
    notice = ("notice", "add", "推荐", "--kind", "correction", "--received", "2026-09-28", "--days", "10")
    year.on("2026-09-28", notice)
    year.on("2026-10-13")
    site.write("推荐/补正/说明", "corrected")
    answer = ("notice", "answer", "1", "--submission", "推荐/补正")
    year.on("2026-10-15", ("submit", "推荐/补正", "--on", "2026-10-15"), answer)
    inspection = (
        "notice",
        "add",
        "推荐",
        "--kind",
        "inspection",
        "--received",
        "2026-10-20",
        "--due",
        "2026-10-22",
    )
    year.on("2026-10-20", inspection, ("hold", "place", "抽查", "推荐", "--reason", "spot check"))
    site.write("推荐/抽查/说明", "here it is")
    package = site.root / "package"
    year.on(
        "2026-10-22",
        ("submit", "推荐/抽查", "--on", "2026-10-22"),
        ("notice", "answer", "2", "--submission", "推荐/抽查"),
        ("audit", "--to", package, "--recipient", "网信办"),
    )
    year.on("2026-11-02", ("filing", "set", "推荐", "--service-end", "2026-11-02"))
    site.write("推荐/注销/说明", "closed")
    year.on("2026-11-20", ("submit", "推荐/注销", "--on", "2026-11-20"))
    ended = ("filing", "end", "推荐", "--on", "2026-12-10", "--reason", "deregistered")
    year.on("2026-12-10", ended, ("hold", "lift", "抽查", "推荐", "--reason", "closed"))

    check, review = "check the review status on the portal", "the regulator must reply"
    display, decide = "display the filing number and record the check", "decide whether the change is material"
    change, end = "submit the change", "submit the deregistration"
    states_and_dues = {day: row[:2] for day, row in year.table.items()}
    assert states_and_dues == {
        "2026-02-10": ("submitted", [("2026-02-12", check), ("2026-03-30", review)]),
        "2026-02-12": ("under_review", [("2026-02-14", check), ("2026-03-30", review)]),
        "2026-03-18": ("filed", [("2026-03-25", display)]),
        "2026-03-19": ("filed", [("2026-03-25", display)]),
        "2026-03-20": ("filed", [("2026-03-25", display)]),
        "2026-03-23": ("filed", []),
        "2026-04-28": ("filed", [("2026-05-14", decide)]),
        "2026-05-06": ("filed", [("2026-05-14", change)]),
        "2026-05-12": ("change_pending", [("2026-05-14", check), ("2026-06-24", review)]),
        "2026-06-20": ("filed", []),
        "2026-09-28": ("filed", [("2026-10-16", "answer notice 1 (correction)")]),
        "2026-10-13": ("filed", [("2026-10-16", "answer notice 1 (correction)")]),
        "2026-10-15": ("filed", []),
        "2026-10-20": ("filed", [("2026-10-22", "answer notice 2 (inspection): export the inspection package")]),
        "2026-10-22": ("filed", []),
        "2026-11-02": ("filed", [("2026-11-30", end)]),
        # Provisional: 2027 is not published, so the earlier candidate, before New Year's Day, is shown.
        "2026-11-20": ("deregistration_pending", [("2026-11-24", check), ("2026-12-31", review)]),
        "2026-12-10": ("deregistered", []),
    }
    reminded = {day: [line.partition(": ")[2] for line in row[2]] for day, row in year.table.items() if row[2]}
    missing = f"the filing number or its link was missing on {page_of(site)} on 2026-03-20"
    assert reminded == {
        "2026-02-10": [f"{check}, suggested date 2026-02-12 [due soon]"],
        "2026-02-12": [f"{check}, suggested date 2026-02-14 [due soon]"],
        "2026-03-18": [f"{display}, suggested date 2026-03-25 [open]"],
        "2026-03-20": [f"{display}, suggested date 2026-03-25 [due soon]", missing],
        "2026-05-06": [f"{change}, due 2026-05-14 [open]"],
        "2026-05-12": [f"{check}, suggested date 2026-05-14 [due soon]"],
        "2026-10-13": ["answer notice 1 (correction), due 2026-10-16 [due soon]"],
        "2026-10-20": ["answer notice 2 (inspection): export the inspection package, due 2026-10-22 [due soon]"],
        "2026-11-20": [f"{check}, suggested date 2026-11-24 [due soon]"],
    }
    archive = site.open()
    told = [(event.at[:10], event.action) for event in archive.index.life_events() if event.action != "reminder"]
    archive.close()
    assert told == [
        ("2026-02-10", "submit"),
        ("2026-02-10", "filing-set"),
        ("2026-02-12", "filing-set"),
        ("2026-03-18", "filing-set"),
        # Looked at the day after, when the filing was filed: the code's first tag list, and the draft of February.
        ("2026-03-19", "change-question"),
        ("2026-03-19", "signal"),
        ("2026-03-19", "change-decision"),
        ("2026-03-20", "display-check"),
        ("2026-03-23", "display-check"),
        ("2026-04-28", "change-question"),
        ("2026-04-28", "signal"),
        ("2026-05-06", "change-decision"),
        ("2026-05-12", "submit"),
        ("2026-06-20", "filing-set"),
        ("2026-09-28", "notice"),
        ("2026-10-15", "submit"),
        ("2026-10-15", "notice-answer"),
        ("2026-10-20", "notice"),
        ("2026-10-22", "submit"),
        ("2026-10-22", "notice-answer"),
        ("2026-11-02", "filing-set"),
        ("2026-11-20", "submit"),
        ("2026-12-10", "filing-end"),
    ]
    assert 'number": "网信算备' in json.dumps(
        Later(site, days_until("2026-12-11")).json("filing", "list"), ensure_ascii=False
    )
    dispose(site, days_until("2030-01-10"))


def page_of(site: Site) -> str:
    return str(
        next(
            line.split('"')[1]
            for line in site.config.read_text("utf-8").splitlines()
            if line.startswith("pages =")
        )
    )


def dispose(site: Site, days: float) -> None:
    """Three years after its end, what is superseded can go; what is the present state stays."""
    with Served(site, days) as later:
        plan = later.json("dispose", "plan", uid=PLANNER)
        assert [each["tag"] for each in plan["going"]] == ["推荐/首次/v1"]
        for uid in (FIRST, SECOND):
            later.run("dispose", "approve", plan["plan"], "--reason", "the period is over", uid=uid)
    with Served(site, days + 8) as later:
        done: Any = later.run("dispose", "run", plan["plan"], uid=PLANNER)
        assert done.returncode == 0
    assert site.json("verify")["ok"]
