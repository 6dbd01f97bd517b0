"""Shows help in the reader's language: commands and groups of click, with their texts from the catalogue.

click asks gettext for its own words (Usage, Options, errors), so the catalogue is made the default of gettext.
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
    """Have click use the language of ``--lang``, else ``default``.

    Errors of click come before any option is parsed, so the arguments are searched for it here.
    """
    lang = default
    for argument, following in itertools.zip_longest(arguments, arguments[1:]):
        if argument == "--lang" and following is not None:
            lang = following
        elif argument.startswith("--lang="):
            lang = argument.partition("=")[2]
    os.environ["LANGUAGE"] = lang
    gettext.bindtextdomain(_DOMAIN, CATALOGUE_FOLDER)
    gettext.textdomain(_DOMAIN)


def translate(text: str | None) -> str:
    """Return a help text in the selected language; gettext would return the header for a blank text."""
    cleaned = inspect.cleandoc(text or "")
    return gettext.gettext(cleaned) if cleaned else ""


class Command(click.Command):
    """A command with its help in the reader's language."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sentence on what the command does."""
        _write_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options with their help."""
        _write_options(self, ctx, formatter)


class LocalizedGroup(click.Group):
    """A group of commands with its help in the reader's language."""

    command_class = Command

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sentence on what the group is about."""
        _write_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, then the commands."""
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with its help."""
        with formatter.section(gettext.gettext("Commands")):
            formatter.write_dl([(name, translate(command.help)) for name, command in self.commands.items()])


def _write_text(command: click.Command, formatter: click.HelpFormatter) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(translate(command.help))


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    records = []
    for param in command.get_params(ctx):
        if not isinstance(param, click.Option):
            continue
        # A copy: the option itself is asked again for the next language.
        translated = copy.copy(param)
        translated.help = translate(translated.help)
        if record := translated.get_help_record(ctx):
            records.append(record)
    if records:
        with formatter.section(gettext.gettext("Options")):
            formatter.write_dl(records)
