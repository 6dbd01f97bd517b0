"""Encode and decode the messages on the daemon's socket: a request and a reply, both limited in size.

A message is a length (4 bytes, unsigned, big-endian) followed by that many bytes of JSON in ASCII. A request may
be followed by the bytes of one attachment, and states their number. Texts for people are sent as templates with
fields, so that the receiver chooses the language.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from archiver.errors import ERROR_CLASS_BY_WIRE_NAME, ArchiverError, LazyMessage
from archiver.naming.ref_names import to_readable

#: Both sides must have the same version. A change of the rules that older releases cannot follow increases it.
PROTOCOL_VERSION = 1
#: The file name of the socket in the archive's folder.
SOCKET_NAME = "socket"
#: With a lower limit, the reply to a plan of many versions does not fit. With a higher limit, callers can exhaust
#: the daemon's memory.
MAX_MESSAGE_BYTES = 8 << 20
#: With a lower limit, a large scanned receipt is refused. With a higher limit, callers can fill the disk of the
#: spool, which holds received attachments.
MAX_ATTACHMENT_BYTES = 64 << 20
#: Levels of nesting that :func:`decode_value` accepts. Without a limit, input could exhaust the stack of the
#: recursive decoder. Real results, such as lists of messages with messages as fields, have fewer levels.
_MAX_DEPTH = 8
#: The most bytes to request from the socket at once.
_CHUNK_BYTES = 1 << 16
#: The length in front of each message: an unsigned 32-bit integer, big-endian.
_LENGTH_PREFIX = struct.Struct(">I")
#: JSON member that marks an object as a LazyMessage and holds the template. The other members are the fields.
_TEMPLATE_MEMBER = "phrase"
#: JSON member with the attributes of a LazyMessage. No field can have this name, because of the hyphen. A release
#: that does not know the member takes it for a field, and prints the template without the attributes.
_ATTRIBUTES_MEMBER = "phrase-attributes"


class BadMessage(Exception):
    """A received message breaks the rules of the protocol, or a message is too long to be sent."""


class ActionMessage(NamedTuple):
    """A caller's request as a message; the bytes of the attachment follow the message on the socket."""

    action_name: str
    #: The arguments in the wire form, by wire name.
    arguments: Mapping[str, Any]
    #: The number of seconds that the action may wait for another writer. The daemon replaces a value above its own
    #: limit.
    lock_timeout: float
    #: In bytes; None if no attachment follows.
    attachment_size: int | None

    def encode(self) -> bytes:
        """Return the message as bytes, without the attachment; raises BadMessage if the message is too long."""
        return encode_message(
            {
                "action": self.action_name,
                "arguments": self.arguments,
                "wait_seconds": self.lock_timeout,
                "attachment": self.attachment_size,
            }
        )

    @classmethod
    def decode(cls, document: Mapping[str, Any]) -> ActionMessage:
        """Return the request in ``document``, a received JSON object.

        Raises BadMessage if a member is missing or has the wrong type, or if the size of the attachment is not
        valid.
        """
        action_name, arguments = document.get("action"), document.get("arguments")
        lock_timeout, attachment_size = document.get("wait_seconds"), document.get("attachment")
        if not (isinstance(action_name, str) and isinstance(arguments, dict)):
            raise BadMessage("no action, arguments or waiting time")
        if not isinstance(lock_timeout, int | float):
            raise BadMessage("no action, arguments or waiting time")
        if attachment_size is not None and not _is_valid_attachment_size(attachment_size):
            raise BadMessage("an attachment of no size")
        return cls(action_name, arguments, lock_timeout, attachment_size)


def _is_valid_attachment_size(json_value: object) -> bool:
    """Return True if ``json_value`` is an integer from 0 to ``MAX_ATTACHMENT_BYTES``."""
    if not isinstance(json_value, int) or isinstance(json_value, bool):
        # In Python, a bool is an int.
        return False
    return 0 <= json_value <= MAX_ATTACHMENT_BYTES


@contextmanager
def short_socket_path(archive_folder: Path) -> Iterator[str]:
    """Yield a short path to the archive's socket, valid inside the block.

    Linux limits the path of a socket to 108 bytes, and the path of an archive may be longer. The short path leads
    through a descriptor of the archive's folder. The descriptor is closed at the end of the block.

    Raises OSError if the archive's folder cannot be opened.
    """
    folder_fd = os.open(archive_folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder_fd}/{SOCKET_NAME}"
    finally:
        os.close(folder_fd)


def read_exactly(receive: Callable[[int], bytes], byte_count: int) -> bytes:
    """Receive exactly ``byte_count`` bytes, in as many calls of ``receive`` as necessary, and return the bytes.

    The argument of ``receive`` is the largest number of bytes to return. ``receive`` may return fewer bytes, and
    returns none at the end of the stream. Raises BadMessage if the stream ends too early, and any exception of
    ``receive``.
    """
    received_bytes = bytearray()
    while len(received_bytes) < byte_count:
        chunk = receive(min(byte_count - len(received_bytes), _CHUNK_BYTES))
        if not chunk:
            raise BadMessage("it ended too early")
        received_bytes += chunk
    return bytes(received_bytes)


