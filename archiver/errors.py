"""Messages, and the error tree: a sentence for the person, a code and an exit code for the program.

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
    r"""Write ``value`` as a single word of a command, for a person to copy into a shell.

    Names come from folders that others write, and root copies commands: a name must stay one argument, and be the
    same bytes there.  Bytes that are not UTF-8, and characters that could move the cursor, take the form
    ``$'\261'`` of bash, ksh and zsh.
    """
    if isinstance(value, bytes | os.PathLike):
        word_bytes = os.fsencode(value)
    else:
        word_bytes = str(value).encode("utf-8", "surrogateescape")
    unquoted = word_bytes.decode("utf-8", "surrogateescape")
    if unquoted.isprintable():
        return shlex.quote(unquoted)
    return "$'" + "".join(map(_escape_in_dollar_quotes, unquoted)) + "'"


def _escape_in_dollar_quotes(char: str) -> str:
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    # Three octal digits: a fourth one that follows cannot be read as part of them.
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


class _CommandFormatter(string.Formatter):
    """Formats like ``str.format``, and quotes ``{name!q}`` as a word of a command."""

    def __init__(self, to_display: Callable[[object], object]) -> None:
        self._to_display = to_display

    def convert_field(self, value: Any, conversion: Any) -> Any:
        if conversion == "q":
            # The value itself: a name made fit for a screen is another name.
            return shell_word(value)
        return super().convert_field(self._to_display(value), conversion)


def _to_readable(value: object) -> object:
    """Return names as text: ``str()`` turns bytes into Python source, and no stream takes a surrogate."""
    if isinstance(value, os.PathLike):
        value = os.fsencode(value)
    elif isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def fill_template(
    template: str, fields: Mapping[str, object], to_display: Callable[[object], object] = _to_readable
) -> str:
    """Put the fields into a template: ``{name}`` by ``to_display``, ``{name!q}`` by :func:`shell_word`.

    Raises KeyError for a field that is missing.
    """
    if "!q}" in template:
        return _CommandFormatter(to_display).vformat(template, (), fields)
    # Listings are long, and hardly a line of them holds a command.
    return template.format(**{name: to_display(value) for name, value in fields.items()})


#: The attributes of a message besides template and fields, as they cross the socket and lie in ``state.db``.
_ATTRIBUTES = ("code", "context", "singular", "count_field")


class LazyMessage:
    """A message in no language yet: a template and fields.

    ``str()`` returns the English sentence.  A message inside a field is put into the same language.
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

        ``code`` identifies the message to programs, even after the sentence was changed.  ``context`` separates
        two senses of an English word that Chinese has two words for.  ``singular`` replaces ``template`` in
        languages that decline, if the field named ``count_field`` is 1.
        """
        message = cls(template)
        message.code, message.context = code, context
        message.singular, message.count_field = singular, count_field if singular else ""
        return message

    @classmethod
    def revive(
        cls, template: str, fields: Mapping[str, object], attributes: Mapping[str, str] | None = None
    ) -> LazyMessage:
        """Rebuild a message from the parts sent by another process, or stored by an earlier run.

        Attributes that only another release has are left out.
        """
        own_attributes = {name: str(value) for name, value in (attributes or {}).items() if name in _ATTRIBUTES}
        return cls.define(template, **own_attributes).with_fields(**fields)

    def with_fields(self, **fields: object) -> LazyMessage:
        """Return a copy of the message with ``fields`` added or replaced."""
        message = LazyMessage(self.template, **{**self.fields, **fields})
        message.code, message.context = self.code, self.context
        message.singular, message.count_field = self.singular, self.count_field
        return message

    @property
    def attributes(self) -> dict[str, str]:
        """The keyword arguments of :meth:`define` for this message; empty for a plain message."""
        return {name: value for name in _ATTRIBUTES if (value := getattr(self, name))}

    @property
    def count(self) -> int:
        """The number for singular or plural; 2, a plural, for a message without a count."""
        count = self.fields.get(self.count_field)
        return count if isinstance(count, int) else 2

    def __str__(self) -> str:
        return fill_template(self.singular if self.singular and self.count == 1 else self.template, self.fields)

    def __repr__(self) -> str:
        return f"LazyMessage({self.template!r}, {self.fields!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazyMessage) and (self.template, self.fields) == (other.template, other.fields)

    def __hash__(self) -> int:
        return hash(self.template)


def message_from(template: str | LazyMessage, fields: Mapping[str, object]) -> LazyMessage:
    """Return a message from a template, or from a message without some fields, and ``fields``."""
    return template.with_fields(**fields) if isinstance(template, LazyMessage) else LazyMessage(template, **fields)


class Reporter(Protocol):
    """Reports to people, in the daemon's log or on the screen.

    ``problem`` is the code of the kind of trouble, for the counters of the metrics; empty without trouble.
    """

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Report a message."""


class ArchiverError(Exception):
    """An expected failure; never shown with a traceback.

    Every class has a ``code`` of its own, for logs and metrics.  ``wire_name`` is the name on the socket: a class
    without a name of its own crosses as the nearest class above that has one.
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
    """The command line asks for something impossible or meaningless."""

    exit_code = 2
    code = "usage"
    wire_name = "UsageProblem"


class ConfigError(ArchiverError):
    """The configuration is missing, not valid, or not allowed; a file without permission is a StorageError."""

    exit_code = 3
    code = "config"
    wire_name = "ConfigProblem"


class RetentionRefused(ArchiverError):
    """Retention or a hold forbids the action."""

    exit_code = 4
    code = "retentionrefused"
    wire_name = "RetentionRefused"


class SubmissionRefused(RetentionRefused):
    """The content to sign cannot be shown whole.

    A person would sign something unseen; retention starts at the signature, so both refusals share an exit code.
    """

    code = "submissionrefused"
    wire_name = "SubmissionRefused"


class FindingsPresent(ArchiverError):
    """``verify`` has findings."""

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
    """The journal is damaged and cannot be continued; reading goes on."""

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


def _walk_subclasses(base_class: type[ArchiverError]) -> Iterator[type[ArchiverError]]:
    yield base_class
    for subclass in base_class.__subclasses__():
        yield from _walk_subclasses(subclass)


#: Name on the socket -> class.  Names stay when a class is renamed: the other side may be of another release.
BY_WIRE_NAME = {error_class.wire_name: error_class for error_class in _walk_subclasses(ArchiverError)}
