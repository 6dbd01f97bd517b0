"""Show the help of commands in the reader's language.

click translates its words, such as "Usage", and its error messages with gettext's default catalogue.  So
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
#: Columns for the descriptions of options, however long the options are.
_MIN_DESCRIPTION_WIDTH = 10


def select_language(arguments: Sequence[str], default: str) -> None:
    """Set the language of help texts and of click's own messages.

    The language is the value of the last ``--lang`` in ``arguments``, or ``default`` if there is none.  click can
    report an error before it has parsed the options, so ``arguments`` is searched here.

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
    """Return a help text in the selected language, without the indentation from the source; empty for None."""
    cleaned_text = inspect.cleandoc(text or "")
    # For an empty text, gettext would return the header of the catalogue.
    return gettext.gettext(cleaned_text) if cleaned_text else ""


class _HelpFormatter(click.HelpFormatter):
    """Writes help in lines in which paths, commands and options stay whole, in Chinese too."""

    def write_usage(self, prog: str, args: str = "", prefix: str | None = None) -> None:
        """Write the line of usage; after a full-width colon, without a space."""
        if prefix is None:
            prefix = gettext.gettext("Usage:")
            prefix += "" if display_width(prefix[-1]) == 2 else " "
        super().write_usage(prog, args, prefix)

    def write_heading(self, heading: str) -> None:
        """Write a heading with a colon, full-width after Chinese."""
        colon = "：" if display_width(heading[-1]) == 2 else ":"
        self.write(f"{'':>{self.current_indent}}{heading}{colon}\n")

    def write_text(self, text: str) -> None:
        """Write an indented paragraph."""
        for line in break_lines(text, self.width - self.current_indent):
            self.write(f"{'':>{self.current_indent}}{line}\n")

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write terms and their descriptions in two columns.

        The first column is as wide as the longest term, but at most ``col_max``: below a longer term, the
        description begins on the next line.  ``col_spacing`` is the space between the columns.
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
        """Write the sentence about the command."""
        _write_help_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each option with help."""
        _write_translated_options(self, ctx, formatter)


class LocalizedGroup(click.Group):
    """A group of commands with help in the reader's language."""

    context_class = _HelpContext
    command_class = LocalizedCommand

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sentence about the group."""
        _write_help_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        _write_translated_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with help."""
        with formatter.section(gettext.gettext("Commands")):
            formatter.write_dl([(name, translate_help(command.help)) for name, command in self.commands.items()])


def _write_help_text(command: click.Command, formatter: click.HelpFormatter) -> None:
    """Write the command's help text, translated, as an indented paragraph."""
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(translate_help(command.help))


def _describe_values(option: click.Option) -> str:
    """Return a sentence with each value of an option and its meaning, translated; empty for most options.

    The type of an option that takes codes has the attribute ``names_by_code``, such as
    :class:`archiver.cli.parameters.NamedChoice`.  A code whose name is the code itself is listed without it.
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
    """Write the command's options with translated help, in click's format; hidden options are omitted."""
    help_records = []
    for option in command.get_params(ctx):
        if not isinstance(option, click.Option):
            continue
        # Translate a copy: the process may change the language later, and needs the English help for that.
        translated_option = copy.copy(option)
        translated_option.help = translate_help(translated_option.help) + _describe_values(option)
        # None for a hidden option.
        if help_record := translated_option.get_help_record(ctx):
            help_records.append(help_record)
    if help_records:
        with formatter.section(gettext.gettext("Options")):
            formatter.write_dl(help_records)
