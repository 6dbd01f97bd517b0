"""Show the help of commands in the reader's language.

click translates its own words, such as "Usage", and its error messages with gettext's default catalogue, so
:func:`select_language` makes archiver's catalogue the default.  The classes here translate archiver's help texts.
"""

from __future__ import annotations

import copy
import gettext
import inspect
import itertools
import os
from collections.abc import Iterable, Sequence

import click

from archiver.cli.line_breaks import break_lines, display_width
from archiver.errors import LazyMessage
from archiver.i18n import CATALOGUE_FOLDER, translator

_DOMAIN = "archiver"
#: The least width of the column of descriptions, in characters of the terminal, even in a narrow terminal.
_MIN_DESCRIPTION_WIDTH = 10


def select_language(arguments: Sequence[str], default: str) -> None:
    """Set the language of help texts and of click's own messages.

    The language is the value of the last ``--lang`` in ``arguments``, or ``default`` without such an option.  The
    arguments are searched here, because click can report an error before it has parsed the options.

    Sets LANGUAGE in the environment, and gettext's default catalogue, for the whole process.  In a language
    without a catalogue, texts stay English.
    """
    language = default
    for argument, next_argument in itertools.zip_longest(arguments, arguments[1:]):
        if argument == "--lang" and next_argument is not None:
            language = next_argument
        elif argument.startswith("--lang="):
            language = argument.partition("=")[2]
    os.environ["LANGUAGE"] = language
    gettext.bindtextdomain(_DOMAIN, CATALOGUE_FOLDER)
    gettext.textdomain(_DOMAIN)


def translate_help(text: str | None) -> str:
    """Translate a help text, and remove the indentation of the source code; return an empty text for None."""
    cleaned_text = inspect.cleandoc(text or "")
    # For an empty text, gettext would return the header of the catalogue.
    return gettext.gettext(cleaned_text) if cleaned_text else ""


class _HelpFormatter(click.HelpFormatter):
    """Writes help in lines that never cut a path, a command or an option in two, also in Chinese."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line of usage, with a space after the prefix unless the prefix ends in a full-width colon."""
        if prefix is None:
            prefix = gettext.gettext("Usage:")
            prefix += "" if display_width(prefix[-1]) == 2 else " "
        super().write_usage(prog, args, prefix)

    def write_heading(self, heading: str) -> None:
        """Write a heading with a colon, which is full-width after a Chinese character."""
        colon = "：" if display_width(heading[-1]) == 2 else ":"
        self.write(f"{'':>{self.current_indent}}{heading}{colon}\n")

    def write_text(self, text: str) -> None:
        """Write a paragraph with the current indentation, in lines of at most the width of the help."""
        for line in break_lines(text, self.width - self.current_indent):
            self.write(f"{'':>{self.current_indent}}{line}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and their descriptions in two columns.

        The first column is as wide as the longest term, but at most ``col_max``.  The description of a longer term
        begins on the next line.  ``col_spacing`` is the number of spaces between the columns.
        """
        rows = list(rows)
        indent = self.current_indent
        second_column = min(max(display_width(term) for term, _ in rows), col_max) + col_spacing
        for term, description in rows:
            lines = break_lines(description, max(self.width - second_column - indent, _MIN_DESCRIPTION_WIDTH))
            padding = " " * (second_column - display_width(term))
            first_line = lines.pop(0) if lines and display_width(term) <= second_column - col_spacing else ""
            self.write(f"{'':>{indent}}{term}{padding}{first_line}".rstrip() + "\n")
            for line in lines:
                self.write(f"{'':>{indent + second_column}}{line}\n")


class _HelpContext(click.Context):
    """The context of a command, with the formatter for its help."""

    formatter_class = _HelpFormatter


class LocalizedCommand(click.Command):
    """A command with help in the reader's language."""

    context_class = _HelpContext

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help text of the command."""
        _write_help_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of the command, each with its help."""
        _write_translated_options(self, ctx, formatter)


class LocalizedGroup(click.Group):
    """A group of commands with help in the reader's language."""

    context_class = _HelpContext
    command_class = LocalizedCommand

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the help text of the group."""
        _write_help_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        _write_translated_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of the group, each with its help."""
        with formatter.section(gettext.gettext("Commands")):
            formatter.write_dl([(name, translate_help(command.help)) for name, command in self.commands.items()])


def _write_help_text(command: click.Command, formatter: click.HelpFormatter) -> None:
    """Write the translated help text of a command as an indented paragraph."""
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(translate_help(command.help))


def _describe_values(option: click.Option) -> str:
    """Return a translated sentence that lists the values of an option with their meanings.

    Only an option that takes codes lists its values.  The type of such an option has ``names_by_code``, for
    example :class:`archiver.cli.parameters.NamedChoice`.  For all other options the result is empty.  A meaning
    that is the same as the code is left out.
    """
    names_by_code = getattr(option.type, "names_by_code", {})
    if not names_by_code:
        return ""
    translate = translator(os.environ["LANGUAGE"])
    values = [
        code
        if (meaning := translate(name)) == code
        else translate(LazyMessage("{code} ({meaning})", code=code, meaning=meaning))
        for code, name in names_by_code.items()
    ]
    return translate(LazyMessage(" Values: {values}.", values=translate(LazyMessage(", ")).join(values)))


def _write_translated_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the options of a command in click's format, with translated help; hidden options are left out."""
    help_records = []
    for option in command.get_params(ctx):
        if not isinstance(option, click.Option):
            continue
        # Translate a copy, because translating again, after a change of the language, requires the English text.
        translated_option = copy.copy(option)
        translated_option.help = translate_help(translated_option.help) + _describe_values(option)
        # The record of a hidden option is None.
        if help_record := translated_option.get_help_record(ctx):
            help_records.append(help_record)
    if help_records:
        with formatter.section(gettext.gettext("Options")):
            formatter.write_dl(help_records)
