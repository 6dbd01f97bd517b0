"""Chinese and English: the catalogue is whole, and nothing English leaks into Chinese."""

from __future__ import annotations

import ast
import os
import re
import string
import subprocess
import sys
from pathlib import Path

import click
import pytest
from babel.messages.mofile import read_mo

from archiver.cli.main import COMMANDS, cli
from archiver.intake.exclusion.litter import LITTER
from tests.support.messages import (
    CATALOGUE,
    ROOT,
    Source,
    catalogue,
    entries,
    messages,
    read_package,
    read_source,
    sources,
)
from tests.support.site import COMMAND, Site


@pytest.mark.needs("processes")
def test_every_message_is_translated_and_none_is_left_over() -> None:
    translated = catalogue()
    assert messages() - translated.keys() == set()
    assert translated.keys() - messages() == set()
    assert {message for message, chinese in translated.items() if not chinese} == set()


def test_every_message_is_written_where_it_is_used() -> None:
    """One that is computed can neither be translated nor found; the catalogue's test would not miss it."""
    assert [str(each) for each in read_package().unwritten] == []


def read_with(module: str) -> Source:
    """What is found with one module more, of those few that define what it calls."""
    known = {path: tree for path, tree in sources().items() if path.name in ("console.py", "service.py")}
    return read_source({**known, ROOT / "planted.py": ast.parse(module)})


@pytest.mark.parametrize(
    "line",
    [
        "console.info(text)",
        'console.info(f"{name} is gone")',
        'console.info("it " + name)',
        "raise StorageError(reason)",
        "LazyMessage(word)",
        "LazyMessage.define(WORDS[0], code='a.b')",
        "LazyMessage.define('a', code=made)",
        "report(SENTENCES[kind], problem='x')",
        "self._report(error.args[0])",
    ],
)
def test_a_message_that_is_not_written_is_found(line: str) -> None:
    module = f"def planted(console: Console, report: Reporter, name: str, **x: object) -> None:\n    {line}\n"
    found = read_with(module)
    assert [each.path.name for each in found.unwritten] == ["planted.py"]


@pytest.mark.parametrize(
    "line",
    [
        'console.info("planted {count}", count=1)',
        'raise StorageError("planted {count}", count=1)',
        'LazyMessage("planted {count}", count=1)',
        'LazyMessage.define("planted {count}", singular="planted one", code="a.b", context="c").with_fields(count=1)',
        'report("planted {count}" if name else "other", problem="x")',
        'class A:\n        def hint_at(self, template: str) -> None: ...\n    A().hint_at("planted {count}")',
    ],
)
def test_a_message_that_is_written_is_found(line: str) -> None:
    module = f"def planted(console: Console, report: Reporter, name: str, **x: object) -> None:\n    {line}\n"
    found = read_with(module)
    assert "planted {count}" in {message.template for message in found.messages}
    assert found.unwritten == []


def test_what_is_called_message_is_one() -> None:
    """``report(error.message)`` is taken for a message by its name alone."""
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and node.target.id == "message"
            ):
                assert ast.unparse(node.annotation).startswith("LazyMessage"), (path, node.lineno)
            if isinstance(node, ast.FunctionDef) and node.name == "message" and node.returns is not None:
                assert ast.unparse(node.returns).startswith("LazyMessage"), (path, node.lineno)


def test_placeholders_are_the_same() -> None:
    for message, chinese in catalogue().items():
        assert _fields(chinese) in [_fields(form) for form in message.forms], message


