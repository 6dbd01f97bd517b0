"""Encode and decode the messages on the daemon's socket: a request and a reply, both limited in size.

A message is a length (4 bytes, unsigned, big-endian) followed by that many bytes of JSON in ASCII. A request may
be followed by the bytes of one attachment, and states their number. Texts for people cross as templates with
fields, so that the receiver chooses the language.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archiver.errors import ERROR_CLASS_BY_WIRE_NAME, ArchiverError, LazyMessage

VERSION = 1
#: The file name of the socket in the archive's folder.
SOCKET_NAME = "socket"
#: Lower, and the reply to a plan of many versions does not fit; higher, and callers can exhaust the daemon's
#: memory.
MAX_MESSAGE_BYTES = 8 << 20
#: Lower, and a scanned receipt is refused; higher, and callers can fill the disk with the spool.
MAX_ATTACHMENT_BYTES = 64 << 20
#: Results nest messages inside fields of messages inside lists, which is less deep. Deeper input would exhaust the
#: stack of the recursive decoder.
_MAX_DEPTH = 8
#: Most bytes requested from the socket at once.
_CHUNK_BYTES = 1 << 16
#: An unsigned 32-bit integer, big-endian, in front of each message.
_LENGTH_PREFIX = struct.Struct(">I")
#: JSON member that marks an object as a LazyMessage and holds the template. The other members are the fields.
_TEMPLATE_MEMBER = "phrase"
#: JSON member with the attributes of a LazyMessage. The hyphen keeps it apart from every field. A release that
#: does not know the member takes it for a field, and prints the template without the attributes.
_ATTRIBUTES_MEMBER = "phrase-attributes"


class BadMessage(Exception):
    """The other side of the socket sent something that is not a message of this protocol."""


@dataclass(frozen=True, slots=True)
class ActionMessage:
    """A caller's request on the socket; the attachment follows it as plain bytes."""

    action_name: str
    #: In their wire form, by wire name.
    arguments: Mapping[str, Any]
    #: How many seconds the caller allows the action to wait for another writer. The daemon replaces a value above
    #: its own limit.
    lock_timeout: float
    #: In bytes. None: no attachment follows.
    attachment_size: int | None

    def encode(self) -> bytes:
        """Return the message as bytes, without the attachment. Raises BadMessage if the arguments are too long."""
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
        """Return the request in a received document.

        Raises BadMessage if a member is missing or has the wrong type, or if the size of the attachment is out of
        range.
        """
        action_name, arguments = document.get("action"), document.get("arguments")
        lock_timeout, attachment_size = document.get("wait_seconds"), document.get("attachment")
        if not (isinstance(action_name, str) and isinstance(arguments, dict)):
            raise BadMessage("no action, arguments or waiting time")
        if not isinstance(lock_timeout, int | float):
            raise BadMessage("no action, arguments or waiting time")
        if attachment_size is not None and not _is_attachment_size(attachment_size):
            raise BadMessage("an attachment of no size")
        return cls(action_name, arguments, lock_timeout, attachment_size)


def _is_attachment_size(size: object) -> bool:
    """Return True if ``size`` is a whole number from 0 to ``MAX_ATTACHMENT_BYTES``."""
    # In Python, True is an int.
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_ATTACHMENT_BYTES


@contextmanager
def short_socket_path(archive: Path) -> Iterator[str]:
    """Yield a short path of the archive's socket, valid inside the block.

    Linux limits the path of a socket to 108 bytes, and the path of an archive may be longer. The short path leads
    through a descriptor of the archive's folder, which is closed at the end of the block.

    Raises OSError if the archive's folder cannot be opened.
    """
    folder_fd = os.open(archive, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder_fd}/{SOCKET_NAME}"
    finally:
        os.close(folder_fd)


def read_exactly(receive: Callable[[int], bytes], byte_count: int) -> bytes:
    """Call ``receive`` until ``byte_count`` bytes have arrived in all, and return them.

    ``receive`` is called with the largest number of bytes to return, and may return fewer; no bytes mean the end
    of the stream. Raises BadMessage if the stream ends too early, and whatever ``receive`` raises.
    """
    data = bytearray()
    while len(data) < byte_count:
        chunk = receive(min(byte_count - len(data), _CHUNK_BYTES))
        if not chunk:
            raise BadMessage("it ended too early")
        data += chunk
    return bytes(data)


