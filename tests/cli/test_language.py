"""Chinese and English: the catalogue is whole, and nothing English leaks into Chinese."""

from __future__ import annotations

import re
import string

from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po

from tests.conftest import Site
from tests.messages import CATALOGUE, messages


def catalogue() -> dict[str, str]:
    with open(CATALOGUE, "rb") as stream:
        return {str(message.id): str(message.string) for message in read_po(stream) if message.id}


def test_every_message_is_translated_and_none_is_left_over() -> None:
    translated = catalogue()
    assert messages() - translated.keys() == set()
    assert translated.keys() - messages() == set()
    assert all(translated.values())


def test_placeholders_are_the_same() -> None:
    for english, chinese in catalogue().items():
        assert _fields(english) == _fields(chinese), english


def _fields(text: str) -> set[tuple[str, str | None]]:
    return {(name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None}


def test_the_compiled_catalogue_is_that_of_the_source() -> None:
    with open(CATALOGUE.with_suffix(".mo"), "rb") as stream:
        assert {m.id: m.string for m in read_mo(stream) if m.id} == catalogue()


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
            r"archiver(\.toml| [a-z]+)?|算法/首次/\S+|--[a-z]+|retention\.(years|profiles)|cn-algorithm-filing|SHA-256|[0-9a-f]{16}|v\d",
            "",
            text,
        )
        assert not re.findall(r"[A-Za-z]{3,}", text), (command, text)


def test_the_locale_chooses_where_nobody_does(site: Site) -> None:
    assert "档案库" in site.run("status", env={"LC_ALL": "zh_CN.UTF-8"}).stdout
    assert "档案库" in site.run("status", "--lang", "zh").stdout
    assert "Archive:" in site.run("status", env={"LC_ALL": "de_DE.UTF-8"}).stdout
