"""Convert arguments from any locale: names, texts, patterns, days and files."""

from __future__ import annotations

import codecs
import os
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from archiver.cli.session import Session
from archiver.errors import UsageError

#: Encodings of Chinese terminals: from these, Python has decoded an argument correctly.
_CHINESE_ENCODINGS = ("gb18030", "gbk", "gb2312", "big5", "big5hkscs")

json_option = click.option("--json", "as_json", is_flag=True, help="Machine-readable output.")


def decode_argument(argument: str) -> str:
    """Return an argument as UTF-8 text whatever the locale, except in an old Chinese locale.

    Names in the archive are UTF-8, and a terminal of the locale C passes the bytes one by one.  Bytes in neither
    encoding stay in the text as surrogates.
    """
    from archiver.store.names import is_utf8

    encoding = codecs.lookup(sys.getfilesystemencoding()).name
    if encoding in _CHINESE_ENCODINGS and is_utf8(argument):
        return argument
    return argument.encode(encoding, "surrogateescape").decode("utf-8", "surrogateescape")


def file_name(path: Path | None) -> str | None:
    """Return a file's name without folders, for the journal: in UTF-8 whatever the locale; None for no file."""
    return None if path is None else os.fsencode(path.name).decode("utf-8", "surrogateescape")


class ObjectName(click.ParamType):  # type: ignore[type-arg]  # generic only in later versions of click
    """The name of a filing, a submission or a version."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Return the name as text; bytes outside UTF-8 stay as surrogates."""
        return decode_argument(value).strip("/")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the matching filings, submissions and tags of the archive, without printing anything."""
        from archiver.store.index.queries import Index

        try:
            config = ctx.ensure_object(Session).config
            index = Index(config.archive / "index.db", read_only=True)
        except Exception:
            # A shell that waits for completions is no place for messages: complete nothing.
            return []
        submission_names = [str(submission) for submission in index.submissions()]
        candidates = {*(name.split("/")[0] for name in submission_names), *submission_names, *index.tags()}
        index.close()
        return [CompletionItem(name) for name in sorted(candidates) if name.startswith(incomplete)]


class RecordedText(ObjectName):
    """Text for a record, or the name of a record."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Return the text; raises UsageError for an argument that is text in no encoding."""
        from archiver.store.names import is_utf8

        text = decode_argument(value)
        if not is_utf8(text):
            # An argument in the encoding of a terminal of another language.
            text = value
        if not is_utf8(text):
            raise UsageError(
                "{text} is not UTF-8 text. Nothing was changed. Set the terminal to UTF-8 and type it again.",
                text=text,
            )
        return text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return nothing: text for a record is in no list yet."""
        return []


class MaterialPattern(ObjectName):
    """A pattern for names of materials, compared with displayed names, too."""

    name = "pattern"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Return the pattern with bytes outside UTF-8 percent-encoded, because patterns are journalled."""
        return "".join(
            f"%{ord(char) - 0xDC00:02X}" if "\udc80" <= char <= "\udcff" else char
            for char in decode_argument(value)
        )


class DayParameter(click.ParamType):  # type: ignore[type-arg]
    """A day such as 2026-05-01."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> date:
        """Return the typed day; raises UsageError for any other text."""
        from archiver.filings.typed_days import parse_day

        return value if isinstance(value, date) else parse_day(value)


def day_option(
    flag: str, parameter_name: str, help_text: str, *, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make an option for a day, which the command receives as ``parameter_name``."""
    return click.option(
        flag, parameter_name, type=DayParameter(), required=required, metavar="DATE", help=help_text
    )


def reported_by_option(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the option for the person behind a record, which the command receives as ``reported_by``."""
    return click.option("--by", "reported_by", type=RecordedText(), metavar="NAME", help=help_text)


class ReadableFile(click.Path):
    """The path of an existing, readable file."""

    def __init__(self) -> None:
        super().__init__(exists=True, dir_okay=False, readable=True, path_type=Path)
