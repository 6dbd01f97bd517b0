"""Print for people and for programs: messages in the reader's language, aligned columns, and JSON.

Characters that the terminal cannot show never raise an exception here.
"""

from __future__ import annotations

import codecs
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TextIO

from archiver.cli.line_breaks import display_width
from archiver.errors import LazyMessage, message_from
from archiver.i18n import language_from_environment, translator
from archiver.naming.named_documents import add_readable_names
from archiver.naming.readable_names import make_displayable, original_bytes
from archiver.naming.ref_names import to_readable

#: Controls above ASCII, which JSON does not escape, and characters that reorder, join or hide others.
_INVISIBLE = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def choose_language(typed_language: str | None, environment: Mapping[str, str]) -> str:
    """Return ``typed_language`` if it is set, otherwise the language of the locale: ``zh`` or ``en``."""
    return typed_language or language_from_environment(environment)


def _escape_with_percent(error: UnicodeError) -> tuple[str, int]:
    """Return ``%XX`` for each byte of the characters that a stream cannot encode; a handler for :mod:`codecs`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking_characters = error.object[error.start : error.end]
    return "".join(f"%{byte:02X}" for char in lacking_characters for byte in original_bytes(char)), error.end


#: The name of the handler in the registry of :mod:`codecs`.
_PERCENT_ESCAPES = "archiver.percent-escapes"
codecs.register_error(_PERCENT_ESCAPES, _escape_with_percent)


def escape_unencodable(stream: TextIO) -> None:
    """Make ``stream`` print ``%XX`` for a character that it lacks, instead of raising UnicodeEncodeError.

    Commands accept a name with these escapes.  An object that cannot be reconfigured is left alone, such as None,
    or a test's replacement of stdout.
    """
    reconfigure = getattr(stream, "reconfigure", None)
    if reconfigure is not None:
        # An ASCII stream means the C locale: nobody chose a locale.  Use UTF-8, as Python does in most cases.
        is_ascii_only = codecs.lookup(stream.encoding).name == "ascii"
        reconfigure(encoding="utf-8" if is_ascii_only else None, errors=_PERCENT_ESCAPES)


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
        print(make_displayable(to_readable(text)))

    def join(self, texts: Iterable[str]) -> str:
        """Join texts to an enumeration, with the separator of the reader's language."""
        return self.translate(LazyMessage(", ")).join(map(to_readable, texts))

    def print_json(self, document: Any) -> None:
        """Print ``document`` as JSON, even if the console is quiet; in ASCII only, unless stdout is UTF-8.

        The name for people is added next to each tag or other name in the ref form.
        """
        is_ascii_only = (sys.stdout.encoding or "ascii").lower().replace("-", "") != "utf8"
        json_text = json.dumps(add_readable_names(document), ensure_ascii=is_ascii_only, indent=2)
        # JSON has escapes for all characters, so a path stays the same when it cannot reorder the screen.
        print(_INVISIBLE.sub(lambda match: json.dumps(match[0])[1:-1], json_text))

    def print_table(self, headings: Sequence[LazyMessage], rows: Sequence[Sequence[object]]) -> None:
        """Print rows in columns below translated headings, even if the console is quiet.

        Each row must have a value for each heading.  Width is measured in columns of the terminal, of which a
        Chinese character takes two.
        """
        text_rows = [[self.translate(heading) for heading in headings]]
        text_rows += [[make_displayable(str(to_readable(cell_value))) for cell_value in row] for row in rows]
        column_widths = [
            max(display_width(text_row[column_index]) for text_row in text_rows)
            for column_index in range(len(headings))
        ]
        for text_row in text_rows:
            padded_cells = [
                cell_text + " " * (column_width - display_width(cell_text))
                for cell_text, column_width in zip(text_row, column_widths, strict=True)
            ]
            print("  ".join(padded_cells).rstrip())
