"""Print for people and programs: language, columns, JSON; never raises for a poor terminal."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TextIO

from archiver.errors import LazyMessage, message_from
from archiver.i18n import language_from_environment, translator
from archiver.store import names


def choose_language(typed_language: str | None, environment: Mapping[str, str]) -> str:
    """Return ``zh`` or ``en``: the typed language, else that of the locale."""
    return typed_language or language_from_environment(environment)


def escape_unencodable(stream: TextIO) -> None:
    """Make a stream print escapes for characters its encoding lacks, instead of raising."""
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        # The locale C means that no locale was chosen: UTF-8 then, as Python chooses in most cases.
        is_ascii_only = codecs.lookup(stream.encoding).name == "ascii"
        reconfigure(encoding="utf-8" if is_ascii_only else None, errors="backslashreplace")


class Console:
    """Print messages in the reader's language, and listings in columns."""

    def __init__(self, language: str, is_quiet: bool = False) -> None:
        self.language = language
        self._is_quiet = is_quiet
        #: Puts a message into the reader's language, with names made fit for a screen.
        self.translate: Callable[[LazyMessage], str] = translator(language)
        #: The same for messages whose fields are readable already, such as findings.
        self.translate_readable: Callable[[LazyMessage], str] = translator(language, is_readable=True)

    def info(self, template: str | LazyMessage, /, **fields: object) -> None:
        """Print a message on stdout; with ``-q`` do nothing."""
        if not self._is_quiet:
            print(self.translate(message_from(template, fields)), flush=True)

    def warn(self, template: str | LazyMessage, /, **fields: object) -> None:
        """Print a message on stderr, also with ``-q``."""
        print(self.translate(message_from(template, fields)), file=sys.stderr, flush=True)

    def progress_display(self) -> Callable[[int, int], None]:
        """Return a function to show the progress in bytes: on stderr, and only on a terminal."""
        if self._is_quiet or sys.stderr is None or not sys.stderr.isatty():
            return lambda _done, _total: None

        def show_progress(done_bytes: int, total_bytes: int) -> None:
            line_end = "\r\x1b[K" if done_bytes >= total_bytes else ""
            print(
                f"\r{done_bytes / 1e9:.2f} / {total_bytes / 1e9:.2f} GB {line_end}",
                end="",
                file=sys.stderr,
                flush=True,
            )

        return show_progress

    def warn_if_unsigned(self, result: Mapping[str, Any]) -> None:
        """Warn if an action succeeded, but the checkpoint after the action failed."""
        if result["problem"]:
            self.warn("It is done, but the checkpoint after it failed: {problem}", problem=result["problem"])

    def print_line(self, text: str) -> None:
        """Print text without translation: names, tags, figures."""
        print(names.screen(text))

    def print_json(self, document: Any) -> None:
        """Print JSON for programs, in plain ASCII if stdout cannot take UTF-8."""
        is_ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
        print(json.dumps(document, ensure_ascii=is_ascii_only, indent=2))

    def print_table(self, headings: Sequence[LazyMessage], rows: Sequence[Sequence[object]]) -> None:
        """Print columns with translated headings, aligned also for wide characters."""
        from wcwidth import wcswidth

        cell_rows = [[self.translate(heading) for heading in headings]]
        cell_rows += [[names.screen(str(value)) for value in row] for row in rows]
        column_widths = [
            max(max(wcswidth(row[column]), 0) for row in cell_rows) for column in range(len(headings))
        ]
        for row in cell_rows:
            padded_cells = [
                value + " " * (width - max(wcswidth(value), 0))
                for value, width in zip(row, column_widths, strict=True)
            ]
            print("  ".join(padded_cells).rstrip())
