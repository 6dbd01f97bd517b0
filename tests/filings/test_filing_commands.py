"""The desk through the installed command: sheet, notices, changes, display, reminders, calendar."""

from __future__ import annotations

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, ClassVar
from zoneinfo import ZoneInfo

import icalendar
import pytest
from aiosmtpd.controller import Controller

from archiver import clock
from archiver.actions.context import ActionContext
from archiver.actions.registry import decode_action_request, perform_action
from archiver.config import loader
from archiver.errors import UsageError
from archiver.filings.fetch import PageUnreachable, fetch_page
from tests.support.other_user import CHECKOUT
from tests.support.site import COMMAND, SAMPLES, Site, free_port

NUMBER = "网信算备110108823483901230031号"
LINK = "https://beian.example/public/1"


@pytest.fixture
def site(site: Site) -> Site:
    """One filing, handed in and filed."""
    site.write("推荐/首次/机制说明", "1")
    site.write("推荐/首次/模型.txt", "v1")
    site.catch_up()
    site.run("submit", "推荐/首次", "--on", "2026-03-02")
    return site


def filed(site: Site) -> None:
    site.run("filing", "set", "推荐", "--number", NUMBER, "--issued-on", "2026-03-20", "--published-at", LINK)


# --- the sheet


def test_the_sheet_is_kept_with_its_history_and_evidence(site: Site) -> None:
    screenshot = site.root / "screen 截图.png"
    screenshot.write_bytes(b"picture")
    site.run("filing", "set", "推荐", "--company", "星河", "--product", "甲", "--product", "乙")
    site.run(
        "filing", "set", "推荐", "--status", "under_review", "--portal-text", "审核中", "--evidence", screenshot
    )
    shown = site.json("filing", "show", "推荐")
    assert (shown["company"], shown["products"], shown["state"]) == ("星河", ["甲", "乙"], "under_review")
    assert shown["checks"][0]["evidence"] == "screen 截图.png"
    assert site.git("show", "journal:evidence.png").stdout == "picture"
    assert site.json("filing", "show", "推荐", "--at", "2026-01-01")["company"] is None
    assert site.json("filing", "list")[0]["state"] == "under_review"
    site.run("reindex")
    assert site.json("filing", "show", "推荐") == shown
    site.verified()


WRONG: list[tuple[list[str], int, str]] = [
    (["filing", "set", "无", "--company", "x"], 7, "无"),
    (["filing", "show", "无"], 7, "无"),
    (["filing", "set", "推荐"], 2, "No field was given"),
    (["filing", "set", "推荐", "--number", "123"], 2, "matches no known format"),
    (["filing", "set", "推荐", "--number", "123", "--force"], 2, "--reason"),
    (["filing", "set", "推荐", "--issued-on", "2026-03-01"], 2, "before"),
    (["filing", "set", "推荐", "--status", "filed", "--on", "2026-03-01"], 2, "before"),
    (["filing", "set", "推荐", "--status", "fine"], 2, "fine"),
    (["filing", "set", "推荐", "--status", "filed", "--on", "2999-01-01"], 2, "future"),
    (
        ["filing", "set", "推荐", "--service-start", "2026-02-01", "--service-end", "2026-01-01"],
        2,
        "is before the start date",
    ),
    (["filing", "set", "推荐", "--service-start", "soon"], 2, "soon"),
    (["notice", "add", "推荐", "--kind", "correction"], 2, "--received"),
    (["notice", "add", "推荐", "--kind", "correction", "--received", "2026-03-01"], 2, "before"),
    (
        ["notice", "add", "推荐", "--kind", "inquiry", "--received", "2026-04-01", "--due", "2026-03-31"],
        2,
        "before",
    ),
    (["notice", "add", "无", "--kind", "inquiry", "--received", "2026-04-01"], 7, "无"),
    (["notice", "answer", "3", "--submission", "推荐/首次"], 7, "Notice 3 does not exist"),
    (["change", "decide", "3", "--material", "no", "--reason", "x"], 7, "Change 3 does not exist"),
    (["display", "check", "推荐"], 2, "no filing number"),
    (["notice-board", "推荐"], 2, "no filing number"),
    (["remind"], 2, "no recipient is configured"),
    (["submit", "推荐/首次", "--on", "2026-03-03", "--number", "1"], 2, "matches no known format"),
]


