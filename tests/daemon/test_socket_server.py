"""People who act through the daemon: named by the kernel, bounded, and harmless when they talk nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.actions import protocol
from archiver.actions.registry import load_all_actions
from archiver.actions.request_fields import TextRule, request_fields
from archiver.config.loader import load_config
from archiver.daemon import socket_server
from archiver.daemon.socket_server import SocketServer
from archiver.errors import LazyMessage, NotFoundError, UsageError
from tests.support.other_user import become_user
from tests.support.site import CHECKOUT, COMMAND, Site, open_the_way, wait_until

OFFICER, READER, STRANGER = 65201, 65202, 65203
GID, OTHER_GID = 65534, 65333

root_only = pytest.mark.needs("root", "another user")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Site]:
    open_the_way(tmp_path)
    site = Site(tmp_path / "site").init()
    site.configure(access={"read_group": "nogroup", "act_group": "nogroup"})
    site.set("watch", "settle_seconds", 0.2)
    site.write("f/s/a", "1")
    daemon = site.start("--settle", "0.2")
    wait_until(lambda: site.tags() == ["f/s/v1"] and (site.archive / "socket").exists())
    yield site
    daemon.send_signal(signal.SIGINT)
    out, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, out


def as_user(
    site: Site, uid: int, *arguments: object, gid: int = GID, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [
            *become_user(uid, gid),
            *(sys.executable, "-m", "archiver", "--config", site.config, *map(str, arguments)),
        ],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def newest(site: Site, action: str) -> Any:
    return site.events(action)[-1]


@root_only
def test_an_officer_acts_and_the_journal_names_her(served: Site, tmp_path: Path) -> None:
    receipt = tmp_path / "回执.pdf"
    receipt.write_bytes(os.urandom(3_000_000))
    receipt.chmod(0o600)
    os.chown(receipt, OFFICER, GID)
    out = as_user(
        served, OFFICER, "submit", "f/s", "--on", "2026-01-01", "--receipt", receipt, "--by", "林听雨"
    ).stdout
    assert "Submitted f/s/v1 as f/s/submitted" in out
    event = newest(served, "submit")
    assert event["actor"]["uid"] == OFFICER
    assert event["details"]["by"] == "林听雨"
    assert event["attachments"][0]["size"] == 3_000_000
    as_user(served, OFFICER, "hold", "place", "inspection", "f", "--reason", "spot check")
    assert newest(served, "hold")["actor"]["uid"] == OFFICER
    as_user(served, OFFICER, "hold", "lift", "inspection", "--reason", "over")
    [listed] = served.json("show", "f/s/v1")["materials"]
    path = listed["path"]
    as_user(served, OFFICER, "restrict", f"f/s/v1:{path}", "--reason", "saved here by mistake")
    assert newest(served, "restrict")["actor"]["uid"] == OFFICER
    refused = tmp_path / "refused"
    refused.mkdir()
    os.chown(refused, OFFICER, GID)
    as_user(served, OFFICER, "restore", "f/s/v1", "--to", refused, code=4)
    as_user(served, OFFICER, "restore", "f/s/v1", "--to", refused, "--restricted", code=4)
    assert list(refused.iterdir()) == [], "only the owner can read it"
    as_user(served, OFFICER, "unrestrict", f"f/s/v1:{path}", "--reason", "it belongs here")
    as_user(served, OFFICER, "checkpoint", "--print")
    as_user(served, OFFICER, "filing", "end", "f", "--on", "2026-01-02", "--reason", "closed")
    target = tmp_path / "back"
    target.mkdir()
    os.chown(target, OFFICER, GID)
    as_user(served, OFFICER, "restore", "f/s/v1", "--to", target)
    assert newest(served, "restore")["actor"]["uid"] == OFFICER
    assert "all restored files match the archive (files: 1," in as_user(served, OFFICER, "drill").stdout
    served.verified()


@root_only
def test_an_officer_keeps_the_desk(served: Site, tmp_path: Path) -> None:
    paper = tmp_path / "补正通知.txt"
    paper.write_text("补正")
    paper.chmod(0o600)
    os.chown(paper, OFFICER, GID)
    as_user(served, OFFICER, "submit", "f/s", "--on", "2026-01-01")
    number = (
        "--number",
        "网信算备110108823483901230031号",
        "--issued-on",
        "2026-03-01",
        "--published-at",
        "https://x/y",
    )
    as_user(served, OFFICER, "filing", "set", "f", *number, "--evidence", paper)
    as_user(
        served, OFFICER, "notice", "add", "f", "--kind", "correction", "--received", "2026-02-01", "--file", paper
    )
    assert newest(served, "notice")["actor"]["uid"] == OFFICER
    assert served.git("show", "journal:evidence.txt").stdout == "补正"
    as_user(served, OFFICER, "notice", "answer", "1", "--submission", "f/s", code=2)
    as_user(served, OFFICER, "display", "check", "f", "--page", paper, code=9)
    large = tmp_path / "large.html"
    large.write_bytes(b"x" * (5 << 20))
    large.chmod(0o644)
    as_user(served, OFFICER, "display", "check", "f", "--page", large, code=2)
    assert "no recipient is configured" in as_user(served, OFFICER, "remind", code=2).stderr
    as_user(served, OFFICER, "maintain")
    for words in (["filing", "list"], ["deadlines"], ["notice", "list"], ["change", "list"], ["status"]):
        as_user(served, OFFICER, *words)
    as_user(served, STRANGER, "filing", "set", "f", "--company", "x", gid=OTHER_GID, code=8)
    served.verified()


@root_only
def test_refusals_keep_their_exit_code_and_language(served: Site) -> None:
    assert (
        "不存在" in as_user(served, OFFICER, "--lang", "zh", "submit", "f/x", "--on", "2026-01-01", code=7).stderr
    )
    assert "不得销毁" in as_user(served, OFFICER, "--lang", "zh", "dispose", "plan", code=4).stderr
    assert newest(served, "refuse")["actor"]["uid"] == OFFICER
    as_user(served, OFFICER, "submit", "f/s", "--on", "2999-01-01", code=2)
    as_user(served, OFFICER, "submit", "f/s", "--on", "2026-01-01", "--receipt", "/dev/zero", code=2)


@root_only
def test_who_is_not_of_the_group_is_turned_away_and_it_is_journalled(served: Site) -> None:
    served.archive.chmod(0o2755)
    before = served.git("rev-parse", "journal").stdout
    refused = as_user(served, STRANGER, "hold", "place", "x", "f", "--reason", "r", gid=OTHER_GID, code=8).stderr
    assert "access.act_group" in refused
    wait_until(lambda: served.git("rev-parse", "journal").stdout != before)
    event = newest(served, "refuse")
    assert f"act\tsocket\t{STRANGER}" in event["details"]["attempts"]
    served.archive.chmod(0o2750)
    # Without even a way to the socket, or without a daemon, the message says what to do.
    unreachable = as_user(served, STRANGER, "hold", "place", "x", "f", "--reason", "r", gid=OTHER_GID, code=8)
    assert "Nothing was changed" in unreachable.stderr


@root_only
def test_without_a_daemon_only_the_owner_writes(tmp_path: Path) -> None:
    open_the_way(tmp_path)
    site = Site(tmp_path / "site").init()
    site.write("f/s/a", "1")
    site.catch_up()
    site.archive.chmod(0o2755)
    out = as_user(site, STRANGER, "hold", "place", "x", "f", "--reason", "r", code=8).stderr
    assert "Start the service" in out
    for path in [site.archive, *site.archive.rglob("*")]:
        os.chown(path, OFFICER, GID, follow_symlinks=False)
    # Root would leave files behind that the service cannot write.
    assert "belongs to" in site.run("run", "--once", code=8).stderr
    assert "Start the service" in site.run("hold", "place", "x", "f", "--reason", "r", code=8).stderr


@root_only
def test_the_reading_group_reads_and_others_do_not(served: Site) -> None:
    as_user(served, READER, "log")
    as_user(served, READER, "show", "f/s/v1")
    as_user(served, READER, "verify")
    as_user(served, STRANGER, "log", gid=OTHER_GID, code=8)
    served.write("f/s/a", "2")
    wait_until(lambda: len(served.tags()) == 2)
    as_user(served, READER, "show", "f/s/v2")
    read = [*become_user(READER, GID), "cat", served.archive / "keys/signing_key"]
    key = subprocess.run(read, capture_output=True)
    assert key.returncode != 0
    assert key.stdout == b""


def talk(site: Site, data: bytes, *, slowly: bool = False) -> bytes:
    folder = os.open(site.archive, os.O_PATH)
    try:
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(30)
            peer.connect(f"/proc/self/fd/{folder}/{protocol.SOCKET_NAME}")
            try:
                peer.sendall(data)
                if not slowly:
                    peer.shutdown(socket.SHUT_WR)
                answer = b""
                while part := peer.recv(65536):
                    answer += part
            except (BrokenPipeError, ConnectionResetError):
                return b""
            return answer
    finally:
        os.close(folder)


def framed(document: object) -> bytes:
    data = json.dumps(document).encode()
    return struct.pack(">I", len(data)) + data


GOOD = {"archiver": 1, "action": "checkpoint", "arguments": {}, "wait_seconds": 5, "attachment": None}
NONSENSE = [
    b"",
    b"\0",
    b"GET / HTTP/1.1\r\n\r\n",
    struct.pack(">I", 1 << 31),
    struct.pack(">I", 10) + b"{}",
    framed([]),
    framed({}),
    framed({**GOOD, "archiver": 2}),
    framed({**GOOD, "action": 5}),
    framed({**GOOD, "action": "__import__"}),
    framed({**GOOD, "arguments": {"self": 1}}),
    framed({**GOOD, "arguments": []}),
    framed({**GOOD, "wait_seconds": "long"}),
    framed({**GOOD, "attachment": -1}),
    framed({**GOOD, "attachment": 1 << 60}),
    framed({**GOOD, "attachment": 100}) + b"short",
    framed({**GOOD, "action": "hold-place", "arguments": {"name": "x", "target": "f"}}),
    framed({**GOOD, "action": "note", "arguments": {"what": "capture", "about": "f/s/v9", "details": {}}}),
    framed({**GOOD, "action": "dispose-plan", "arguments": {"tags": [{"a": []}, None, 5]}}),
    framed({**GOOD, "action": "hold-place", "arguments": dict.fromkeys(("name", "target", "reason"), "x" * 9999)}),
    struct.pack(">I", 200_000) + b"[" * 200_000,
]


@pytest.mark.needs("processes")
def test_nonsense_gets_an_answer_and_changes_nothing(served: Site) -> None:
    before = served.git("rev-parse", "journal").stdout
    for data in NONSENSE:
        answer = talk(served, data)
        if answer:
            assert b'"error"' in answer, data[:80]
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    good = framed({**GOOD, "action": "hold-lift", "arguments": {"name": "none", "reason": "r"}})
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randrange(1, 6)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        talk(served, bytes(data[: chance.randrange(len(data) + 1)]) if chance.random() < 0.3 else bytes(data))
    assert served.git("rev-parse", "journal").stdout == before
    assert b'"result"' in talk(served, framed(GOOD))
    served.verified()


@pytest.mark.needs("processes")
def test_a_number_that_is_none_is_no_waiting_time(served: Site) -> None:
    data = json.dumps(GOOD).replace('"wait_seconds": 5', '"wait_seconds": NaN').encode()
    assert b'"result"' in talk(served, struct.pack(">I", len(data)) + data)


@pytest.mark.needs("processes")
def test_slow_callers_keep_nobody_out_for_long(served: Site) -> None:
    folder = os.open(served.archive, os.O_PATH)
    slow = []
    for _ in range(12):
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(f"/proc/self/fd/{folder}/{protocol.SOCKET_NAME}")
        peer.sendall(b"\0")
        slow.append(peer)
    start = time.monotonic()
    for peer in slow[4:]:
        peer.close()
    assert b'"result"' in talk(served, framed(GOOD))
    assert time.monotonic() - start < 25
    for peer in slow:
        peer.close()
    os.close(folder)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=8), values, max_size=4))
def test_what_is_packed_is_received(document: dict[str, Any]) -> None:
    document.pop("archiver", None)
    data = protocol.encode_message(document)
    place = 0

    def read(count: int) -> bytes:
        nonlocal place
        place += count
        return data[place - count : place]

    assert protocol.read_message(read) == document


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_clear_error(data: bytes) -> None:
    left = [data]

    def read(count: int) -> bytes:
        part, left[0] = left[0][:count], left[0][count:]
        if len(part) < count:
            raise protocol.BadMessage("it ended too early")
        return part

    with contextlib.suppress(protocol.BadMessage):
        protocol.read_message(read)


def test_errors_cross_as_they_are() -> None:
    error = NotFoundError(
        "{what} is not there{more}", what=Path("/x"), more=LazyMessage(" ({n})", n=LazyMessage("one"))
    )
    back = protocol.decode_error(json.loads(protocol.encode_message(protocol.encode_error(error))[4:]))
    assert isinstance(back, NotFoundError)
    assert str(back) == str(error) == "/x is not there (one)"
    for document in (
        {"error": "SystemExit", "template": "", "fields": {}},
        {"error": "os", "template": "", "fields": {}},
        {"error": "UsageProblem", "template": 5, "fields": {}},
        {"error": "UsageProblem", "template": "", "fields": []},
        {},
    ):
        with pytest.raises(protocol.BadMessage):
            protocol.decode_error(document)
    assert isinstance(protocol.decode_error({"error": "UsageProblem", "template": "t", "fields": {}}), UsageError)


NUMBER = "网信算备110108823483901230031号"
SHEET: dict[str, Any] = {"filing": "f", "fields": {"company": "x"}, "force": None, "by": None, "evidence": None}
SHEET |= {"status": None, "portal_text": None, "on": None}
NOTICE: dict[str, Any] = {"filing": "f", "kind": "correction", "received": "2026-02-01", "due": None, "days": None}
NOTICE |= {"issuer": "", "document": "", "owner": "", "file": None, "by": None}
SUBMIT: dict[str, Any] = {"name": "f/s", "version": None, "on": "2026-01-01", "kind": None, "number": None}
SUBMIT |= {"force": None, "receipt": None, "by": None}
#: Every action that takes a file, with the argument that names it.
PAPERS = [
    ("submit", SUBMIT, "receipt"),
    ("filing-set", SHEET, "evidence"),
    ("notice-add", NOTICE, "file"),
    ("display-check", {"filing": "f", "page": None}, "page"),
]


def test_every_action_that_takes_a_file_is_tried_below() -> None:
    taking = {
        (action.name, field.argument.wire_name)
        for action in load_all_actions().values()
        for field in request_fields(action.request_type)
        if field.argument.text_rule is TextRule.NAMES_ATTACHMENT
    }
    assert taking == {(action, key) for action, _, key in PAPERS}


@pytest.mark.needs("processes")
def test_a_file_that_is_named_and_not_sent_is_refused(served: Site) -> None:
    served.run("filing", "set", "f", "--number", NUMBER, "--issued-on", "2026-03-01")
    before = served.git("rev-parse", "journal").stdout

    def ask(action: str, arguments: dict[str, Any], size: int | None, data: bytes = b"") -> Any:
        request = {**GOOD, "action": action, "arguments": arguments, "attachment": size}
        return json.loads(talk(served, framed(request) + data)[4:])

    for action, arguments, key in PAPERS:
        named = {**arguments, key: "回执.pdf"}
        for size, word in ((None, "does not contain the file"), (0, "is empty")):
            answer = ask(action, named, size)
            assert answer["error"] == "UsageProblem", (action, answer)
            assert word in answer["template"], answer
        # Sent without a name, or with one that is none.
        assert "contains an unexpected file" in ask(action, arguments, 2, b"xy")["template"]
        assert "contains an unexpected file" in ask(action, arguments, 0)["template"]
        assert "does not contain the file" in ask(action, {**arguments, key: "folder/"}, 2, b"xy")["template"]
    assert "contains an unexpected file" in ask("checkpoint", {}, 2, b"xy")["template"]
    assert served.git("rev-parse", "journal").stdout == before
    assert "result" in ask("notice-add", {**NOTICE, "file": "通知.txt"}, 2, b"xy")
    assert served.git("show", "journal:evidence.txt").stdout == "xy"
    served.verified()


def test_a_paper_that_is_no_file_is_refused_at_once(site: Site) -> None:
    """A pipe that nobody writes to kept the command waiting for ever."""
    site.write("f/s/a")
    site.catch_up()
    pipe = site.root / "pipe"
    os.mkfifo(pipe)
    before = site.git("rev-parse", "journal").stdout
    for words in (
        ("submit", "f/s", "--on", "2026-03-02", "--receipt"),
        ("filing", "set", "f", "--status", "under_review", "--evidence"),
        ("notice", "add", "f", "--kind", "correction", "--received", "2026-03-02", "--days", "3", "--file"),
        ("display", "check", "f", "--page"),
    ):
        for paper in (pipe, "/dev/zero"):
            line = [COMMAND, "--config", site.config, *words, paper]
            assert subprocess.run(line, capture_output=True, timeout=20, check=False).returncode == 2
    assert site.git("rev-parse", "journal").stdout == before


@pytest.mark.needs("processes")
def test_no_member_of_the_group_writes_what_cannot_be_read_back(served: Site) -> None:
    before = served.git("rev-parse", "journal").stdout

    def ask(action: str, arguments: str) -> Any:
        # As text: Python would not write some of it.
        request = (
            f'{{"archiver":1,"action":"{action}","arguments":{arguments},"wait_seconds":5,"attachment":null}}'
        )
        data = request.encode("ascii")
        return json.loads(talk(served, struct.pack(">I", len(data)) + data)[4:])

    for details in (
        '{"a":' * 980 + "1" + "}" * 980,
        '{"a":' * 5 + "1" + "}" * 5,
        '{"a":[[[[]]]]}',
        '{"a":NaN}',
        '{"a":-Infinity}',
        '{"a":1e999}',
        '{"a":9223372036854775808}',
        '{"a":"x\\u0000y"}',
        '{"a\\u0000b":1}',
        '{"a":"\\ud800"}',
        '{"reason":"x\\u0007y"}',
        '{"recipient":"\\u009b31m"}',
    ):
        for what in ("restore", "export", "protect"):
            answer = ask("note", f'{{"what":"{what}","about":"x","details":{details}}}')
            assert answer["error"] == "UsageProblem", (details[:80], answer)
    for about in ("a\\nb", "a\\u0000b", "\\ud800", "a\\u007fb"):
        assert ask("note", f'{{"what":"restore","about":"{about}","details":{{}}}}')["error"] == "UsageProblem"
    # Nor does one begin the chain of a filing that there is not.
    for filings in ('["none"]', '["f","none"]', '["f/s"]', '[""]', '["\\udcff"]', '["f\\u0000"]'):
        note = f'{{"what":"restore","about":"x","details":{{}},"filings":{filings}}}'
        assert ask("note", note)["error"] == "NotFound", filings
    for reason in ("a\\u0000b", "a\\u001b[2Jb", "a\\rb", "a\\u007f", "a\\u0085b", "\\udcff"):
        hold = f'{{"name":"n","target":"f","reason":"{reason}","by":null}}'
        assert ask("hold-place", hold)["error"] == "UsageProblem", reason
    assert ask("filing-set", json.dumps({**SHEET, "fields": {"products": ["a\0b"]}}))["error"] == "UsageProblem"
    assert ask("notice-add", json.dumps({**NOTICE, "days": True}))["error"] == "UsageProblem"
    assert served.git("rev-parse", "journal").stdout == before
    # A refusal is journalled whatever was asked for.
    assert ask("dispose-run", '{"plan":"D\\u0000\\u001b"}')["error"] == "RetentionRefused"
    assert "D%00%1B" in served.events()[-1]["details"]["reason"]
    served.run("log")
    served.verified()


@pytest.mark.needs("processes")
def test_typed_text_is_kept_in_one_form_and_names_as_they_are(served: Site, tmp_path: Path) -> None:
    served.run("hold", "place", "n", "f", "--reason", "第一\r\n第二\t三\n", "--by", "林\t听雨")
    details = newest(served, "hold")["details"]
    assert (details["reason"], details["by"]) == ("第一\n第二 三\n", "林 听雨")
    refused = served.run("hold", "place", "m", "f", "--reason", "a\x07b", code=2).stderr
    assert "reason" in refused
    assert "U+0007" in refused
    assert "%07" in refused
    assert "not UTF-8" in served.run("hold", "place", "m", "f", "--reason", b"\xb1\xb8", code=2).stderr
    # Bytes of UTF-8, handed on one by one in a locale that is another.
    ascii_only = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
    served.run("hold", "place", "m", "f", "--reason", "第三", env=ascii_only)
    assert newest(served, "hold")["details"]["reason"] == "第三"
    # Names of files and folders are no typed text.
    receipt = tmp_path / "回\n执\t1.pdf"
    receipt.write_text("x")
    served.write("a\tb/s\n1/x", "1")
    wait_until(lambda: len(served.tags()) == 2)
    served.run("submit", "a\tb/s\n1", "--on", "2026-01-01", "--receipt", receipt)
    assert newest(served, "submit")["details"]["receipt"] == "回\n执\t1.pdf"
    served.run("restore", "f/s/v1", "--to", tmp_path / "a\nb")
    assert newest(served, "restore")["details"]["target"].endswith("a\nb")
    served.run("audit", "--to", tmp_path / "p", "--recipient", "a\r\nb", "--reason", "c\td")
    assert newest(served, "export")["details"]["recipient"] == "a\nb"
    assert json.loads((tmp_path / "p/export.json").read_text())["reason"] == "c d"
    served.verified()


def test_a_socket_that_vanishes_at_once_is_closed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service tries again every few seconds, and would have no descriptors left in the end."""
    opened: list[socket.socket] = []
    open_socket = socket_server._open_listening_socket

    def open_and_remove(archive: Path) -> socket.socket:
        opened.append(open_socket(archive))
        (archive / protocol.SOCKET_NAME).unlink()
        return opened[0]

    monkeypatch.setattr(socket_server, "_open_listening_socket", open_and_remove)
    with pytest.raises(FileNotFoundError):
        SocketServer(load_config(site.config), lambda *_, **__: None)
    assert opened[0].fileno() == -1
