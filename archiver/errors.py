"""Messages, and the error tree: a sentence for the person, a code and an exit code for the program.

A message is a *template* with named fields. It is translated only when it is printed. It says what happened to
which file, what was not lost, and what to do next. In a command, a field is written ``{name!q}``, which quotes it.

A template is written literally in one of three places, where tests/support/messages.py finds it: as the first
argument of :class:`LazyMessage`, of :meth:`LazyMessage.define`, or of a function with a parameter called
``template``. Programs compare the codes of messages, never their templates. docs/codes.md lists the codes.
"""

from __future__ import annotations

import os
import shlex
import string
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Protocol

from archiver.naming.ref_names import to_readable


def shell_word(value: object) -> str:
    r"""Return ``value`` as a single word of a command, for a person to copy into a shell.

    Other people choose the names of the files, and root copies the commands. So whatever the name, the shell must
    see one argument with the same bytes. Bytes that are not UTF-8, and characters that could move the cursor, are
    written in the form ``$'\261'`` of bash, ksh and zsh.
    """
    value = to_readable(value)
    if isinstance(value, bytes | os.PathLike):
        word_bytes = os.fsencode(value)
    else:
        word_bytes = str(value).encode("utf-8", "surrogateescape")
    decoded_word = word_bytes.decode("utf-8", "surrogateescape")
    if decoded_word.isprintable():
        return shlex.quote(decoded_word)
    return "$'" + "".join(map(_escape_in_dollar_quotes, decoded_word)) + "'"


def _escape_in_dollar_quotes(char: str) -> str:
    """Return ``char`` in the form that the shell requires between ``$'`` and ``'``."""
    if char in "\\'":
        return f"\\{char}"
    if char.isprintable():
        return char
    # The shell reads at most three octal digits, so a digit that follows cannot be taken for a part of the escape.
    return "".join(f"\\{byte:03o}" for byte in char.encode("utf-8", "surrogateescape"))


class _CommandFormatter(string.Formatter):
    """Formats like ``str.format``, and quotes ``{name!q}`` as a word of a command."""

    def __init__(self, to_display: Callable[[object], object]) -> None:
        """Convert each field without ``!q`` with ``to_display``."""
        self._to_display = to_display

    def convert_field(self, value: Any, conversion: Any) -> Any:
        """Return the value of a field for ``str.format``. ``conversion`` is the letter after ``!``, or None."""
        if conversion == "q":
            # The original value is quoted: a name that was made safe to display no longer names the same file.
            return shell_word(value)
        return super().convert_field(self._to_display(value), conversion)


def _to_readable(value: object) -> object:
    """Return bytes, paths and texts as text that every stream can encode; return other values unchanged.

    Without this, a message would show bytes as a Python literal (``b'...'``), and a text with surrogates could not
    be written to a stream. A name in the ref form becomes the name for people.
    """
    value = to_readable(value)
    if isinstance(value, os.PathLike):
        value = os.fsencode(value)
    elif isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def fill_template(
    template: str, fields: Mapping[str, object], to_display: Callable[[object], object] = _to_readable
) -> str:
    """Return a template with the fields filled in.

    The value of ``{name}`` is converted by ``to_display``, that of ``{name!q}`` by :func:`shell_word`. Raises
    KeyError if a field is missing.
    """
    if "!q}" in template:
        return _CommandFormatter(to_display).vformat(template, (), fields)
    # str.format is faster, which matters for long listings. Few of their lines hold a command.
    return template.format(**{field_name: to_display(field_value) for field_name, field_value in fields.items()})


#: The attributes of a message besides the template and the fields, as they are sent over the socket and stored in
#: ``state.db``.
_ATTRIBUTES = ("code", "context", "singular", "count_field")
#: The count of a message that has no count. Every number except 1 selects the plural.
_PLURAL_COUNT = 2


class LazyMessage:
    """A message that is not translated yet: a template and fields.

    ``str()`` returns the English sentence. A field may hold another message, which is then translated, too. A name
    in the ref form, such as a tag, is shown as the name for people.
    """

    __slots__ = ("code", "context", "count_field", "fields", "singular", "template")

    def __init__(self, template: str, /, **fields: object) -> None:
        """Create a message without a code. :meth:`define` creates a message with a code or a singular."""
        self.template = template
        self.fields = fields
        self.code = self.context = self.singular = self.count_field = ""

    @classmethod
    def define(
        cls, template: str, /, *, code: str = "", context: str = "", singular: str = "", count_field: str = "count"
    ) -> LazyMessage:
        """Create a message whose fields are added later, with :meth:`with_fields`.

        ``code`` identifies the message to programs, and stays when the sentence is reworded. ``context``
        distinguishes two meanings of an English text for which Chinese has different words. ``singular`` is used
        in place of ``template`` if the field named ``count_field`` is 1, in languages that distinguish the two.
        Each of them may be empty.
        """
        message = cls(template)
        message.code, message.context = code, context
        message.singular, message.count_field = singular, count_field if singular else ""
        return message

    @classmethod
    def from_parts(
        cls, template: str, fields: Mapping[str, object], attributes: Mapping[str, str] | None = None
    ) -> LazyMessage:
        """Create a message from the parts that another process sent or an earlier run stored.

        ``attributes`` has the form of :attr:`attributes`. Attributes unknown to this release are ignored.
        """
        known_attributes = {name: str(value) for name, value in (attributes or {}).items() if name in _ATTRIBUTES}
        return cls.define(template, **known_attributes).with_fields(**fields)

    def with_fields(self, **fields: object) -> LazyMessage:
        """Return a copy of the message with ``fields`` added or replaced."""
        message = LazyMessage(self.template, **{**self.fields, **fields})
        message.code, message.context = self.code, self.context
        message.singular, message.count_field = self.singular, self.count_field
        return message

    @property
    def attributes(self) -> dict[str, str]:
        """The keyword arguments with which :meth:`define` creates this message, without its fields."""
        return {name: value for name in _ATTRIBUTES if (value := getattr(self, name))}

    @property
    def count(self) -> int:
        """The number that selects the singular or the plural; a plural number if the message has no count."""
        count = self.fields.get(self.count_field)
        return count if isinstance(count, int) else _PLURAL_COUNT

    def __str__(self) -> str:
        return fill_template(self.singular if self.singular and self.count == 1 else self.template, self.fields)

    def __repr__(self) -> str:
        return f"LazyMessage({self.template!r}, {self.fields!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LazyMessage) and (self.template, self.fields) == (other.template, other.fields)

    def __hash__(self) -> int:
        # The values of the fields may not be hashable.
        return hash(self.template)


