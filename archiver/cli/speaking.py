"""Help in the reader's language: click's commands and groups, with their texts through the catalogue.

click asks gettext for its own words (Usage, Options, errors), so the catalogue is made gettext's own.
"""

from __future__ import annotations

import copy
import gettext
import inspect
import os
from collections.abc import Sequence

import click

from archiver.i18n import FOLDER

_DOMAIN = "archiver"


def choose(arguments: Sequence[str], lang: str) -> None:
    """Let click speak ``lang``, or what ``--lang`` says: its errors come before any option is looked at."""
    given = list(arguments)
    for place, word in enumerate(given):
        if word == "--lang" and given[place + 1 : place + 2]:
            lang = given[place + 1]
        elif word.startswith("--lang="):
            lang = word.partition("=")[2]
    os.environ["LANGUAGE"] = lang
    gettext.bindtextdomain(_DOMAIN, FOLDER)
    gettext.textdomain(_DOMAIN)


def spoken(text: str | None) -> str:
    """A help text in that language; blank stays blank, where gettext would give the catalogue's head."""
    cleaned = inspect.cleandoc(text or "")
    return gettext.gettext(cleaned) if cleaned else ""


class Command(click.Command):
    """A command whose help is spoken."""

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What it does."""
        _write_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its options."""
        _write_options(self, ctx, formatter)


class LocalizedGroup(click.Group):
    """A group whose help is spoken."""

    command_class = Command

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What it is about."""
        _write_text(self, formatter)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its options, then its commands."""
        _write_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each command with its first sentence."""
        with formatter.section(gettext.gettext("Commands")):
            formatter.write_dl([(name, spoken(each.help)) for name, each in self.commands.items()])


def _write_text(command: click.Command, formatter: click.HelpFormatter) -> None:
    formatter.write_paragraph()
    with formatter.indentation():
        formatter.write_text(spoken(command.help))


def _write_options(command: click.Command, ctx: click.Context, formatter: click.HelpFormatter) -> None:
    records = []
    for param in command.get_params(ctx):
        if not isinstance(param, click.Option):
            continue
        shown = copy.copy(param)
        shown.help = spoken(shown.help)
        if record := shown.get_help_record(ctx):
            records.append(record)
    if records:
        with formatter.section(gettext.gettext("Options")):
            formatter.write_dl(records)