@pytest.mark.parametrize(("words", "code", "told"), WRONG)
def test_wrong_input_gets_its_sentence_and_changes_nothing(
    site: Site, words: list[str], code: int, told: str
) -> None:
    before = site.git("rev-parse", "journal").stdout
    done = site.run(*words, code=code)
    assert told in done.stderr
    assert done.stderr.count("\n") <= 2
    assert site.git("rev-parse", "journal").stdout == before


def test_a_number_of_another_form_is_taken_with_a_reason(site: Site) -> None:
    site.run("filing", "set", "推荐", "--number", "沪备 1", "--force", "--reason", "an older register")
    assert site.json("filing", "show", "推荐")["number"] == "沪备 1"
    assert site.events()[-1]["details"]["forced"] == "an older register"
    site.run("submit", "推荐/首次", "--on", "2026-03-03", "--number", "沪备 2", "--force", "--reason", "moved")
    assert site.json("filing", "show", "推荐")["number"] == "沪备 2"


@pytest.mark.parametrize(
    ("lang", "to_do", "waiting"),
    [("en", "To do: ", "Waiting for the regulator: "), ("zh", "待办：", "等待网信部门：")],
)
def test_what_the_regulator_must_do_is_no_task_of_the_company(
    site: Site, lang: str, to_do: str, waiting: str
) -> None:
    (review,) = [line for line in site.json("deadlines") if line["who"] == "regulator"]
    lines = site.run("--lang", lang, "status").stdout.splitlines()
    tasks = [line for line in lines if line.startswith(to_do)]
    (regulator_line,) = [line for line in lines if line.startswith(waiting)]
    assert review["due"] in regulator_line
    assert tasks
    assert all(review["due"] not in line for line in tasks)


# --- notices


def test_a_notice_is_proposed_recorded_and_answered_once(site: Site) -> None:
    paper = next(SAMPLES.rglob("补正通知.pdf"))
    before = site.git("rev-parse", "journal").stdout
    proposed = site.run("notice", "add", "推荐", "--file", paper).stdout
    assert "--kind correction" in proposed
    assert "--received 2026-" in proposed
    assert site.git("rev-parse", "journal").stdout == before
    words = ["notice", "add", "推荐", "--kind", "correction", "--received", "2026-09-28", "--owner", "张三"]
    assert "This date was not recorded" in site.run(*words, "--file", paper).stderr
    listed = site.json("notice", "list")["notices"][0]
    assert (listed["due"], listed["basis"], listed["owner"]) == ("2026-10-10", "policy", "张三")
    told = site.run("status").stdout
    assert told.startswith("To do: 推荐: answer notice 1 (correction), suggested date 2026-10-10")

    site.write("推荐/补正/报告", "2")
    site.write("别的/首次/报告", "2")
    site.catch_up()
    answer = ["notice", "answer", "1", "--submission"]
    assert "was not submitted for 推荐" in site.run(*answer, "推荐/补正", code=2).stderr
    site.run("submit", "推荐/补正", "--on", "2026-10-09")
    site.run("submit", "别的/首次", "--on", "2026-10-09")
    assert "was not submitted for 推荐" in site.run(*answer, "别的/首次", code=2).stderr
    assert "when notice 1 was received" in site.run(*answer, "推荐/首次", code=2).stderr
    site.run(*answer, "推荐/补正")
    assert "already" in site.run(*answer, "推荐/补正", code=2).stderr
    assert site.json("notice", "list")["notices"][0]["state"] == "done"
    site.verified()


def test_a_paper_dropped_into_the_notice_folder_is_proposed_until_it_is_recorded(site: Site) -> None:
    paper = site.write("推荐/首次/通知/问询函.txt", "问询")
    site.write("推荐/通知/x.txt", "another")
    site.catch_up()
    found = [each["path"] for each in site.json("notice", "list")["unclaimed"]]
    assert sorted(found) == ["x.txt", "通知/问询函.txt"]
    assert "record the notice 通知/问询函.txt" in site.run("status").stdout
    site.run("notice", "add", "推荐", "--kind", "inquiry", "--received", "2026-04-01", "--file", paper)
    assert [each["path"] for each in site.json("notice", "list")["unclaimed"]] == ["x.txt"]


