"""Print for people and programs: messages in the reader's language, aligned columns, JSON.

Nothing here raises for characters that the terminal cannot show.
"""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from archiver.errors import LazyMessage, message_from
from archiver.i18n import language_from_environment, translator
from archiver.store import names


def choose_language(typed_language: str | None, environment: Mapping[str, str]) -> str:
    """Return ``typed_language`` if it is set, otherwise the language of the locale: ``zh`` or ``en``."""
    return typed_language or language_from_environment(environment)


def escape_unencodable(stream: TextIO) -> None:
    """Make ``stream`` print backslash escapes instead of raising UnicodeEncodeError.

    Does nothing to a stream that cannot be reconfigured, such as None or a replacement set by a test.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        # The C locale means that nobody chose a locale.  Python itself uses UTF-8 there in most cases.
        is_ascii_only = codecs.lookup(stream.encoding).name == "ascii"
        reconfigure(encoding="utf-8" if is_ascii_only else None, errors="backslashreplace")


class Console:
    """Print messages in the reader's language, and listings in columns."""

    def __init__(self, language: str, is_quiet: bool = False) -> None:
        """Print in ``language``, which is ``zh`` or ``en``; with ``is_quiet`` print only results and warnings."""
        self.language = language
        self._is_quiet = is_quiet
        #: Returns a message in the reader's language, with unprintable parts of names escaped.
        self.translate: Callable[[LazyMessage], str] = translator(language)

    def info(self, template: str | LazyMessage, /, **fields: object) -> None:
        """Print a message on stdout; do nothing if the console is quiet."""
        if not self._is_quiet:
            print(self.translate(message_from(template, fields)), flush=True)

    def warn(self, template: str | LazyMessage, /, **fields: object) -> None:
        """Print a message on stderr, even if the console is quiet."""
        print(self.translate(message_from(template, fields)), file=sys.stderr, flush=True)

    def make_progress_display(self) -> Callable[[int, int], None]:
        """Return a function to show progress on stderr, called with the bytes done and the bytes in total.

        The function shows nothing if the console is quiet or stderr is not a terminal.
        """
        if self._is_quiet or sys.stderr is None or not sys.stderr.isatty():
            return lambda _done, _total: None

        def show_progress(done_bytes: int, total_bytes: int) -> None:
            # At the end, return to the first column and erase the line.
            line_end = "\r\x1b[K" if done_bytes >= total_bytes else ""
            print(
                f"\r{done_bytes / 1e9:.2f} / {total_bytes / 1e9:.2f} GB {line_end}",
                end="",
                file=sys.stderr,
                flush=True,
            )

        return show_progress

    def warn_if_checkpoint_failed(self, result: Mapping[str, Any]) -> None:
        """Warn of a failed checkpoint after a successful action.

        ``result`` is what the action returned; ``result["problem"]`` is the reason for the failure, or None.
        """
        if result["problem"]:
            self.warn(
                "The action succeeded, but signing the checkpoint afterwards failed: {problem}",
                problem=result["problem"],
            )

    def print_line(self, text: str) -> None:
        """Print untranslated text, such as names and tags, with control characters escaped; even if quiet."""
        print(names.make_displayable(text))

    def join(self, texts: Iterable[str]) -> str:
        """Return an enumeration of texts, with the separator of the reader's language."""
        return self.translate(LazyMessage(", ")).join(texts)

    def print_json(self, document: Any) -> None:
        """Print ``document`` as JSON, even if the console is quiet; in ASCII if stdout is not UTF-8."""
        is_ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
        print(json.dumps(document, ensure_ascii=is_ascii_only, indent=2))

    def print_table(self, headings: Sequence[LazyMessage], rows: Sequence[Sequence[object]]) -> None:
        """Print rows in columns below translated headings, even if the console is quiet.

        Every row has as many values as there are headings.  Widths count terminal cells: a Chinese character
        takes two.
        """
        from wcwidth import wcswidth

        cell_rows = [[self.translate(heading) for heading in headings]]
        cell_rows += [[names.make_displayable(str(value)) for value in row] for row in rows]
        # wcswidth() returns -1 for text with a control character.
        column_widths = [
            max(max(wcswidth(row[column]), 0) for row in cell_rows) for column in range(len(headings))
        ]
        for row in cell_rows:
            padded_cells = [
                cell + " " * (width - max(wcswidth(cell), 0))
                for cell, width in zip(row, column_widths, strict=True)
            ]
            print("  ".join(padded_cells).rstrip())
