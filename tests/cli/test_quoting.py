"""What a message tells a person to type is one command, whatever the names in it are."""

from __future__ import annotations

import json
import os
import re
import string
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.actions import protocol
from archiver.cli.main import COMMANDS
from archiver.errors import LazyMessage, UsageError, shell_word
from archiver.i18n import translator
from tests.support.messages import catalogue, messages
from tests.support.site import COMMAND, Site

#: Programs that a message may ask for, beside ours.
PROGRAMS = (
    "archiver(?= [a-z-])|cat|chattr|chgrp|chmod|chown|cp|git(?= -| (?:clone|config|fetch|fsck|push) )|git-lfs(?= (?:checkout|fetch|fsck|install|pull))|install|ln"
    "|mkdir|mount|mv|openssl|printf|python3|rm|rmdir|sed|setfacl|ssh-keygen|sudo|sysctl|systemctl|umount|useradd|usermod"
)
#: After a colon, to the end of the sentence or a semicolon: to be copied as it stands.
COPIED = re.compile(rf"(?:^|[:：;；]\s*|\n\s*)((?:{PROGRAMS}) (?:(?!\. )[^;；。\n])*)")
#: Within a sentence: as long as there are words of a command.
NAMED = re.compile(rf"\barchiver (?:{'|'.join(COMMANDS)}|-)(?:[ ]?(?:[a-z-]+|[A-Z/]+|\{{\w+(?:![a-z])?\}}:?))*")


def unquoted(template: str) -> list[str]:
    """The commands in a message that hold a field as it is."""
    commands = [match[1] for match in COPIED.finditer(template)] + NAMED.findall(template)
    return [
        command
        for command in commands
        if any(name is not None and form != "q" for _, name, _, form in string.Formatter().parse(command))
    ]


def templates() -> set[str]:
    return {form for message in messages() for form in message.forms} | set(catalogue().values())


def test_every_field_in_a_command_is_quoted() -> None:
    found = {template: unquoted(template) for template in templates()}
    assert {template: commands for template, commands in found.items() if commands} == {}


@pytest.mark.parametrize(
    ("template", "wrong"),
    [
        ("Look: archiver log {filing}", True),
        ("Look: archiver log {filing!q}", False),
        ("请看：archiver log {filing}", True),
        ("Mend it: chown -R {user!q}: {archive}", True),
        ("First: archiver log {a!q}; then: rm {b}", True),
        ("Run archiver show {tag}, and look.", True),
        ("Run archiver verify, and bring {path} back.", False),
        ("{filing} is missing: {reason}", False),
    ],
)
def test_the_test_of_the_templates_sees_what_it_should(template: str, wrong: bool) -> None:
    assert bool(unquoted(template)) == wrong


def test_translations_quote_the_same_fields() -> None:
    for message, chinese in catalogue().items():
        # One that is not translated yet is the matter of another test.
        if chinese:
            quoted = [sorted(re.findall(r"\{(\w+)!q\}", text)) for text in (message.template, chinese)]
            assert quoted[0] == quoted[1], message


# --- what the shell makes of it

NAMES = [
    b"plain/v1",
    "推荐 算法/首次".encode(),
    b"a; touch owned",
    b"$(touch owned)`touch owned`",
    b'it\'s "quoted"',
    b"back\\slash",
    b"100%25",
    b"new\nline\ttab",
    "材料".encode("gbk"),
    b"\x1b[2J",
    b"7\x017 it's \\",
    "zero\u200bwidth\u3000space\u202e".encode(),
    b"",
]


def words(command: str, folder: Path) -> list[bytes]:
    """The arguments that bash hands to a program."""
    listing = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], cwd=folder, capture_output=True, check=True
    )
    return listing.stdout.split(b"\0")[:-1]


def forms(name: bytes) -> list[Any]:
    """The same name as it comes: bytes, text from arguments, a path; and out of the daemon's answer."""
    text = name.decode("utf-8", "surrogateescape")
    given = [name, text, Path(os.fsdecode(name))] if name else [name, text]
    return [*given, json.loads(json.dumps(text))]


@pytest.mark.needs("processes")
@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_the_shell_reads_the_very_name(name: bytes, tmp_path: Path) -> None:
    for form in forms(name):
        for phrase in (LazyMessage("{name!q}", name=form), UsageError("{name!q}", name=form)):
            assert words(str(phrase), tmp_path) == [name]
        for lang in ("en", "zh"):
            told = translator(lang)(LazyMessage("{name}: archiver log {name!q}", name=form))
            quoted = told.partition(": archiver log ")[2]
            assert words(quoted, tmp_path) == [name]
            assert quoted.isprintable()
    assert not (tmp_path / "owned").exists()