def _fields(text: str) -> set[tuple[str, str | None]]:
    return {(name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None}


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    with open(CATALOGUE.with_suffix(".mo"), "rb") as stream:
        compiled = entries(read_mo(stream))
    assert compiled == {message: chinese for message, chinese in catalogue().items() if chinese}


def test_chinese_output_has_no_english_words(site: Site) -> None:
    site.write("算法/首次/报告", "1")
    site.write("算法/首次/~$报告", "1")
    site.catch_up()
    site.run("submit", "算法/首次", "--on", "2026-03-20")
    site.write("算法/首次/报告", "2")
    site.catch_up()
    commands = [
        ["status"],
        ["log"],
        ["show", "算法/首次/v1"],
        ["diff", "算法/首次/v1", "算法/首次/v2"],
        ["explain", "算法/首次/v1"],
        ["verify"],
        ["dispose", "plan"],
        ["show", "算法/首次/v9"],
        ["log", "无"],
        ["restore", "算法/首次/v1", "--to", "还原"],
    ]
    for command in commands:
        done = site.run("--lang", "zh", *command, code=None)
        text = re.sub(rf"{site.root}\S*", "", done.stdout + done.stderr)
        # Names, tags, options, commands and settings stay as they are.
        text = re.sub(
            r"archiver(\.toml|( [a-z]+){1,2})?|算法/首次/\S+|--[a-z]+|retention\.(years|profiles)|cn-algorithm-filing|SHA-256|[0-9a-f]{16}|v\d",
            "",
            text,
        )
        for litter in LITTER:  # and so do the names of programs
            text = text.replace(litter.program, "")
        assert not re.findall(r"[A-Za-z]{3,}", text), (command, text)


def leaks(text: str) -> list[str]:
    """English words but for names, tags, options, metavariables and values that are typed as they stand."""
    # Codes are typed as they stand; their meaning follows them.
    text = re.sub(r"\{[a-z]+\}|\b(?:yes|no)(?=\s*为)", "", text)
    text = re.sub(r"[a-z_{}/-]+(?=\s*（)", "", text)
    text = re.sub(r"\[sensitive\]\s+patterns|（(?:html|markdown|text)）|status(?=\s+显示)", "", text)
    text = re.sub(
        r"archiver( [a-z-]+( [a-z]+)?)?|\S+\.toml|[^\s.]+\.[a-z_]+|\S*/\S*|--?[a-z][a-z-]*|\[[a-z_|-]+\]", "", text
    )
    text = re.sub(r"systemd|never|toml|iCalendar|json|zip|png|svg|root|git|PEM|App|Ctrl-C|\[\S*x\S*\]", "", text)
    return re.findall(r"[A-Za-z]*[a-z]{3,}[A-Za-z]*", text)


def commands() -> list[list[str]]:
    found = []
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        found.append([name])
        if isinstance(command, click.Group):
            found += [[name, each] for each in command.commands]
    return found


@pytest.mark.needs("processes")
@pytest.mark.parametrize("words", [[], *commands()], ids=" ".join)
def test_help_is_chinese_in_chinese_and_english_in_english(
    words: list[str],
) -> None:
    chinese, english = (
        subprocess.run(
            [COMMAND, "--lang", lang, *words, "--help"], capture_output=True, text=True, check=True
        ).stdout
        for lang in ("zh", "en")
    )
    assert leaks(re.sub(r"^  [a-z-]+(?=  )", "", chinese, flags=re.MULTILINE)) == []
    assert re.search("[\u4e00-\u9fff]", chinese)
    assert not re.findall("[\u4e00-\u9fff]", english)


ALL_HELP = """
import sys
from archiver.cli.main import main
codes = {main(["--lang", sys.argv[1], *words.split(), "--help"]) for words in sys.argv[2:]}
sys.exit(max(codes))
"""


@pytest.mark.needs("processes")
@pytest.mark.parametrize("lang", ["zh", "en"])
def test_help_is_the_same_without_docstrings(lang: str, tmp_path: Path) -> None:
    """PYTHONOPTIMIZE=2 takes them away, and a server may set it for everything."""
    line = [sys.executable, "-c", ALL_HELP, lang, *(" ".join(words) for words in [[], *commands()])]
    kept, stripped = (
        subprocess.run(
            line,
            capture_output=True,
            text=True,
            check=True,
            # Not into the checkout: its compiled modules are those of everybody else.
            env={**os.environ, "PYTHONOPTIMIZE": level, "PYTHONPYCACHEPREFIX": os.fspath(tmp_path)},
        ).stdout
        for level in ("", "2")
    )
    assert kept.count("--help") >= len(commands())
    assert stripped == kept


@pytest.mark.parametrize(
    "words",
    [["submit"], ["bogus"], ["submit", "x", "--on"], ["log", "--nothing"], ["audit", "--to", "x", "--kind", "y"]],
)
def test_wrong_usage_is_told_in_chinese(words: list[str], site: Site) -> None:
    told = site.run("--lang", "zh", *words, code=2).stderr
    typed = (
        "first",
        "subject",
        "correction",
        "change",
        "deregistration",
        "inspection",
        "annual",
        "other",
        "bogus",
    )
    assert leaks(re.sub("|".join(typed), "", told)) == []


def test_the_desk_speaks_chinese(site: Site) -> None:
    name = "推荐算法"
    site.write(f"{name}/首次/报告", "1")
    site.write(f"{name}/通知/补正通知.txt", "补正")
    site.catch_up()
    site.run("submit", f"{name}/首次", "--on", "2026-03-20")
    for command in (
        ["filing", "list"],
        [
            "filing",
            "set",
            name,
            "--status",
            "under_review",
            "--service-end",
            "2026-05-01",
            "--scheme",
            "algorithm",
        ],
        ["filing", "set", name, "--number", "123"],
        ["filing", "set", name, "--status", "lost"],
        ["notice", "list"],
        ["notice", "add", name],
        ["notice", "add", name, "--kind", "inquiry", "--received", "2026-04-01", "--due", "2026-03-01"],
        ["notice", "add", name, "--kind", "inquiry", "--received", "2026-04-01", "--days", "3"],
        ["notice", "answer", "7", "--submission", f"{name}/首次"],
        ["notice", "answer", "1", "--submission", f"{name}/首次"],
        ["deadlines"],
        ["status"],
        ["filing", "set", name, "--number", "网信算备110108823483901230031号", "--issued-on", "2026-04-10"],
        ["display", "check", name],
        ["change", "list"],
        ["change", "decide", "1", "--material", "yes", "--reason", "x"],
        ["filing", "show", name],
        ["remind"],
        ["notice-board", name, "--format", "text"],
    ):
        done = site.run("--lang", "zh", *command, code=None)
        text = re.sub(rf"{site.root}\S*", "", done.stdout + done.stderr)
        known = "lost|reminders.targets|ARCHIVER_TARGET_OWNER|pages = |filings|https|draft|submitted|under_review|returned"
        known += (
            "|resubmitted|filed|change_pending|deregistration_pending|deregistered|revoked|withdrawn|re(?=[,。])"
        )
        assert leaks(re.sub(known, "", text)) == [], (command, text)


def test_every_other_command_speaks_chinese(site: Site) -> None:
    site.write("算法/首次/报告.pdf", "1")
    for command in (
        ["init", "--archive", site.root / "二", "--watch", site.root / "三", "--config", site.root / "二.toml"],
        ["run", "--once", "--settle", "0"],
        ["submit", "算法/首次", "--on", "2026-03-20", "--kind", "first"],
        ["hold", "place", "抽查", "算法", "--reason", "检查"],
        ["hold", "list"],
        ["hold", "lift", "抽查", "--reason", "结束"],
        ["checkpoint", "--print"],
        ["drill"],
        ["key", "rotate", "--reason", "更换"],
        ["key", "backup", "--to", "备份"],
        ["audit", "--to", "包"],
        ["reindex"],
        ["filing", "end", "算法", "--on", "2026-04-01", "--reason", "注销"],
        ["dispose", "list"],
        ["dispose", "run", "无"],
        ["deadlines", "--ics", "期限.ics"],
        ["remind", "--dry-run"],
        ["display", "check", "算法"],
        ["service", "install", "--to", "archiver.service"],
        ["restore", "算法/首次/v1", "--to", "还原"],
        ["status", "--check"],
    ):
        done = site.run("--lang", "zh", *command, code=None)
        assert done.stdout + done.stderr, command
        text = re.sub(
            rf"{site.root}\S*|archiver-witness.*|SHA-?256[:\w/+=]*|ssh-ed25519 \S+|python3 \S+ \S+ verify\.py",
            "",
            done.stdout + done.stderr,
        )
        text = re.sub(
            r"root|useradd|nologin|dispose run|report|reload|enable|daemon-reload|systemctl|chown|sudo|html|https|pages|filings",
            "",
            text,
        )
        assert leaks(text) == [], (command, text)


def test_the_settings_choose_the_language(site: Site) -> None:
    site.set("archive", "lang", '"zh"')
    assert "档案库" in site.run("status", env={"LC_ALL": "C.UTF-8"}).stdout


def test_the_locale_chooses_where_nobody_does(site: Site) -> None:
    assert "档案库" in site.run("status", env={"LC_ALL": "zh_CN.UTF-8"}).stdout
    assert "档案库" in site.run("status", "--lang", "zh").stdout
    assert "Archive:" in site.run("status", env={"LC_ALL": "de_DE.UTF-8"}).stdout