# --- changes


def test_a_change_after_filing_opens_one_question(site: Site) -> None:
    site.configure(changes={"model": ["*模型*"], "logic": ["*逻辑*"]})
    site.write("推荐/首次/模型.txt", "v2")
    site.catch_up()
    assert site.json("change", "list") == [], "it is not filed yet"
    filed(site)
    site.catch_up()
    site.write("推荐/首次/推荐逻辑", "v3")
    site.catch_up()
    (question,) = site.json("change", "list")
    assert (question["kinds"], question["materials"]) == (["logic", "model"], ["推荐逻辑", "模型.txt"])
    assert question["since"] == "推荐/首次/submitted"
    site.run("change", "decide", "1", "--material", "no", "--reason", "only a typing error")
    assert "already" in site.run("change", "decide", "1", "--material", "yes", "--reason", "x", code=2).stderr
    site.catch_up()
    assert site.json("change", "list") == []

    site.write("推荐/抽查/说明", "beside")
    site.catch_up()
    assert site.json("change", "list") == [], "an inspection's papers are no change of the algorithm"
    site.write("推荐/变更/机制说明", "2")
    site.catch_up()
    (question,) = site.json("change", "list")
    assert question["number"] == 2
    site.run("change", "decide", "2", "--material", "yes", "--reason", "a new model")
    whats = [each["what"] for each in site.json("deadlines")]
    assert "submit the change" in whats
    site.run("submit", "推荐/变更", "--on", clock.today(ZoneInfo("Asia/Shanghai")))
    assert "submit the change" not in [each["what"] for each in site.json("deadlines")]
    assert site.json("filing", "show", "推荐")["state"] == "change_pending"
    site.verified()


def test_the_first_day_of_a_change_is_that_of_its_first_material(site: Site) -> None:
    """A letter that was put into the folder of notices the day before is no change of the algorithm."""
    filed(site)
    for days, path in ((1, "推荐/首次/通知/补正.txt"), (2, "推荐/首次/模型.txt")):
        site.write(path, "changed")
        later = [sys.executable, "-m", "tests.support.later", str(days), "--config", str(site.config)]
        subprocess.run([*later, "run", "--once", "--settle", "0.05"], cwd=CHECKOUT, check=True)
    (question,) = site.json("change", "list")
    captured_at = clock.parse_time(site.json("log")[0]["captured_at"])
    assert question["materials"] == ["模型.txt"]
    assert question["first"] == captured_at.astimezone(ZoneInfo("Asia/Shanghai")).date().isoformat()


def test_a_release_elsewhere_opens_a_question_by_itself(site: Site) -> None:
    filed(site)
    code, model = site.root / "code", site.root / "MODEL"
    subprocess.run(["git", "init", "-q", code], check=True)
    git = ["git", "-C", code, "-c", "user.name=x", "-c", "user.email=x@x"]
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    subprocess.run([*git, "tag", "v1"], check=True)
    model.write_text("model-1\n")
    site.configure(filings={"推荐": {"signals": [f"git:{code}", model, "/nowhere"]}})
    site.catch_up()
    site.catch_up()
    assert site.json("change", "list") == [], "what is there at first is no change"
    hook = code / ".git/hooks/reference-transaction"
    hook.write_text("#!/bin/sh\ntouch ran\n")
    hook.chmod(0o755)
    subprocess.run([*git, "-c", "core.hooksPath=/dev/null", "tag", "v2"], check=True)
    before = sorted(code.rglob("*"))
    site.catch_up()
    (question,) = site.json("change", "list")
    assert question["signal"].endswith("v2")
    assert sorted(code.rglob("*")) == before
    site.run("change", "decide", "1", "--material", "no", "--reason", "only the tests")
    model.write_text("model-2\n")
    site.catch_up()
    assert site.json("change", "list")[0]["signal"].endswith("model-2")
    site.verified()