def encode_message(document: Mapping[str, Any]) -> bytes:
    """Return ``document`` as the bytes of a message: the length, and JSON with the version of the protocol.

    Raises BadMessage if the JSON is longer than ``MAX_MESSAGE_BYTES``.
    """
    json_bytes = json.dumps({"archiver": PROTOCOL_VERSION, **document}, default=encode_value).encode("ascii")
    if len(json_bytes) > MAX_MESSAGE_BYTES:
        raise BadMessage("too long")
    return _LENGTH_PREFIX.pack(len(json_bytes)) + json_bytes


def read_message(read_bytes: Callable[[int], bytes]) -> dict[str, Any]:
    """Read a message, and return the JSON object without the version of the protocol.

    ``read_bytes`` must return exactly the number of bytes that is its argument. Raises BadMessage if the message
    is too long, is not a JSON object, or has another version of the protocol, and any exception of ``read_bytes``.
    """
    (json_size,) = _LENGTH_PREFIX.unpack(read_bytes(_LENGTH_PREFIX.size))
    if json_size > MAX_MESSAGE_BYTES:
        raise BadMessage("too long")
    try:
        document = json.loads(read_bytes(json_size).decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if not isinstance(document, dict) or document.pop("archiver", None) != PROTOCOL_VERSION:
        raise BadMessage("another protocol")
    return document


def encode_error(error: ArchiverError) -> dict[str, Any]:
    """Return the reply for an action that raised ``error``; :func:`decode_error` restores the error."""
    message = error.message
    return {
        "error": error.wire_name,
        "template": message.template,
        "fields": _encode_fields(message),
        **({"attributes": message.attributes} if message.attributes else {}),
    }


def _encode_fields(message: LazyMessage) -> dict[str, Any]:
    """Return the fields of a message, with names for people: the other process would take a tag for a text."""
    return {field_name: to_readable(field_value) for field_name, field_value in message.fields.items()}


def decode_error(document: Mapping[str, Any]) -> ArchiverError:
    """Return the error in a reply, as encoded by :func:`encode_error`.

    Raises BadMessage if this release does not know the class of the error, or if the template or the fields are
    missing or of the wrong type.
    """
    error_class = ERROR_CLASS_BY_WIRE_NAME.get(str(document.get("error")))
    template, fields = document.get("template"), document.get("fields")
    if error_class is None:
        raise BadMessage("an unknown error")
    if not isinstance(template, str) or not isinstance(fields, dict):
        raise BadMessage("an error without a message")
    decoded_fields = {str(field_name): decode_value(encoded_field) for field_name, encoded_field in fields.items()}
    return error_class(
        LazyMessage.from_parts(template, decoded_fields, _object_or_empty(document.get("attributes")))
    )


def _object_or_empty(json_value: object) -> dict[str, Any]:
    """Return ``json_value`` if it is a JSON object, otherwise an empty object."""
    return json_value if isinstance(json_value, dict) else {}


def decode_value(json_value: Any, depth: int = 0) -> Any:
    """Return a value from JSON, in which each LazyMessage encoded by :func:`encode_value` is restored.

    A LazyMessage is a text for people that is not translated yet. ``depth`` is the number of objects and lists
    around the value. Raises BadMessage if the value is nested more deeply than ``_MAX_DEPTH``.
    """
    if depth > _MAX_DEPTH:
        raise BadMessage("nested too deeply")
    if isinstance(json_value, dict):
        members = {
            str(member_name): decode_value(member_value, depth + 1)
            for member_name, member_value in json_value.items()
        }
        if isinstance(template := members.pop(_TEMPLATE_MEMBER, None), str):
            attributes = _object_or_empty(members.pop(_ATTRIBUTES_MEMBER, None))
            return LazyMessage.from_parts(template, members, attributes)
        return members
    if isinstance(json_value, list):
        return [decode_value(list_item, depth + 1) for list_item in json_value]
    return json_value


def encode_value(python_object: object) -> object:
    """Return a JSON value for a Python object without a JSON type, as the ``default`` of ``json.dumps``.

    A LazyMessage becomes a JSON object, from which :func:`decode_value` restores it. A file name becomes a text:
    the bytes are decoded as UTF-8 in every locale, and bytes that are not UTF-8 become surrogates. Any other
    object becomes its ``str()``.
    """
    if isinstance(python_object, LazyMessage):
        attributes = {_ATTRIBUTES_MEMBER: python_object.attributes} if python_object.attributes else {}
        return {_TEMPLATE_MEMBER: python_object.template, **attributes, **_encode_fields(python_object)}
    if isinstance(python_object, bytes | os.PathLike):
        return os.fsencode(python_object).decode("utf-8", "surrogateescape")
    return str(python_object)
