"""The error tree: one sentence for the person, one exit code for the script.

A message is a template with named fields, so that the command line can put it
into the reader's language.  It says what happened to which file, what was not
lost, and what to do next; in a command each field is ``{name!q}``, quoted.
"""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol


def shell_word(value: object) -> str:
    r"""Write ``value`` as one word of a command that a person copies into a shell.

    Names come from folders that others write, and root copies commands: a name
    must stay one argument, and be the same bytes there.  Bytes that are not
    UTF-8, and characters that could move the cursor, take the form ``$'\261'``
    of bash, ksh and zsh.
    """
    if isinstance(value, bytes | os.PathLike):
        data = os.fsencode(value)
    else:
        data = str(value).encode("utf-8", "surrogateescape")
    shown = data.decode("utf-8", "surrogateescape")
    if shown.isprintable():
        return shlex.quote(shown)
    return "$'" + "".join(map(_in_dollar_quotes, shown)) + "'"


def _in_dollar_quotes(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    # Three octal digits: a fourth one that follows cannot be read as part of them.
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


class _Formatter(string.Formatter):
    """Knows one conversion more than ``str.format``: ``{name!q}`` stands in a command."""

    def __init__(self, shown: Callable[[object], object]) -> None:
        self._shown = shown

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion == "q":
            # The value itself: what is made fit for a screen is another name.
            return shell_word(value)
        return super().convert_field(self._shown(value), conversion)


def _readable(value: object) -> object:
    """Names as text: ``str()`` turns bytes into Python source, and a surrogate cannot be written anywhere."""
    if isinstance(value, os.PathLike):
        value = os.fsencode(value)
    elif isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def fill(template: str, fields: Mapping[str, object], shown: Callable[[object], object] = _readable) -> str:
    """Put ``fields``, each as ``shown`` makes it, into a template.

    ``{name!q}``: a word of a command, quoted by :func:`shell_word` instead.
    """
    if "!q}" in template:
        return _Formatter(shown).vformat(template, (), fields)
    # Listings are long, and hardly a line of them holds a command.
    return template.format(**{name: shown(value) for name, value in fields.items()})


class Phrase:
    """Part of a message that is put into the reader's language by itself."""

    def __init__(self, template: str, **fields: object) -> None:
        self.template = template
        self.fields = fields

    def __str__(self) -> str:
        return fill(self.template, self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Phrase) and (self.template, self.fields) == (other.template, other.fields)

    def __hash__(self) -> int:
        return hash(self.template)


class ArchiverError(Exception):
    """An expected failure; never shown with a traceback."""

    exit_code: ClassVar[int] = 1

    def __init__(self, template: str, **fields: object) -> None:
        super().__init__(template)
        self.template = template
        self.fields = fields

    def __str__(self) -> str:
        return fill(self.template, self.fields)

    @property
    def kind(self) -> str:
        """A word for counting errors, in logs and metrics."""
        return type(self).__name__.removesuffix("Problem").lower()


class Reporter(Protocol):
    """Where what happened is told, as a message template and its fields.

    ``problem`` is a word for the kind of trouble; empty where there is none.
    """

    def __call__(self, template: str, /, *, problem: str = "", **fields: object) -> None:
        """Tell it."""


class UsageProblem(ArchiverError):
    """The command line asks for something that makes no sense."""

    exit_code = 2


class ConfigProblem(ArchiverError):
    """The configuration is missing, no text of ours or not allowed; one that may not be read is the storage's."""

    exit_code = 3


class RetentionRefused(ArchiverError):
    """Retention or a hold forbids it."""

    exit_code = 4


class SubmissionRefused(RetentionRefused):
    """What would be signed cannot be shown whole; retention starts at the signature, so the two share a code."""


class FindingsPresent(ArchiverError):
    """``verify`` found something."""

    exit_code = 5


class Busy(ArchiverError):
    """Another process is writing."""

    exit_code = 6


class NotFound(ArchiverError):
    """No such filing, submission, version, tag or plan."""

    exit_code = 7


class StorageProblem(ArchiverError):
    """The disk, a permission or a damaged file stands in the way."""

    exit_code = 8


class JournalDamaged(StorageProblem):
    """The journal cannot be continued as it stands; reading goes on."""


class Unhealthy(ArchiverError):
    """``status --check`` found the service unhealthy."""

    exit_code = 9


class NotArchived(Unhealthy):
    """``run --once`` had to leave finished files out."""
