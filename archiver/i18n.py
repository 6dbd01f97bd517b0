"""The two languages of messages, through gettext catalogues."""

from __future__ import annotations

import gettext
import os
from collections.abc import Callable, Mapping
from pathlib import Path

from archiver.errors import Phrase, fill
from archiver.store import names

FOLDER = Path(__file__).parent / "locale"


def of_environment(environment: Mapping[str, str]) -> str:
    """``zh`` or ``en``, as the locale says."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := environment.get(variable):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def translator(lang: str) -> Callable[[Phrase], str]:
    """What puts a phrase, and the phrases within it, into that language, with names made fit for a screen."""
    catalogue = gettext.translation("archiver", FOLDER, languages=[lang], fallback=True)

    def speak(phrase: Phrase) -> str:
        if not phrase.template:
            return ""
        return fill(catalogue.gettext(phrase.template), phrase.fields, field)

    def field(value: object) -> object:
        if isinstance(value, Phrase):
            return speak(value)
        if isinstance(value, bytes):
            return names.screen(names.text(value))
        if isinstance(value, os.PathLike):
            return names.screen(names.text(os.fsencode(value)))
        if isinstance(value, str):
            return names.screen(names.text(value.encode("utf-8", "surrogateescape")))
        return value

    return speak
