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
from collections.abc import Sequence

import click

from archiver.i18n import CATALOGUE_FOLDER

_DOMAIN = "archiver"


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


class LocalizedCommand(click.Command):
    """A command with help in the reader's language."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sentence about the command."""
        _write_help_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each option with help."""
        _write_translated_options(self, ctx, formatter)


class LocalizedGroup(click.Group):
    """A group of commands with help in the reader's language."""

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


def _write_translated_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the command's options with translated help, in click's format; hidden options are omitted."""
    help_records = []
    for option in command.get_params(ctx):
        if not isinstance(option, click.Option):
            continue
        # Translate a copy: the process may change the language later, and needs the English help for that.
        translated_option = copy.copy(option)
        translated_option.help = translate_help(translated_option.help)
        # None for a hidden option.
        if help_record := translated_option.get_help_record(ctx):
            help_records.append(help_record)
    if help_records:
        with formatter.section(gettext.gettext("Options")):
            formatter.write_dl(help_records)