@pytest.mark.needs("processes")
@given(st.lists(st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"")), min_size=1, max_size=5))
def test_any_names_stay_as_many_words(tmp_path_factory: pytest.TempPathFactory, names: list[bytes]) -> None:
    command = " ".join(map(shell_word, names))
    assert command.isprintable()
    assert words(command, tmp_path_factory.getbasetemp()) == names


def test_a_command_crosses_the_socket() -> None:
    raised = UsageError("Look: archiver show {tag!q}", tag="a 'b'", why=LazyMessage("x {y!q}", y="c d"))
    packed = protocol.encode_message(protocol.encode_error(raised))
    caught = protocol.decode_error(protocol.read_message(_reader(packed)))
    assert str(caught) == str(raised) == "Look: archiver show 'a '\"'\"'b'\"'\"''"
    assert str(caught.message.fields["why"]) == "x 'c d'"


def _reader(data: bytes) -> Any:
    rest = bytearray(data)

    def read(count: int) -> bytes:
        taken = bytes(rest[:count])
        del rest[:count]
        return taken

    return read


# --- the installed command


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_printed_command_can_be_copied_for_any_filing(site: Site, lang: str) -> None:
    """Whoever can make a folder on the share must not choose what the officer's shell does."""
    site.write("a;touch$IFS'owned'/s 1/x", "1")
    site.write("100%25 (甲)/首次/x", "1")
    site.catch_up()
    for filing in {version["filing"] for version in site.json("log")}:
        told = site.run("--lang", lang, "restore", filing, "--at", "2001-01-01", "--to", "x", code=7).stderr
        copy(site, told)


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("command", ["notice list", "status"])
def test_an_unrecorded_notice_is_named_by_its_path(site: Site, command: str, lang: str) -> None:
    """``--file FILE`` made the officer look for the file that was just found."""
    site.write("推荐/通知/约谈 通知.txt", "约谈通知")
    site.write(b"\xcd\xc6/\xe9\x80\x9a\xe7\x9f\xa5/\xbb\xb5's.txt", "责令改正")
    site.catch_up()
    lines = [
        line for line in site.run("--lang", lang, *command.split()).stdout.splitlines() if "notice add" in line
    ]
    assert len(lines) == 2
    for line in lines:
        copy(site, line)


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_tag_is_spelled_in_one_way(site: Site, lang: str) -> None:
    """Tables, messages and commands: a tag is copied from one to the next."""
    site.write("Search engine/首 次/a b", "1")
    site.catch_up()
    site.run("submit", "Search%20engine/首%20次", "--on", "2026-03-20", "--kind", "first")
    site.write("Search engine/首 次/a b", "2")
    site.catch_up()
    tag = "Search engine/首 次/v1"
    for command in (["log"], ["show", tag], ["explain", f"{tag}:a b"], ["status"], ["dispose", "plan"]):
        done = site.run("--lang", lang, *command, code=None)
        assert "Search engine/首 次/" in done.stdout + done.stderr, command
        assert "%" not in done.stdout + done.stderr, command


def test_a_percent_in_a_message_is_that_of_the_text() -> None:
    translate = translator("en")
    assert translate(LazyMessage("{tag}", tag="a%20b/v1")) == "a%20b/v1"
    assert translate(LazyMessage("{path}", path=b"a%20b")) == "a%2520b"
    # What a person types in the C locale.
    assert translate(LazyMessage("{text}", text=os.fsencode("推荐").decode("ascii", "surrogateescape"))) == "推荐"
    assert translate(LazyMessage("{text}", text="\udcb1")) == "%B1"


def copy(site: Site, told: str) -> None:
    """Run the command at the end of a message."""
    command = (
        told[told.index(": archiver ") + 2 :] if ": archiver " in told else told[told.index("：archiver ") + 1 :]
    )
    env = {
        **os.environ,
        "PATH": f"{COMMAND.parent}:{os.environ['PATH']}",
        "ARCHIVER_CONFIG": os.fspath(site.config),
    }
    done = subprocess.run(["bash", "-c", command], cwd=site.root, env=env, capture_output=True, text=True)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert not list(site.root.glob("owned*"))


@pytest.mark.needs("root")
@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_command_that_root_copies_changes_this_archive_only(tmp_path: Path, lang: str) -> None:
    other = tmp_path / "x"
    other.mkdir()
    site = Site(tmp_path / "x archive; touch owned $(touch owned)").init()
    told = site.run("--lang", lang, "service", "install", "--user", "nobody", "--to", "unit", code=2).stderr
    command = told[told.index("chown ") :]
    subprocess.run(["bash", "-c", command], cwd=tmp_path, check=True, capture_output=True)
    assert site.archive.stat().st_uid == 65534
    assert other.stat().st_uid == site.root.stat().st_uid == 0
    assert not (tmp_path / "owned").exists()
