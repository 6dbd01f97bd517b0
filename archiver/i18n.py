"""The two languages of messages, through gettext catalogues."""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from archiver.errors import LazyMessage, fill
from archiver.store import names

FOLDER = Path(__file__).parent / "locale"


def language_from_environment(environment: Mapping[str, str]) -> str:
    """Return ``zh`` or ``en``, as the locale says."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def translator(lang: str, *, is_readable: bool = False) -> Callable[[LazyMessage], str]:
    """Return a function that puts a message, and those within it, into that language, fit for a screen.

    ``is_readable``: texts in fields are names that :func:`archiver.store.names.text` has made already.
    """
    catalogue = gettext.translation("archiver", FOLDER, languages=[lang], fallback=True)

    def speak(phrase: LazyMessage) -> str:
        if not phrase.template:
            # gettext answers an empty text with the head of the catalogue.
            return ""
        return fill(_translated(catalogue, phrase), phrase.fields, field)

    def field(value: object) -> object:
        if isinstance(value, LazyMessage):
            return speak(value)
        if isinstance(value, bytes):
            return names.screen(names.text(value))
        if isinstance(value, os.PathLike):
            return names.screen(names.text(os.fsencode(value)))
        if isinstance(value, str) and is_readable:
            return names.screen(value)
        if isinstance(value, str):
            return names.screen(names.text(value.encode("utf-8", "surrogateescape")))
        return value

    return speak


def _translated(catalogue: gettext.NullTranslations, phrase: LazyMessage) -> str:
    """Look a message's template up, in the number that its fields ask for."""
    if phrase.singular and phrase.context:
        return catalogue.npgettext(phrase.context, phrase.singular, phrase.template, phrase.count)
    if phrase.singular:
        return catalogue.ngettext(phrase.singular, phrase.template, phrase.count)
    if phrase.context:
        return catalogue.pgettext(phrase.context, phrase.template)
    return catalogue.gettext(phrase.template)
