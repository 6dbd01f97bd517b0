"""What a person sees: language, columns, JSON; nothing that can raise on a poor terminal."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from archiver.errors import LazyMessage, message_from
from archiver.i18n import language_from_environment, translator
from archiver.store import names


def language(given: str | None, environment: Mapping[str, str]) -> str:
    """``zh`` or ``en``: as given, else as the locale says."""
    return given or language_from_environment(environment)


def forgiving(stream: TextIO) -> None:
    """A character that the terminal cannot show becomes an escape, never an exception."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        # The locale C means that none was chosen: UTF-8 then, as Python does by itself where it may.
        ascii_only = codecs.lookup(stream.encoding).name == "ascii"
        reconfigure(encoding="utf-8" if ascii_only else None, errors="backslashreplace")


class Console:
    """Prints messages in the reader's language and listings in columns."""

    def __init__(self, lang: str, quiet: bool = False) -> None:
        self.lang = lang
        self._quiet = quiet
        #: Puts a message into the reader's language, with names made fit for a screen.
        self.translate: Callable[[LazyMessage], str] = translator(lang)
        #: The same for messages whose fields are readable already, such as findings.
        self.translate_readable: Callable[[LazyMessage], str] = translator(lang, is_readable=True)

    def say(self, template: str | LazyMessage, /, **fields: object) -> None:
        """Print a line for the person; left out with ``-q``."""
        if not self._quiet:
            print(self.translate(message_from(template, fields)), flush=True)

    def warn(self, template: str | LazyMessage, /, **fields: object) -> None:
        """Print a line on stderr."""
        print(self.translate(message_from(template, fields)), file=sys.stderr, flush=True)

    def progress(self) -> Callable[[int, int], None]:
        """Shows how much is done: on stderr, and only where that is a terminal."""
        if self._quiet or sys.stderr is None or not sys.stderr.isatty():
            return lambda _done, _total: None

        def show(done: int, total: int) -> None:
            end = "\r\x1b[K" if done >= total else ""
            print(f"\r{done / 1e9:.2f} / {total / 1e9:.2f} GB {end}", end="", file=sys.stderr, flush=True)

        return show

    def unless_signed(self, result: Mapping[str, Any]) -> None:
        """Say so where something was done but its checkpoint could not be made."""
        if result["problem"]:
            self.warn("It is done, but the checkpoint after it failed: {problem}", problem=result["problem"])

    def line(self, text: str) -> None:
        """Text that is not a message: names, tags, figures."""
        print(names.screen(text))

    def json(self, document: Any) -> None:
        """Machine output; plain ASCII where the terminal is."""
        ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
        print(json.dumps(document, ensure_ascii=ascii_only, indent=2))

    def table(self, heads: Sequence[LazyMessage], rows: Sequence[Sequence[object]]) -> None:
        """Print columns with translated heads, aligned also where characters are wide."""
        from wcwidth import wcswidth

        cells = [[self.translate(head) for head in heads]]
        cells += [[names.screen(str(value)) for value in row] for row in rows]
        widths = [max(max(wcswidth(row[i]), 0) for row in cells) for i in range(len(heads))]
        for row in cells:
            padded = [
                value + " " * (width - max(wcswidth(value), 0)) for value, width in zip(row, widths, strict=True)
            ]
            print("  ".join(padded).rstrip())
