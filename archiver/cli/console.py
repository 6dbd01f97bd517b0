"""Print for people and for programs: messages in the reader's language, aligned columns, and JSON.

Characters that the terminal cannot show never raise an exception here.
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
    """Make ``stream`` print an escape with a backslash instead of raising UnicodeEncodeError.

    An object that cannot be reconfigured is left alone, such as None, or a test's replacement of stdout.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        # An ASCII stream means the C locale: nobody chose a locale.  Use UTF-8, as Python does in most cases.
        is_ascii_only = codecs.lookup(stream.encoding).name == "ascii"
        reconfigure(encoding="utf-8" if is_ascii_only else None, errors="backslashreplace")


class Console:
    """Prints messages in the reader's language, and listings in columns."""

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
        """Return a function that shows progress on stderr, if stderr is a terminal and the console is not quiet.

        The arguments of the function are the number of bytes done, and the total number of bytes.
        """
        if self._is_quiet or sys.stderr is None or not sys.stderr.isatty():
            return lambda _done_bytes, _total_bytes: None

        def show_progress(done_bytes: int, total_bytes: int) -> None:
            # At the end, move the cursor to the first column, and erase the line.
            line_end = "\r\x1b[K" if done_bytes >= total_bytes else ""
            print(
                f"\r{done_bytes / 1e9:.2f} / {total_bytes / 1e9:.2f} GB {line_end}",
                end="",
                file=sys.stderr,
                flush=True,
            )

        return show_progress

    def warn_if_checkpoint_failed(self, action_result: Mapping[str, Any]) -> None:
        """Print a warning if the checkpoint after a successful action could not be signed.

        ``action_result["problem"]`` is the reason of the failure, or None if the checkpoint was signed.
        """
        if action_result["problem"]:
            self.warn(
                "The action succeeded, but signing the checkpoint afterwards failed: {problem}",
                problem=action_result["problem"],
            )

    def print_line(self, text: str) -> None:
        """Print ``text`` untranslated, with control characters escaped, even if the console is quiet."""
        print(names.make_displayable(text))

    def join(self, texts: Iterable[str]) -> str:
        """Join texts to an enumeration, with the separator of the reader's language."""
        return self.translate(LazyMessage(", ")).join(texts)

    def print_json(self, document: Any) -> None:
        """Print ``document`` as JSON, even if the console is quiet; in ASCII only, unless stdout is UTF-8."""
        is_ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
        print(json.dumps(document, ensure_ascii=is_ascii_only, indent=2))

    def print_table(self, headings: Sequence[LazyMessage], rows: Sequence[Sequence[object]]) -> None:
        """Print rows in columns below translated headings, even if the console is quiet.

        Each row must have a value for each heading.  Width is measured in columns of the terminal, of which a
        Chinese character takes two.
        """
        from wcwidth import wcswidth

        text_rows = [[self.translate(heading) for heading in headings]]
        text_rows += [[names.make_displayable(str(cell_value)) for cell_value in row] for row in rows]
        # wcswidth() returns -1 for text with a control character.
        column_widths = [
            max(max(wcswidth(text_row[column_index]), 0) for text_row in text_rows)
            for column_index in range(len(headings))
        ]
        for text_row in text_rows:
            padded_cells = [
                cell_text + " " * (column_width - max(wcswidth(cell_text), 0))
                for cell_text, column_width in zip(text_row, column_widths, strict=True)
            ]
            print("  ".join(padded_cells).rstrip())