# --- display


class Pages(http.server.BaseHTTPRequestHandler):
    """What the company's site serves."""

    bodies: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/good")
            self.end_headers()
        elif self.path == "/loop":
            self.send_response(302)
            self.send_header("Location", "/loop")
            self.end_headers()
        elif self.path in self.bodies:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(self.bodies[self.path])
        else:
            self.send_error(404)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_change_of_an_ended_filing_has_no_day_to_decide_on(site: Site, lang: str) -> None:
    """An officer read "decision due None" there."""
    filed(site)
    site.write("推荐/首次/模型.txt", "v2")
    site.catch_up()
    site.run("filing", "set", "推荐", "--status", "deregistered")
    told = site.run("--lang", lang, "change", "list").stdout
    assert "模型.txt" in told
    assert "None" not in told


@pytest.fixture
def pages() -> Iterator[str]:
    good = f'<p>备案编号：网信算备 1101088234 83901230031 号 <a href="{LINK}">公示</a></p>'
    Pages.bodies = {
        "/good": good.encode(),
        "/gbk": good.encode("gb18030"),
        "/without": b"<p>nothing</p>",
        "/nolink": NUMBER.encode(),
        "/large": b"x" * (5 << 20),
    }
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_pages_are_looked_at_and_kept_as_evidence(site: Site, pages: str) -> None:
    filed(site)
    names = ["good", "gbk", "moved", "without", "nolink", "large", "loop", "none"]
    addresses = [f"{pages}/{name}" for name in names]
    site.configure(display={"allow_private": True}, filings={"推荐": {"pages": addresses}})
    told = site.run("display", "check", "推荐", code=9)
    lines = {line.split(": ")[0].rpartition("/")[2]: line.partition(": ")[2] for line in told.stdout.splitlines()}
    assert [lines[name] for name in ("good", "gbk", "moved")] == ["number and link found."] * 3
    assert lines["without"] == "number missing."
    assert lines["nolink"] == "number found, link missing."
    assert "larger than" in lines["large"]
    assert "redirected" in lines["loop"]
    assert "404" in lines["none"]
    assert "was missing on" in site.run("status").stdout
    assert [due["what"] for due in site.json("deadlines")] == []
    assert [due["state"] for due in site.json("deadlines", "--all")] == ["done late"]
    kept = site.git("log", "--format=%H", "--grep", "display-check", "journal").stdout.split()
    assert len(kept) == len(names)
    assert site.git("show", f"{kept[-1]}:evidence.html").stdout.encode() == Pages.bodies["/good"]
    site.verified()


def test_private_addresses_need_a_setting(site: Site, pages: str) -> None:
    with pytest.raises(PageUnreachable, match="not public"):
        fetch_page(f"{pages}/good")
    for address in ("ftp://x/y", "no address", "http://[", "file:///etc/passwd"):
        with pytest.raises(PageUnreachable):
            fetch_page(address)


def test_a_server_that_dawdles_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archiver.filings.fetch._MAX_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server, pytest.raises(PageUnreachable):
        fetch_page(f"http://127.0.0.1:{server.getsockname()[1]}/", allow_private=True)


def test_what_the_board_says_is_what_the_check_finds(site: Site) -> None:
    site.run("filing", "set", "推荐", "--algorithm", "推荐 <算法> & [x]", "--company", "星河")
    filed(site)
    for form in ("html", "markdown", "text", "json"):
        page = site.root / f"page.{form}"
        page.write_text(site.run("notice-board", "推荐", "--format", form).stdout, "utf-8")
        site.run("display", "check", "推荐", "--page", page)
    assert "<算法>" not in (site.root / "page.html").read_text("utf-8")
    assert json.loads((site.root / "page.json").read_text("utf-8"))["link"] == LINK


# --- calendar and reminders


