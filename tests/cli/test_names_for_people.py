"""A folder is called the same on the screen and in every command, whatever git makes of its name."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from archiver.naming.named_documents import add_readable_names, recognize_ref_names
from archiver.naming.readable_names import readable_name
from archiver.naming.ref_names import RefName
from archiver.store.names import ref_component
from archiver.verify.findings import VerifyReport
from tests.support.other_user import CHECKOUT
from tests.support.site import COMMAND, Site

pytestmark = pytest.mark.needs("processes")

#: What git refuses in refs, what looks like an escape or an option, and what could reorder or forge a line.
ODD_NAMES = [
    "2024-05-20 变更".encode(),
    b"a~b^c:d?e*f[g\\h",
    b"-rf",
    b"..a..b.",
    b"x.lock",
    b"@",
    b"a@{b",
    b"100%20 sure",
    b"%41",
    b"%+0123456789abcdef",
    b"_common",
    b"_unfiled",
    b'it\'s $(id) "q"',
    b" lead and trail ",
    "全角\u3000空格".encode(),
    "通知\u202etxt.exe".encode(),
    "零\u200b宽".encode(),
    b"line\nArchived x",
    "变更".encode("gb18030"),
    b"\xff\xfe",
    "e\u0301".encode(),
    "\u00e9".encode(),
    ("很长的名字" * 16).encode(),
    b"v1:x",
]

#: The program gives these names itself, so folders of these names keep an escape.
OURS = (b"_common", b"_unfiled")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    site = Site(tmp_path_factory.mktemp("odd")).init()
    for name in ODD_NAMES:
        site.write(b"%s/%s/%s" % (name, name, name), name)
    site.catch_up()
    return site


def called(*folders: bytes) -> str:
    """The names as the file system has them, but for a dash, which a command would take for an option."""
    names = [f"%5F{name[1:].decode()}" if name in OURS else readable_name(name) for name in folders]
    return "/".join(names).replace("-", "%2D", 1) if names[0].startswith("-") else "/".join(names)


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name)[:60])
def test_each_name_is_accepted_as_it_is_printed(site: Site, name: bytes) -> None:
    """The version is shown, and its file found, by the names that the listings print."""
    tag = f"{called(name, name)}/v1"
    assert tag in site.run("log").stdout
    shown = site.json("show", tag)
    assert (shown["tag"], shown["name"]) == (f"{ref_component(name)}/{ref_component(name)}/v1", tag)
    path = shown["materials"][0]["path"]
    assert site.json("explain", f"{tag}:{path}")["name"] == tag
    assert [version["name"] for version in site.json("log", called(name, name))] == [tag]
    assert [version["name"] for version in site.json("log", called(name))] == [tag]


@pytest.mark.parametrize("name", ODD_NAMES, ids=lambda name: repr(name)[:60])
def test_the_ref_form_is_still_accepted(site: Site, name: bytes) -> None:
    """Scripts have it from ``tag``, and people from what earlier releases printed."""
    tag = f"{ref_component(name)}/{ref_component(name)}/v1"
    assert site.json("show", tag)["tag"] == tag


def test_nothing_printed_reorders_or_forges_a_line(site: Site) -> None:
    printed = site.run("log").stdout
    assert not set(printed) & {"\u202e", "\u200b", "\x1b"}
    assert not any(line.startswith("Archived x") for line in printed.splitlines())


def test_the_bytes_themselves_are_accepted(site: Site) -> None:
    """A shell completes the name of the folder, so it comes as the bytes that the file system has."""
    raw_name = "变更".encode("gb18030")
    assert site.json("log", raw_name)[0]["filing"] == ref_component(raw_name)


def test_a_name_in_the_other_unicode_form_is_found(tmp_path: Path) -> None:
    """A Mac decomposes what it stores, and the keyboard types the composed form."""
    site = Site(tmp_path).init()
    site.write("cafe\u0301/一/a.txt")
    site.catch_up()
    assert site.json("log", "caf\u00e9")[0]["name"] == "cafe\u0301/一/v1"


def test_every_command_in_a_message_can_be_copied(site: Site) -> None:
    """A missing file of an odd version: the message names a command, and the shell reads the same name from it."""
    tag = f"{called(ODD_NAMES[0], ODD_NAMES[0])}/v1"
    message = site.run("explain", f"{tag}:missing", code=7).stderr
    command = shlex.split(message.partition("run: ")[2])
    assert command == ["archiver", "show", tag]
    site.run(*command[1:])


@pytest.mark.parametrize("layout", ["{filing}/{submission}", "{filing}"])
def test_records_are_kept_by_the_same_name(tmp_path: Path, layout: str) -> None:
    """From the hold to the package, on the screen and in JSON, nothing has the escapes that are for git."""
    site = Site(tmp_path, layout).init()
    filing, folder = "推荐 算法", "2024-05-20 变更"
    site.write(f"{filing}/{folder}/报告.txt")
    site.catch_up()
    submission = f"{filing}/{folder}" if "submission" in layout else f"{filing}/01"
    printed = [
        site.run("submit", submission, "--on", "2024-05-20", "--kind", "first"),
        site.run("hold", "place", "调查", submission, "--reason", "稽查"),
        site.run("hold", "list"),
        site.run("filing", "set", filing, "--company", "某公司"),
        site.run("filing", "list"),
        site.run("filing", "show", filing),
        site.run("notice", "add", filing, "--kind", "inquiry", "--received", "2024-05-21", "--days", "5"),
        site.run("notice", "answer", "1", "--submission", submission, "--on", "2024-05-22"),
        site.run("notice", "list"),
        site.run("deadlines", "--all"),
        site.run("explain", f"{submission}/submitted"),
        site.run("dispose", "plan", f"{submission}/v1", code=4),
        site.run("log", filing, "--records"),
        site.run("restore", f"{submission}/v1", "--to", tmp_path / "restored"),
        site.run("audit", "--filing", filing, "--to", tmp_path / "package"),
        site.run("status"),
        site.run("hold", "lift", "调查", submission, "--reason", "结束"),
        site.run("verify"),
    ]
    text = "".join(done.stdout + done.stderr for done in printed)
    assert "%20" not in text
    assert f"{submission}/v1" in text
    report = (tmp_path / "package" / "report.html").read_text("utf-8")
    assert "%20变更" not in report.replace('href="', "")
    assert folder in report or "submission" not in layout


def test_what_the_daemon_answers_is_printed_the_same(site: Site) -> None:
    """The types of names do not pass through the socket; the names themselves do."""
    long_name = ref_component(("很长的名字" * 16).encode())
    result = {"tag": RefName(f"{long_name}/a%20b/v1"), "objects": [RefName("a%20b")], "path": "a%20b", "kept": 1}
    received = recognize_ref_names(json.loads(json.dumps(add_readable_names(result))))
    assert received["tag"].for_people == received["name"] == f"{'很长的名字' * 16}/a b/v1"
    assert [name.for_people for name in received["objects"]] == received["object_names"] == ["a b"]
    assert not isinstance(received["path"], RefName)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_what_the_shell_completes_is_accepted(site: Site, shell: str) -> None:
    """zsh and fish quote what they insert; bash inserts it as it is, and so gets escapes that commands accept."""
    environment = {f"_{COMMAND.name.upper()}_COMPLETE": f"{shell}_complete", "COMP_CWORD": "2"}
    environment["COMP_WORDS"] = "archiver show " + (
        "" if shell == "fish" else "2024-05-20%20" if shell == "bash" else "2024"
    )
    done = subprocess.run(
        [COMMAND], env={**os.environ, **environment}, capture_output=True, text=True, cwd=site.root, check=True
    )
    offered = [re.split(r"[,\n]", line)[-1] for line in done.stdout.splitlines()]
    [tag] = [line for line in offered if line.startswith("2024") and line.endswith("/v1")]
    assert ("%20" in tag) is (shell == "bash")
    assert site.json("show", tag)["name"] == f"{called(ODD_NAMES[0], ODD_NAMES[0])}/v1"


def test_a_terminal_that_lacks_a_character_shows_what_commands_accept(tmp_path: Path) -> None:
    """GBK has no emoji and no é; GB18030 and UTF-8 have all."""
    site = Site(tmp_path).init()
    site.write("推荐😀/caf\u00e9 首次/a.txt")
    site.catch_up()
    environment = {**os.environ, "PYTHONIOENCODING": "gbk"}
    command = [COMMAND, "--config", site.config, "log"]
    printed = subprocess.run(command, env=environment, capture_output=True, check=True).stdout.decode("gbk")
    assert "推荐%F0%9F%98%80/caf" in printed
    tag = printed.splitlines()[1].split("  ")[0]
    assert site.json("show", tag)["name"] == "推荐😀/caf\u00e9 首次/v1"


def test_json_on_the_screen_keeps_names_and_their_order(site: Site) -> None:
    """A program reads the mark of direction in the path, and the terminal does not obey it."""
    name = "通知\u202etxt.exe"
    printed = site.run("show", f"{called(name.encode(), name.encode())}/v1", "--json").stdout
    assert "\u202e" not in printed
    assert json.loads(printed)["materials"][0]["path"] == name


def test_a_package_has_the_folders_as_they_are_called(site: Site, tmp_path: Path) -> None:
    """Where a reader of packages cannot take a name, names.json has it; and nothing in the report is reordered."""
    package = tmp_path / "package"
    site.run("audit", "--to", package)
    folders = {path.name for path in (package / "data/versions").iterdir()}
    assert {"2024-05-20 变更", "100%20 sure", 'it\'s $(id) "q"'} & folders == {"2024-05-20 变更"}
    assert len(folders) == len(ODD_NAMES), "no two filings share a folder"
    originals = json.loads((package / "data/names.json").read_text("utf-8"))
    assert {"a~b^c:d?e*f[g\\h", "_common", "%B1%E4%B8%FC", "100%2520 sure"} <= {
        original.split("/")[0] for original in originals.values()
    }
    report = (package / "report.html").read_text("utf-8")
    assert not set(report) & {"\u202e", "\u200b"}
    assert "2024-05-20 变更/v1" not in report or "2024-05-20%20变更" not in report
    done = subprocess.run(
        [sys.executable, "-I", "-S", package / "verify.py", "--lang", "en"], capture_output=True, text=True
    )
    assert "No findings." in done.stdout, done.stdout
    versions = json.loads((package / "data/versions.json").read_text("utf-8"))
    assert all(RefName(version["tag"]).for_people == version["name"] for version in versions)


def test_verify_names_the_folder_and_gives_programs_the_tag(site: Site) -> None:
    report = VerifyReport()
    report.add_finding("A041", RefName("2024-05-20%20变更/x/v1"))
    (finding,) = add_readable_names(report.as_json())["findings"]
    assert (finding["object"], finding["object_name"]) == ("2024-05-20%20变更/x/v1", "2024-05-20 变更/x/v1")


def test_the_verifier_of_a_package_shows_the_same_names() -> None:
    """It is a file of its own, without the program; shortened names and those that are not UTF-8 stay escaped."""
    verifier = runpy.run_path(os.fspath(CHECKOUT / "archiver/audit/resources/verify.py"))
    for name in ODD_NAMES:
        ref = RefName(f"x/{ref_component(name)}/v1")
        if "%+" not in ref and readable_name(name).isascii() is name.isascii():
            assert verifier["displayable"](verifier["readable_tag"](ref)) == ref.for_people


def test_a_correction_takes_the_name_of_the_folder(tmp_path: Path) -> None:
    site = Site(tmp_path).init()
    for folder in ("推荐 算法/首 次", "推荐 算法/补 正"):
        site.write(f"{folder}/a.txt", folder)
    site.catch_up()
    for folder in ("首 次", "补 正"):
        site.run("submit", f"推荐 算法/{folder}", "--on", "2024-05-20")
    site.run("notice", "add", "推荐 算法", "--kind", "inquiry", "--received", "2024-05-21")
    site.run("notice", "answer", "1", "--submission", "推荐 算法/首 次", "--on", "2024-05-22")
    (answer,) = site.events("notice-answer")
    done = site.run(
        "correct", answer["seq"], "--set", "submission=推荐 算法/补 正", "--reason", "the other folder"
    )
    assert "推荐 算法/首 次 -> 推荐 算法/补 正" in done.stdout
    (correction,) = site.json("log", "推荐 算法", "--records")[-1]["corrections"]
    assert correction["changes"][0]["new"] == "推荐%20算法/补%20正"
    assert correction["changes"][0]["new_name"] == "推荐 算法/补 正"


def test_the_log_of_the_service_has_both_names(tmp_path: Path) -> None:
    site = Site(tmp_path).init()
    site.write("推荐 算法/首 次/a.txt")
    done = site.run("run", "--once", "--settle", "0.05", "--log", "json")
    (line,) = [json.loads(line) for line in done.stdout.splitlines() if '"tag"' in line]
    assert (line["tag"], line["name"]) == ("推荐%20算法/首%20次/v1", "推荐 算法/首 次/v1")
    assert "推荐 算法/首 次/v1" in line["message"]
