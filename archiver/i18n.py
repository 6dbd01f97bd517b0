"""Translate messages into Chinese or English with the catalogues of gettext."""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from archiver.errors import LazyMessage, fill_template
from archiver.naming.ref_names import to_readable
from archiver.store import names

CATALOGUE_FOLDER = Path(__file__).parent / "locale"


def language_from_environment(environment: Mapping[str, str]) -> str:
    """Return ``zh`` or ``en`` for the locale in ``environment``, and ``en`` for any other language.

    The first locale variable that is not empty decides, in the order in which the C library reads them.
    """
    for variable_name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if locale_name := environment.get(variable_name):
            return "zh" if locale_name.lower().startswith("zh") else "en"
    return "en"


def translator(lang: str) -> Callable[[LazyMessage], str]:
    """Return a function that translates a message, and the messages in its fields, into text safe to display.

    ``lang`` is ``zh`` or ``en``. In a language without a catalogue, messages stay in English.

    A name in the ref form, such as a tag, is shown as the name for people. Another text in a field is a path from
    :func:`archiver.naming.readable_names.name_as_text`, or was typed by a person. A ``%`` in the text is not
    escaped here: a second escape would turn the ``%B1`` of a path into ``%25B1``.
    """
    catalogue = gettext.translation("archiver", CATALOGUE_FOLDER, languages=[lang], fallback=True)

    def translate(message: LazyMessage) -> str:
        """Return the translated text of a message, with its fields filled in; empty for an empty template."""
        if not message.template:
            # For an empty text, gettext returns the header of the catalogue.
            return ""
        return fill_template(_translate_template(catalogue, message), message.fields, to_display)

    def to_display(value: object) -> object:
        """Return the value of a field as safe text. Numbers and other values are returned unchanged."""
        value = to_readable(value)
        if isinstance(value, LazyMessage):
            return translate(value)
        if isinstance(value, bytes):
            return names.make_displayable(names.name_as_text(value))
        if isinstance(value, os.PathLike):
            return names.make_displayable(names.name_as_text(os.fsencode(value)))
        if isinstance(value, str):
            # In the C locale, each byte of a typed character is a surrogate. Combine the bytes into the character.
            return names.make_displayable(
                value.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
            )
        return value

    return translate


def _translate_template(catalogue: gettext.NullTranslations, message: LazyMessage) -> str:
    """Return the translation of a message's template, still with its fields as ``{name}``.

    The count in the fields selects the singular or the plural.
    """
    if message.singular and message.context:
        return catalogue.npgettext(message.context, message.singular, message.template, message.count)
    if message.singular:
        return catalogue.ngettext(message.singular, message.template, message.count)
    if message.context:
        return catalogue.pgettext(message.context, message.template)
    return catalogue.gettext(message.template)