def encode_message(document: Mapping[str, Any]) -> bytes:
    """Return a message as bytes, with its length in front. Raises BadMessage above ``MAX_MESSAGE_BYTES``."""
    data = json.dumps({"archiver": VERSION, **document}, default=encode_value).encode("ascii")
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadMessage("too long")
    return _LENGTH_PREFIX.pack(len(data)) + data


def read_message(read_bytes: Callable[[int], bytes]) -> dict[str, Any]:
    """Read a message, and return the JSON object without the version of the protocol.

    ``read_bytes`` must return exactly as many bytes as it is called with. Raises BadMessage if the message is too
    long, is not a JSON object, or has another version of the protocol, and whatever ``read_bytes`` raises.
    """
    (byte_count,) = _LENGTH_PREFIX.unpack(read_bytes(_LENGTH_PREFIX.size))
    if byte_count > MAX_MESSAGE_BYTES:
        raise BadMessage("too long")
    try:
        document = json.loads(read_bytes(byte_count).decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if not isinstance(document, dict) or document.pop("archiver", None) != VERSION:
        raise BadMessage("another protocol")
    return document


def encode_error(error: ArchiverError) -> dict[str, Any]:
    """Return the reply for an expected failure; :func:`decode_error` restores the error on the other side."""
    message = error.message
    return {
        "error": error.wire_name,
        "template": message.template,
        "fields": message.fields,
        **({"attributes": message.attributes} if message.attributes else {}),
    }


def decode_error(document: Mapping[str, Any]) -> ArchiverError:
    """Return the error from a reply of :func:`encode_error`, for the caller to raise.

    Raises BadMessage if this release does not know the class of the error, or the message is malformed.
    """
    error_class = ERROR_CLASS_BY_WIRE_NAME.get(str(document.get("error")))
    template, fields = document.get("template"), document.get("fields")
    if error_class is None:
        raise BadMessage("an unknown error")
    if not isinstance(template, str) or not isinstance(fields, dict):
        raise BadMessage("an error without a message")
    decoded_fields = {str(name): decode_value(value) for name, value in fields.items()}
    return error_class(
        LazyMessage.from_parts(template, decoded_fields, _object_or_empty(document.get("attributes")))
    )


def _object_or_empty(json_value: object) -> dict[str, Any]:
    """Return ``json_value`` if a JSON object, else an empty object."""
    return json_value if isinstance(json_value, dict) else {}


def decode_value(json_value: Any, depth: int = 0) -> Any:
    """Return a value from JSON with every encoded LazyMessage restored.

    A LazyMessage is a text for people that is not translated yet. ``depth`` is the number of enclosing objects and
    lists. Raises BadMessage if the value is nested too deeply.
    """
    if depth > _MAX_DEPTH:
        raise BadMessage("nested too deeply")
    if isinstance(json_value, dict):
        members = {str(name): decode_value(member, depth + 1) for name, member in json_value.items()}
        if isinstance(template := members.pop(_TEMPLATE_MEMBER, None), str):
            attributes = _object_or_empty(members.pop(_ATTRIBUTES_MEMBER, None))
            return LazyMessage.from_parts(template, members, attributes)
        return members
    if isinstance(json_value, list):
        return [decode_value(member, depth + 1) for member in json_value]
    return json_value


def encode_value(python_object: object) -> object:
    """Return a JSON value for an object that JSON has no type for; ``json.dumps`` calls this as ``default``.

    A LazyMessage becomes an object, which :func:`decode_value` restores. A file name becomes a text in UTF-8
    whatever the locale, with bytes that are not UTF-8 as surrogates. Any other object becomes its ``str()``.
    """
    if isinstance(python_object, LazyMessage):
        attributes = {_ATTRIBUTES_MEMBER: python_object.attributes} if python_object.attributes else {}
        return {_TEMPLATE_MEMBER: python_object.template, **attributes, **python_object.fields}
    if isinstance(python_object, bytes | os.PathLike):
        return os.fsencode(python_object).decode("utf-8", "surrogateescape")
    return str(python_object)
