"""The two languages of messages, through gettext catalogues."""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from archiver.errors import LazyMessage, fill_template
from archiver.store import names

CATALOGUE_FOLDER = Path(__file__).parent / "locale"


def language_from_environment(environment: Mapping[str, str]) -> str:
    """Return ``zh`` or ``en``, by the first locale variable that is set, in the order of the C library."""
    for variable_name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if locale_name := environment.get(variable_name):
            return "zh" if locale_name.lower().startswith("zh") else "en"
    return "en"


def translator(lang: str, *, is_readable: bool = False) -> Callable[[LazyMessage], str]:
    """Return a function that translates a message with all messages inside, as text fit for a screen.

    ``is_readable``: texts in fields are names that :func:`archiver.store.names.text` has made already; made
    twice, a ``%XX`` for a byte would become ``%25XX``.
    """
    catalogue = gettext.translation("archiver", CATALOGUE_FOLDER, languages=[lang], fallback=True)

    def translate(message: LazyMessage) -> str:
        if not message.template:
            # gettext answers an empty text with the head of the catalogue.
            return ""
        return fill_template(_translate_template(catalogue, message), message.fields, to_display)

    def to_display(value: object) -> object:
        if isinstance(value, LazyMessage):
            return translate(value)
        if isinstance(value, bytes):
            return names.screen(names.text(value))
        if isinstance(value, os.PathLike):
            return names.screen(names.text(os.fsencode(value)))
        if isinstance(value, str) and is_readable:
            return names.screen(value)
        if isinstance(value, str):
            return names.screen(names.text(value.encode("utf-8", "surrogateescape")))
        return value

    return translate


def _translate_template(catalogue: gettext.NullTranslations, message: LazyMessage) -> str:
    """Return the translation of a message's template, in singular or plural by the count in the fields."""
    if message.singular and message.context:
        return catalogue.npgettext(message.context, message.singular, message.template, message.count)
    if message.singular:
        return catalogue.ngettext(message.singular, message.template, message.count)
    if message.context:
        return catalogue.pgettext(message.context, message.template)
    return catalogue.gettext(message.template)
