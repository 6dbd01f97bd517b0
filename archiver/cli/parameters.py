"""Types of command-line parameters: names, texts, patterns, days and files, typed in any locale."""

from __future__ import annotations

import codecs
import os
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from archiver.cli.session import Session
from archiver.errors import LazyMessage, UsageError
from archiver.naming.ref_names import RefName

#: The environment variable in which click names the shell to complete for.
_COMPLETE_VARIABLE = "_ARCHIVER_COMPLETE"
#: The characters of ASCII with a meaning in a command line of bash, and the comma and colon, which end a word.
_UNSAFE_IN_BASH = re.compile(r"[\x20-\x24\x26-\x2A\x2C:;<=>?\[\\\]^`{|}~]")
#: Encodings of old Chinese terminals.  In such a locale, Python has already decoded the arguments correctly.
_CHINESE_ENCODINGS = ("gb18030", "gbk", "gb2312", "big5", "big5hkscs")

json_option = click.option("--json", "as_json", is_flag=True, help="Print machine-readable output.")


def decode_argument(argument: str) -> str:
    """Decode a command-line argument as UTF-8, although Python has decoded it with the encoding of the locale.

    This is necessary because names in the archive are UTF-8, but the C locale can decode only ASCII.  In an old
    Chinese locale, ``argument`` is returned unchanged if Python could decode the bytes.  Bytes that are not UTF-8
    become surrogates.
    """
    from archiver.store.names import is_utf8

    encoding = codecs.lookup(sys.getfilesystemencoding()).name
    if encoding in _CHINESE_ENCODINGS and is_utf8(argument):
        return argument
    return argument.encode(encoding, "surrogateescape").decode("utf-8", "surrogateescape")


def file_name_to_record(path: Path | None) -> str | None:
    """Return the last component of ``path`` as text for the journal; None if ``path`` is None.

    The name is decoded as UTF-8 in every locale.  Bytes that are not UTF-8 become surrogates.
    """
    return None if path is None else os.fsencode(path.name).decode("utf-8", "surrogateescape")


class ObjectName(click.ParamType):  # type: ignore[type-arg]  # generic only in later versions of click
    """The name of a filing, a submission or a version; a shell can complete it."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Return the typed name without slashes at either end; bytes that are not UTF-8 become surrogates."""
        return decode_argument(value).strip("/")

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return the names of filings, submissions and versions that begin with ``incomplete``, sorted.

        Returns an empty list if the configuration or the index cannot be read.  Never prints.
        """
        from archiver.store.index.queries import Index

        try:
            # Session.config would print the warnings about the settings.
            config = ctx.ensure_object(Session).check_config().require_config()
            with closing(Index(config.archive / "index.db", read_only=True)) as index:
                ref_names = {*index.all_tags(), *(submission.ref_name for submission in index.submissions())}
        except Exception:
            # Print no message: it would appear in the middle of the line that the user is typing.
            return []
        ref_names |= {RefName(ref_name.split("/")[0]) for ref_name in ref_names}
        typed_name = incomplete.lstrip("/")
        names = {ref_name.for_people for ref_name in ref_names if _begins_with(ref_name, typed_name)}
        # zsh and fish quote what they insert, bash does not.
        is_bash = os.environ.get(_COMPLETE_VARIABLE, "").startswith("bash")
        return [CompletionItem(_escape_for_bash(name) if is_bash else name) for name in sorted(names)]


def _begins_with(ref_name: RefName, typed_name: str) -> bool:
    """Return True if a name begins with ``typed_name``, as it is printed, or as bash completed a part of it."""
    return any(
        name.startswith(typed_name) for name in (ref_name.for_people, _escape_for_bash(ref_name.for_people))
    )


def _escape_for_bash(name: str) -> str:
    """Return ``name`` with an escape, which every command accepts, for each character that bash would interpret.

    Bash would also cut the name at a colon.
    """
    return _UNSAFE_IN_BASH.sub(lambda match: f"%{ord(match[0]):02X}", name)


class RecordedText(ObjectName):
    """A text for the journal, or the name of a record, such as a hold."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Return the text; raise UsageError for bytes that are neither UTF-8 nor text in the locale's encoding."""
        from archiver.store.names import is_utf8

        utf8_text = decode_argument(value)
        if is_utf8(utf8_text):
            return utf8_text
        # The terminal may use the locale's encoding instead, with which Python has decoded the argument correctly.
        locale_text: str = value
        if not is_utf8(locale_text):
            raise UsageError(
                "{text} is not UTF-8 text. Nothing was changed. Set the terminal to UTF-8 and try again.",
                text=locale_text,
            )
        return locale_text

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Return an empty list, because any text is possible."""
        return []


class NamedChoice(click.Choice):  # type: ignore[type-arg]  # generic only in later versions of click
    """One of several codes, each with a name for people; the help lists both."""

    def __init__(self, names_by_code: Mapping[str, LazyMessage]) -> None:
        """Accept the keys of ``names_by_code``."""
        super().__init__(list(names_by_code))
        self.names_by_code = names_by_code


class RecordedCode(RecordedText):
    """A code that the action checks, not click, such as the state of a filing; the help lists all codes."""

    def __init__(self, names_by_code: Mapping[str, LazyMessage]) -> None:
        """Make the help list the codes in ``names_by_code``, with their names."""
        self.names_by_code = names_by_code


class MaterialPattern(ObjectName):
    """A glob that is matched with a material's path as bytes, and with the path as listings show it."""

    name = "pattern"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> str:
        """Return the pattern; bytes that are not UTF-8 become ``%XX``, because the journal holds only UTF-8."""
        # Python represents such a byte as the surrogate U+DC00 + byte, that is, from U+DC80 to U+DCFF.
        return "".join(
            f"%{ord(character) - 0xDC00:02X}" if "\udc80" <= character <= "\udcff" else character
            for character in decode_argument(value)
        )


class MaterialPath(MaterialPattern):
    """The path of a file below a submission folder, as listings show it."""

    name = "path"


class DayParameter(click.ParamType):  # type: ignore[type-arg]
    """A day such as 2026-05-01."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, context: click.Context | None) -> date:
        """Return the typed day; raise UsageError for any other text.  A ``date`` is returned unchanged."""
        from archiver.filings.typed_days import parse_day

        return value if isinstance(value, date) else parse_day(value)


def day_option(
    flag: str, parameter_name: str, help_text: str, *, required: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds an option for a day.

    The command receives a ``date`` as ``parameter_name``, or None if the option was not typed.
    """
    return click.option(
        flag, parameter_name, type=DayParameter(), required=required, metavar="DATE", help=help_text
    )


def reported_by_option(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds ``--by``, for a person who reports a fact but does not run the command.

    The command receives the name as ``reported_by``, or None if the option was not typed.
    """
    return click.option("--by", "reported_by", type=RecordedText(), metavar="NAME", help=help_text)


class ReadableFile(click.Path):
    """The path of an existing, readable file, which the command receives as a ``Path``."""

    def __init__(self) -> None:
        """Make click refuse a folder, and a file that does not exist or is not readable."""
        super().__init__(exists=True, dir_okay=False, readable=True, path_type=Path)
