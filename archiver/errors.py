"""Messages, and the error tree: one sentence for the person, a code and an exit code for the program.

A message is a *template* with named fields, in no language until it is printed.  It says what happened to
which file, what was not lost, and what to do next; in a command each field is ``{name!q}``, quoted.

A template is written literally in one of three places, where tests/support/messages.py finds it: as the first
argument of :class:`LazyMessage`, of :meth:`LazyMessage.define`, or of a function with a parameter called
``template``. Programs decide on codes, never on templates; docs/codes.md lists the codes.
"""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Callable, Iterator, Mapping
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


_ATTRIBUTES = ("code", "context", "singular", "count_field")


class LazyMessage:
    """A message that is not in any language yet: a template and its fields.

    ``str()`` gives the English sentence.  A message inside a field is put into the same language.
    """

    __slots__ = ("code", "context", "count_field", "fields", "singular", "template")

    def __init__(self, template: str, /, **fields: object) -> None:
        self.template = template
        self.fields = fields
        self.code = self.context = self.singular = self.count_field = ""

    @classmethod
    def define(
        cls, template: str, /, *, code: str = "", context: str = "", singular: str = "", count_field: str = "count"
    ) -> LazyMessage:
        """Describe a message whose fields come later, with :meth:`with_fields`.

        ``code`` identifies the message to programs, whatever becomes of the sentence.  ``context`` tells apart
        what English calls by one word and Chinese by two.  ``singular`` replaces ``template`` in languages that
        decline, where the field named ``count_field`` is 1.
        """
        phrase = cls(template)
        phrase.code, phrase.context = code, context
        phrase.singular, phrase.count_field = singular, count_field if singular else ""
        return phrase

    @classmethod
    def revive(
        cls, template: str, fields: Mapping[str, object], attributes: Mapping[str, str] | None = None
    ) -> LazyMessage:
        """Make the message again that another process took apart or an earlier run stored.

        Attributes that only another release knows are left out.
        """
        known = {name: str(value) for name, value in (attributes or {}).items() if name in _ATTRIBUTES}
        return cls.define(template, **known).with_fields(**fields)

    def with_fields(self, **fields: object) -> LazyMessage:
        """Return the same message with these fields added."""
        phrase = LazyMessage(self.template, **{**self.fields, **fields})
        phrase.code, phrase.context = self.code, self.context
        phrase.singular, phrase.count_field = self.singular, self.count_field
        return phrase

    @property
    def attributes(self) -> dict[str, str]:
        """All but template and fields, as :meth:`define` takes them; empty for a plain message."""
        return {name: value for name in _ATTRIBUTES if (value := getattr(self, name))}

    @property
    def count(self) -> int:
        """The number that chooses between singular and plural; 2 where the message does not count."""
        count = self.fields.get(self.count_field)
        return count if isinstance(count, int) else 2

    def __str__(self) -> str:
        return fill(self.singular if self.singular and self.count == 1 else self.template, self.fields)

    def __repr__(self) -> str:
        return f"LazyMessage({self.template!r}, {self.fields!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazyMessage) and (self.template, self.fields) == (other.template, other.fields)

    def __hash__(self) -> int:
        return hash(self.template)


def message_from(template: str | LazyMessage, fields: Mapping[str, object]) -> LazyMessage:
    """Make a message of what a caller wrote: a template, or a message that lacks some fields."""
    return template.with_fields(**fields) if isinstance(template, LazyMessage) else LazyMessage(template, **fields)


class Reporter(Protocol):
    """Tells people what happened, in the daemon's log or on the screen.

    ``problem`` is the code of the kind of trouble, as metrics count it; empty where there is none.
    """

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Report a message."""


class ArchiverError(Exception):
    """An expected failure; never shown with a traceback.

    Every class has a ``code`` of its own, for logs and metrics.  ``wire_name`` is what it is called on the
    socket: a class without one of its own crosses as the nearest class above that has one.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "archivererror"
    wire_name: ClassVar[str] = "ArchiverError"

    def __init__(self, template: str | LazyMessage, /, **fields: object) -> None:
        self.message = message_from(template, fields)
        super().__init__(self.message.template)

    def __str__(self) -> str:
        return str(self.message)


class UsageError(ArchiverError):
    """The command line asks for something that makes no sense."""

    exit_code = 2
    code = "usage"
    wire_name = "UsageProblem"


class ConfigError(ArchiverError):
    """The configuration is missing, no text of ours or not allowed; one that may not be read is the storage's."""

    exit_code = 3
    code = "config"
    wire_name = "ConfigProblem"


class RetentionRefused(ArchiverError):
    """Retention or a hold forbids it."""

    exit_code = 4
    code = "retentionrefused"
    wire_name = "RetentionRefused"


class SubmissionRefused(RetentionRefused):
    """What would be signed cannot be shown whole; retention starts at the signature, so the two share a code."""

    code = "submissionrefused"
    wire_name = "SubmissionRefused"


class FindingsPresent(ArchiverError):
    """``verify`` found something."""

    exit_code = 5
    code = "findingspresent"
    wire_name = "FindingsPresent"


class Busy(ArchiverError):
    """Another process is writing."""

    exit_code = 6
    code = "busy"
    wire_name = "Busy"


class NotFoundError(ArchiverError):
    """No such filing, submission, version, tag or plan."""

    exit_code = 7
    code = "notfound"
    wire_name = "NotFound"


class StorageError(ArchiverError):
    """The disk, a permission or a damaged file stands in the way."""

    exit_code = 8
    code = "storage"
    wire_name = "StorageProblem"


class JournalDamaged(StorageError):
    """The journal cannot be continued as it stands; reading goes on."""

    code = "journaldamaged"
    wire_name = "JournalDamaged"


class Unhealthy(ArchiverError):
    """``status --check`` found the service unhealthy."""

    exit_code = 9
    code = "unhealthy"
    wire_name = "Unhealthy"


class NotArchived(Unhealthy):
    """``run --once`` had to leave finished files out."""

    code = "notarchived"
    wire_name = "NotArchived"


def _with_wire_names(base: type[ArchiverError]) -> Iterator[type[ArchiverError]]:
    yield base
    for subclass in base.__subclasses__():
        yield from _with_wire_names(subclass)


#: Name on the socket -> class.  Names stay when a class is renamed: the other side may be of another release.
BY_WIRE_NAME = {each.wire_name: each for each in _with_wire_names(ArchiverError)}
