"""What a person reads in a terminal of 80 columns: nothing that is copied is cut in two."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from archiver.cli import localized
from archiver.cli.line_breaks import break_lines, display_width
from archiver.cli.main import COMMANDS, cli
from archiver.errors import fill_template
from tests.support.messages import catalogue

COLUMNS = 80
#: What stands in a field: a path, a tag in Chinese, a file name, an option, an address.
VALUES = (
    "/srv/archive/archive.git/lfs/objects/19/4c/194c65b41e4068f3",
    "推荐算法/首次备案/v12",
    "算法安全自评估报告.docx",
    "--restore-settings",
    "s3://bucket/prefix",
)
#: What a person copies from a text.
UNIT = re.compile(
    rf"archiver (?:{'|'.join(COMMANDS)})(?![\w-])|--[a-z][a-z-]*|\$?[A-Z_]{{3,}}[A-Z]"
    r"|(?:[.~]{0,2}/|[a-z]+://)[\w./-]*\w|[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_-]+)+"
)


def commands(command: click.Command, context: click.Context) -> Iterator[tuple[click.Command, click.Context]]:
    yield command, context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, inner.context_class(inner, info_name=name, parent=context))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_help_cuts_nothing_and_fits(lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("LANGUAGE", lang)
    localized.select_language([], lang)
    for command, context in commands(cli, cli.context_class(cli, info_name="archiver")):
        lines = command.get_help(context).splitlines()
        assert [line for line in lines if display_width(line) > COLUMNS] == [], context.command_path
        options = [param.help for param in command.params if isinstance(param, click.Option)]
        for text in map(localized.translate_help, [command.help, *options]):
            for unit in UNIT.findall(text):
                assert any(unit in line for line in lines), (context.command_path, unit)


@pytest.mark.parametrize(
    ("lang", "described"),
    [
        ("en", ["subject (company information), first (first filing),", "yes (a change submission is required)"]),
        ("zh", ["subject（主体信息）、first（首次备案）、correction（补正）、", "yes（已变更，须办理变更手续）"]),
    ],
)
def test_help_tells_the_meaning_of_each_code(
    lang: str, described: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("LANGUAGE", lang)
    localized.select_language([], lang)
    helps = {
        context.command_path: re.sub(r"\s+", " " if lang == "en" else "", command.get_help(context))
        for command, context in commands(cli, cli.context_class(cli, info_name="archiver"))
    }
    assert described[0] in helps["archiver submit"]
    assert described[0] in helps["archiver audit"]
    assert described[1] in helps["archiver change decide"]


def filled(template: str, value: str) -> str:
    fields: dict[str, Any] = {}
    for _, name, form, _ in string.Formatter().parse(template):
        if name is not None:
            fields[name] = 12 if form else value
    return fill_template(template, fields)


@pytest.mark.parametrize("value", VALUES)
def test_no_message_is_cut_within_what_a_person_copies(value: str) -> None:
    for message, chinese in catalogue().items():
        for template in (*message.forms, chinese):
            text = " ".join(filled(template, value).split("\n"))
            lines = break_lines(text, COLUMNS)
            for unit in {value, *UNIT.findall(text)}:
                assert sum(line.count(unit) for line in lines) == text.count(unit), (unit, lines)


@given(st.text(alphabet="算法，。（）/v1.-a $", max_size=200), st.integers(10, 80))
def test_breaking_changes_nothing_but_spaces(text: str, width: int) -> None:
    lines = break_lines(text, width)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (
            "默认依次为 $ARCHIVER_CONFIG、./archiver.toml。",
            ["默认依次为", "$ARCHIVER_CONFIG、", "./archiver.toml。"],
        ),
        ("已登记（算法推荐）。", ["已登记（算法推荐）。"]),
        ("请先运行：archiver dispose plan", ["请先运行：", "archiver dispose plan"]),
        ("见 推荐/首次/v1 的材料清单", ["见 推荐/首次/v1 的材", "料清单"]),
        ("Use --no-lock here, or read-only", ["Use --no-lock here,", "or read-only"]),
    ],
)
def test_a_line_ends_where_a_reader_expects_it(text: str, lines: list[str]) -> None:
    assert break_lines(text, 21) == lines


def test_a_chinese_character_takes_two_columns() -> None:
    assert [display_width(text) for text in ("算法", "a，", "cafe\u0301", "")] == [4, 3, 4, 0]


def test_one_kind_of_value_has_one_name_in_the_help() -> None:
    """WHY and TEXT, D and DATE, F and FILING were two names of one thing each."""
    metavars = {
        param.metavar
        for command, _ in commands(cli, cli.context_class(cli, info_name="archiver"))
        for param in command.params
        if isinstance(param, click.Option) and param.metavar
    }
    assert not metavars & {"WHY", "D", "F", "F/S", "P"}
    reasons = {
        param.metavar or "TEXT"
        for command, _ in commands(cli, cli.context_class(cli, info_name="archiver"))
        for param in command.params
        if "--reason" in param.opts
    }
    assert reasons == {"TEXT"}
