"""A year of the sample filings, and then who learns of whom by the chains: a package carries two of them whole."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.actions.conftest import Web
from tests.retention.test_disposal import FIRST, FOUR_YEARS, GROUP, PLANNER, SECOND, Later, Served
from tests.support.authority import Authority
from tests.support.forged import files_of
from tests.support.journal_model import read_journal
from tests.support.site import SAMPLES, Site, open_the_way

pytestmark = pytest.mark.needs("root", "another user", "openssl")

LEFT, RIGHT = "星河听雨个性化推荐算法", "星河听雨文案生成算法"
NUMBER = "网信算备110108823483901230031号"
LINK = "https://beian.example/public/1"
#: A person, whom free texts of the year name.
PERSON = "林听雨"
ARCHIVE, HOUSE = "archive", "house"

#: What the texts in the details of the chain ``archive`` may look like: nobody types any of them as prose.
_TEXT_FORMS = {
    "layout": r"\{filing\}/\{submission\}",
    "timezone": r"[A-Za-z]+/[A-Za-z_]+",
    "release": r"[0-9][0-9a-z.]*",
    "public": r"archiver@localhost namespaces=\"[a-z,-]+\" ssh-ed25519 [A-Za-z0-9+/=]+",
    "head": r"sha256:[0-9a-f]{64}",
    "time": r"[0-9-]{10}T[0-9:.]+Z",
    "authority": r"http://127\.0\.0\.1:[0-9]+/tsa",
    # That of one act with the promises of filings.
    "act": r"[0-9a-f]{32}",
}


class Stored(NamedTuple):
    """An event as plain git shows it."""

    visible: dict[str, Any]
    body: dict[str, Any]
    #: Every file in its commit.
    files: dict[str, bytes]

    @property
    def chain(self) -> str:
        return str(self.visible["chain"])

    @property
    def name(self) -> str:
        return f"event {self.visible['seq']} ({self.body['action']})"


def read_stored_events(site: Site) -> list[Stored]:
    return [
        Stored(commit.event, commit.body, files_of(site, commit.oid)) for commit in read_journal(site.repository)
    ]


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    authority = Authority(tmp_path / "authority")
    yield authority
    authority.close()


@pytest.fixture
def site(tmp_path: Path, authority: Authority, web: Web, monkeypatch: pytest.MonkeyPatch) -> Site:
    open_the_way(tmp_path)
    site = Site(tmp_path / "site").init("--tsa-url", authority.url, "--tsa-root", str(authority.root))
    monkeypatch.setenv("ARCHIVER_TARGET_OWNER", web.webhook)
    code = site.root / "code"
    subprocess.run(["git", "init", "-q", code], check=True)
    site.configure(
        access={"read_group": GROUP, "act_group": GROUP},
        display={"allow_private": True},
        filings={
            LEFT: {"pages": [web.page], "profiles": ["cn-archive-10"], "signals": [f"git:{code}"]},
            RIGHT: {"submissions": {"2026-05-首次备案": ["sec-17a4"]}},
        },
    )
    live_through_a_year(site, authority)
    return site


def live_through_a_year(site: Site, authority: Authority) -> None:
    """Do everything that writes to the journal at least once, with names and prose wherever somebody can type."""

    def on(day: float, *commands: tuple[object, ...]) -> Later:
        authority.days = day
        later = Later(site, day)
        later.run("run", "--once", "--settle", "0")
        for words in commands:
            later.run(*words)
        return later

    first, second = f"{LEFT}/2026-03-首次备案", f"{RIGHT}/2026-05-首次备案"
    shutil.copytree(SAMPLES, site.watch, dirs_exist_ok=True)
    # What a person types about a filing is in its chain; about the archive it may name everybody.
    reason_of_left, reason_of_right, reason_of_all = (
        f"{PERSON} asked for {filings}" for filings in (LEFT, RIGHT, f"{LEFT} and {RIGHT}")
    )
    on(0, ("retention", "accept"), ("submit", first, "--on", "2026-03-20", "--by", PERSON))
    on(
        1,
        ("filing", "set", LEFT, "--number", NUMBER, "--issued-on", "2026-03-25", "--published-at", LINK),
        ("submit", second, "--on", "2026-05-20", "--by", PERSON),
        ("notice", "add", LEFT, "--kind", "inquiry", "--received", "2026-05-01", "--due", "2026-05-10"),
        ("notice", "add", RIGHT, "--kind", "inquiry", "--received", "2026-05-01", "--due", "2026-05-10"),
        ("remind",),
        ("checkpoint",),
    )
    (site.watch / first / "数据来源清单.xlsx").write_bytes(b"another list")
    on(30, ("key", "rotate", "--reason", reason_of_all), ("key", "backup", "--to", site.root / "safe"))
    later = Later(site, 31)
    later.run("display", "check", LEFT, code=9)
    [question, *_] = later.json("change", "list")
    later.run("change", "decide", question["number"], "--material", "no", "--reason", reason_of_left)
    later.run("submit", f"{LEFT}/2026-04-补正", "--on", "2026-05-05")
    later.run("notice", "answer", "1", "--submission", f"{LEFT}/2026-04-补正")
    on(
        90,
        ("hold", "place", f"检查 {PERSON}", RIGHT, "--reason", reason_of_right),
        ("restrict", f"{first}/v2:数据来源清单.xlsx", "--reason", reason_of_left),
        ("unrestrict", f"{first}/v2:数据来源清单.xlsx", "--reason", reason_of_left),
        ("restore", f"{first}/v1", "--to", site.root / f"back of {LEFT}"),
        ("audit", "--to", site.root / "package", "--recipient", PERSON, "--reason", "spot check"),
        ("drill", "--files", "3"),
    )
    # The guard's hook notes the attempt, and the next run journals it.
    assert site.git("tag", "-d", f"{second}/v1", check=False).returncode != 0
    Later(site, 91).run("dispose", "plan", code=4)
    # The key is lost.
    (site.archive / "keys/signing_key").unlink()
    (site.watch / second / "更多").write_bytes(b"while no key can sign")
    on(120, ("key", "replace", "--reason", reason_of_all))
    moved = site.root / f"watched {LEFT}"
    site.watch.rename(moved)
    site.watch = moved
    site.configure(watch={"path": os.fspath(moved)}, retention={"years": 4})
    on(150, ("checkpoint",))
    on(
        364,
        ("hold", "lift", f"检查 {PERSON}", RIGHT, "--reason", reason_of_right),
        ("filing", "end", RIGHT, "--on", "2026-06-01", "--reason", reason_of_right),
        ("checkpoint",),
    )
    days = 364 + 3 * FOUR_YEARS
    on(days)
    with Served(site, days) as later:
        planned = later.json("dispose", "plan", uid=PLANNER)
        for plan in planned["plans"]:
            for uid in (FIRST, SECOND):
                later.run("dispose", "approve", plan, "--reason", reason_of_right, uid=uid)
    authority.days = days + 8
    for plan in planned["plans"]:
        Later(site, days + 8).run("dispose", "run", plan)


def test_the_chains_of_a_year_disclose_nobody_else(site: Site) -> None:
    site.verified()
    journal = read_stored_events(site)
    chains = check_the_year_was_full(journal)
    names_of_files = {path.name for path in SAMPLES.rglob("*")} | {"更多"}
    forbidden = [
        "星河",
        PERSON,
        os.fspath(site.root),
        *names_of_files,
        # The same in JSON that escapes, and in bytes that are not text.
        *(json.dumps(name)[1:-1] for name in (LEFT, RIGHT, PERSON)),
    ]
    for event in journal:
        if event.chain == ARCHIVE:
            check_names_nothing(event, forbidden)
            check_texts_have_forms(event, event.body["details"])
            # A word of the program, and not the name of anything.
            assert event.body["object"] in {"archive", "retention", "clock", "key"}, event.name
        elif event.chain != HOUSE:
            [own] = [filing for filing, chain in chains.items() if chain == event.chain]
            check_names_nothing(event, [filing for filing in chains if filing != own])


def check_the_year_was_full(journal: list[Stored]) -> dict[str, str]:
    """Check that nothing is missing that this test is about; return the chain of each filing."""
    actions: dict[str, set[str]] = {}
    chains = {}
    for event in journal:
        in_filing = event.chain not in (ARCHIVE, HOUSE)
        actions.setdefault("filing" if in_filing else event.chain, set()).add(event.body["action"])
        if event.body["action"] == "capture":
            chains[event.body["object"].partition("/")[0]] = event.chain
    assert actions == {
        ARCHIVE: {"init", "format", "policy", "timestamp", "tick", "key-rotate", "key-replace"},
        HOUSE: {"watch-path", "watch-folder", "checkpoint", "key-reason", "key-backup", "drill", "refuse"},
        "filing": {
            *("policy", "capture", "submit", "filing-set", "filing-end", "notice", "notice-answer"),
            *("change-question", "change-decision", "signal", "display-check", "reminder", "hold", "lift"),
            *("restrict", "unrestrict"),
            *("restore", "export", "dispose-plan", "dispose-approve", "dispose-begin", "dispose-certify"),
        },
    }
    assert chains.keys() == {LEFT, RIGHT}
    return chains


def check_names_nothing(event: Stored, forbidden: list[str]) -> None:
    for file_name, data in event.files.items():
        for word in forbidden:
            assert word.encode() not in data, f"{event.name}: {file_name} names {word}"


def check_texts_have_forms(event: Stored, value: Any, member: str = "") -> None:
    """Check each text in the details by the form of its member, so that no prose fits in anywhere."""
    if isinstance(value, dict):
        for name, inner in value.items():
            check_texts_have_forms(event, inner, name)
    elif isinstance(value, list):
        for inner in value:
            check_texts_have_forms(event, inner, member)
    elif isinstance(value, str):
        assert re.fullmatch(_TEXT_FORMS[member], value), f"{event.name}: {member} is {value!r}"