def test_the_calendar_updates_instead_of_doubling(site: Site) -> None:
    words = ["notice", "add", "推荐", "--kind", "inquiry", "--received", "2026-04-01", "--due"]
    site.run(*words, "2026-04-10")
    site.run("deadlines", "--ics", "one.ics")
    site.run("deadlines", "--ics", "two.ics", "--lang", "zh")
    read = [icalendar.Calendar.from_ical((site.root / name).read_bytes()) for name in ("one.ics", "two.ics")]
    one, two = ({str(event["uid"]): event for event in each.walk("VEVENT")} for each in read)
    assert one.keys() == two.keys()
    assert len(one) == 3
    (notice,) = (event for uid, event in one.items() if ":notice:" in uid)
    assert notice["dtstart"].dt == date(2026, 4, 10)
    assert notice.walk("VALARM")
    assert any("办理通知" in event["summary"] for event in two.values())


class Mail:
    """A mailbox."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    async def handle_DATA(  # noqa: N802, that is its name
        self, _server: Any, _session: Any, envelope: Any
    ) -> str:
        self.messages.append(envelope)
        return "250 OK"


@contextmanager
def smtp(box: Mail, port: int) -> Iterator[None]:
    controller = Controller(box, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def test_reminders_arrive_once_by_mail_and_webhook_and_later_when_the_channel_was_down(
    site: Site, tmp_path: Path
) -> None:
    received: list[bytes] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    hook = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=hook.serve_forever, daemon=True).start()
    port = free_port()
    targets = site.root / "targets.toml"
    targets.write_text(
        f'owner = ["mailto://127.0.0.1:{port}?from=archiver@example.com&to=owner@example.com&mode=insecure"]\n'
        f'manager = ["json://token-of-ours@127.0.0.1:{hook.server_port}/x"]\n'
    )
    site.configure(reminders={"targets": "targets.toml"})
    targets.chmod(0o644)
    told = site.run("remind", code=3).stderr
    assert "chmod 600" in told
    assert "token-of-ours" not in told
    targets.chmod(0o600)
    dry = site.run("remind", "--dry-run").stdout
    assert "To owner:" in dry
    assert "check the review status" in dry

    failed = site.run("remind", "--lang", "zh", code=8)
    assert "owner" in failed.stderr
    assert len(received) == 1
    assert "token-of-ours" not in failed.stderr + failed.stdout
    box = Mail()
    with smtp(box, port):
        assert "Sent 1 reminder." not in site.run("remind").stdout
        assert "Sent 0 reminders." in site.run("remind").stdout
    assert len(box.messages) == 1
    assert len(received) == 1, "the manager is not told twice"
    assert "token-of-ours" not in site.git("log", "-p", "journal").stdout
    hook.shutdown()
    hook.server_close()
    site.verified()


def test_targets_that_cannot_be_read_show_nothing_of_themselves(site: Site) -> None:
    targets = site.root / "targets.toml"
    site.configure(reminders={"targets": "targets.toml"})
    assert "Cannot read the file with reminder addresses" in site.run("remind", code=3).stderr
    for content in ('owner = "secret://word"', "owner = [secret://word]", 'owner = [["secret://word"]]'):
        targets.write_text(content)
        targets.chmod(0o600)
        told = site.run("remind", code=3)
        assert "secret" not in told.stderr + told.stdout
    environment = {**os.environ, "ARCHIVER_TARGET_OWNER": "json://secret@127.0.0.1:1/"}
    targets.write_text("")
    told = site.run("remind", code=8, env=environment)
    assert "secret" not in told.stderr + told.stdout


def test_a_poor_locale_stops_nothing(site: Site) -> None:
    model = site.root / "模型"
    model.write_text("1")
    site.configure(
        sensitive={"patterns": ["*机密*"]},
        filings={"推荐": {"signals": [model]}},
        reminders={"targets": "对象.toml"},
    )
    filed(site)
    poor = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    site.write("推荐/首次/机密", "x")
    for words in (
        ["run", "--once", "--settle", "0"],
        ["status"],
        ["notice", "list"],
        ["change", "list"],
        ["deadlines"],
    ):
        site.run(*words, env=poor)
    model.write_text("2")
    site.run("run", "--once", "--settle", "0", env=poor)
    assert "模型 2" in site.json("change", "list")[0]["signal"]
    site.run("remind", code=3, env=poor)
    site.run("audit", "--to", "package", env=poor)
    site.verified()


POISON: list[tuple[str, dict[str, Any]]] = [
    ("filing-set", {"fields": {"number": 5}}),
    ("filing-set", {"fields": {"unknown": "x"}}),
    ("filing-set", {"fields": {"company": "x" * 5000}}),
    ("filing-set", {"fields": {"products": [1]}}),
    ("filing-set", {"fields": {"company": ["x"]}}),
    ("filing-set", {"fields": {"service_end": "9999-12-31"}}),
    ("filing-set", {"fields": {"service_start": "0001-01-01"}}),
    ("filing-set", {"fields": {"issued_on": "soon"}}),
    ("filing-set", {"fields": {}, "status": "filed", "on": "1999-01-01"}),
    ("notice-add", {"kind": "inquiry", "received": "2026-04-01", "days": 10**9}),
    ("notice-add", {"kind": "inquiry", "received": "2026-04-01", "days": 0}),
    ("notice-add", {"kind": "inquiry", "received": "2026-04-01", "due": "9999-12-31"}),
    ("notice-add", {"kind": "poem", "received": "2026-04-01"}),
]


@pytest.mark.parametrize(("action", "arguments"), POISON)
def test_what_would_be_in_the_way_for_good_is_not_journalled(
    site: Site, action: str, arguments: dict[str, Any]
) -> None:
    whole: dict[str, Any] = {"filing": "推荐", "by": None}
    if action == "filing-set":
        whole |= {"status": None, "portal_text": None, "on": None, "evidence": None, "force": None}
    else:
        whole |= {"due": None, "days": None, "issuer": "", "document": "", "owner": "", "file": None}
    archive = site.open()
    with pytest.raises(UsageError):
        perform_action(
            ActionContext(archive, loader.load_config(site.config), 5),
            decode_action_request(action, whole | arguments),
        )
    archive.close()
    site.run("status")
    site.run("deadlines")


def test_notices_that_come_at_once_get_numbers_of_their_own(site: Site) -> None:
    words = [
        COMMAND,
        "--config",
        site.config,
        "notice",
        "add",
        "推荐",
        "--kind",
        "inquiry",
        "--received",
        "2026-04-01",
    ]
    running = [subprocess.Popen(words, stdout=subprocess.DEVNULL) for _ in range(6)]
    assert [each.wait(timeout=60) for each in running] == [0] * 6
    assert [each["number"] for each in site.json("notice", "list")["notices"]] == [1, 2, 3, 4, 5, 6]
    answers = [
        [COMMAND, "--config", site.config, "change", "decide", "1", "--material", "no", "--reason", "x"]
        for _ in range(3)
    ]
    filed(site)
    site.write("推荐/首次/模型.txt", "v2")
    site.catch_up()
    running = [subprocess.Popen(each, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for each in answers]
    assert sorted(each.wait(timeout=60) for each in running) == [0, 2, 2]
    site.verified()


@pytest.mark.needs("processes")
def test_numbered_submissions_are_compared_with_the_one_before(tmp_path: Path) -> None:
    site = Site(tmp_path / "numbered", "{filing}").init()
    site.write("推荐/a", "1")
    site.write("推荐/b", "1")
    site.catch_up()
    site.run("submit", "推荐/01", "--on", "2026-03-02", "--kind", "first")
    filed(site)
    site.write("推荐/b", "2")
    site.catch_up()
    assert site.json("change", "list")[0]["materials"] == ["b"]


def test_a_number_known_before_moves_no_state(site: Site) -> None:
    filed(site)
    site.write("推荐/变更/说明", "2")
    site.catch_up()
    site.run("submit", "推荐/变更", "--on", "2026-04-01", "--number", NUMBER)
    assert site.json("filing", "show", "推荐")["state"] == "change_pending"
    site.run("filing", "set", "推荐", "--number", "网信算备330110507206401230035号")
    assert site.json("filing", "show", "推荐")["state"] == "change_pending"
    told = site.run("filing", "set", "推荐", "--status", "withdrawn").stdout
    assert "filing end" in told