def message_from(template: str | LazyMessage, fields: Mapping[str, object]) -> LazyMessage:
    """Return a message with ``fields`` added. ``template`` is a template, or a message that may lack fields."""
    return template.with_fields(**fields) if isinstance(template, LazyMessage) else LazyMessage(template, **fields)


class Reporter(Protocol):
    """A function that reports messages to people, in the daemon's log or on the screen.

    ``problem`` is the code of a kind of problem, which the metrics count. The code is empty if the message reports
    no problem.
    """

    def __call__(self, template: str | LazyMessage, /, *, problem: str = "", **fields: object) -> None:
        """Report a message."""


class ArchiverError(Exception):
    """An expected failure, which is never shown with a traceback.

    Every class has its own ``code``, for logs and metrics. ``wire_name`` is the name of the class on the socket.
    If a class does not define a ``wire_name``, its errors arrive as errors of the nearest base class that does.
    """

    exit_code: ClassVar[int] = 1
    code: ClassVar[str] = "archivererror"
    wire_name: ClassVar[str] = "ArchiverError"

    def __init__(self, template: str | LazyMessage, /, **fields: object) -> None:
        """Take a template and its fields, or a message and the fields that the message still lacks."""
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
    """The configuration is missing, invalid, or not allowed. An unreadable file is a StorageError."""

    exit_code = 3
    code = "config"
    wire_name = "ConfigProblem"


class RetentionRefused(ArchiverError):
    """Retention or a hold forbids the action."""

    exit_code = 4
    code = "retentionrefused"
    wire_name = "RetentionRefused"


class SubmissionRefused(RetentionRefused):
    """The content to sign cannot be shown completely, so a person would sign something unseen.

    The exit code is that of RetentionRefused, because retention starts at the signature.
    """

    code = "submissionrefused"
    wire_name = "SubmissionRefused"


class FileRestrictedError(RetentionRefused):
    """The files were captured by mistake and restricted, so they are restored only on an explicit request.

    The exit code is that of RetentionRefused: a rule of the archive, and not a fault, forbids the action.
    """

    code = "filerestricted"
    wire_name = "FileRestricted"


class FindingsPresent(ArchiverError):
    """``verify`` found faults in the archive."""

    exit_code = 5
    code = "findingspresent"
    wire_name = "FindingsPresent"


class Busy(ArchiverError):
    """Another process holds a lock that the action needs."""

    exit_code = 6
    code = "busy"
    wire_name = "Busy"


class NotFoundError(ArchiverError):
    """The filing, submission, version, tag or plan that the user named does not exist."""

    exit_code = 7
    code = "notfound"
    wire_name = "NotFound"


class StorageError(ArchiverError):
    """A disk error, a missing permission or a damaged file prevents the action."""

    exit_code = 8
    code = "storage"
    wire_name = "StorageProblem"


class LimitReached(StorageError):
    """A limit of the process, the service, the user or the machine prevents the action, until it is raised."""

    code = "limit"
    wire_name = "LimitReached"


class JournalDamaged(StorageError):
    """The journal is damaged, so nothing can be appended. Reading is still possible."""

    code = "journaldamaged"
    wire_name = "JournalDamaged"


class Unhealthy(ArchiverError):
    """``status --check`` found the service unhealthy."""

    exit_code = 9
    code = "unhealthy"
    wire_name = "Unhealthy"


class NotArchived(Unhealthy):
    """``run --once`` could not archive all files that nobody writes to any more."""

    code = "notarchived"
    wire_name = "NotArchived"


def _walk_subclasses(base_class: type[ArchiverError]) -> Iterator[type[ArchiverError]]:
    """Yield a class and all of its subclasses that are defined so far, base classes before derived classes."""
    yield base_class
    for subclass in base_class.__subclasses__():
        yield from _walk_subclasses(subclass)


#: Name on the socket -> class. A renamed class keeps its name on the socket, because the other side may run
#: another release.
ERROR_CLASS_BY_WIRE_NAME = {error_class.wire_name: error_class for error_class in _walk_subclasses(ArchiverError)}
