"""Encodes and decodes messages on the daemon's socket: a request and an answer, both bounded.

A message is a length (4 bytes, big-endian) and that many bytes of JSON.  A request may be followed by the bytes of
one attachment, whose size the request names.  Texts for people cross as templates with fields, so that the side of
the reader chooses the language.
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

from archiver.errors import BY_WIRE_NAME, ArchiverError, LazyMessage

VERSION = 1
#: The socket's name in the archive's folder.
SOCKET_NAME = "socket"
#: Lower, and a plan that names many versions has no answer; higher, and a caller fills the daemon's memory.
MAX_MESSAGE_BYTES = 8 << 20
#: Lower, and a scanned receipt is refused; higher, and a caller fills the spool.
MAX_ATTACHMENT_BYTES = 64 << 20
#: Texts in texts, in entries of a list: nothing of ours is deeper, and deeper input would exhaust the stack.
_DEEPEST = 8
_CHUNK_BYTES = 1 << 16
_PHRASE = "phrase"
#: No field has such a name; a release that does not know it takes it for one, and prints the plain template.
_ATTRIBUTES = "phrase-attributes"


class BadMessage(Exception):
    """The other side does not speak this protocol."""


@dataclass(frozen=True, slots=True)
class ActionMessage:
    """A caller's request on the socket, with the attachment's bytes behind."""

    action_name: str
    arguments: Mapping[str, Any]
    #: How many seconds the action may wait for another writer, as the caller asks; the daemon has a limit.
    lock_timeout: float
    #: None: nothing follows.
    attachment_size: int | None

    def encode(self) -> bytes:
        """Return the message's bytes.  Raises BadMessage if the arguments are too long."""
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

        Raises BadMessage if a part is missing or of the wrong kind, or the attachment's size is none.
        """
        action_name, arguments = document.get("action"), document.get("arguments")
        lock_timeout, size = document.get("wait_seconds"), document.get("attachment")
        if not (isinstance(action_name, str) and isinstance(arguments, dict)):
            raise BadMessage("no action, arguments or waiting time")
        if not isinstance(lock_timeout, int | float):
            raise BadMessage("no action, arguments or waiting time")
        if size is not None and not _is_attachment_size(size):
            raise BadMessage("an attachment of no size")
        return cls(action_name, arguments, lock_timeout, size)


def _is_attachment_size(size: object) -> bool:
    # JSON's true is an int in Python.
    return isinstance(size, int) and not isinstance(size, bool) and 0 <= size <= MAX_ATTACHMENT_BYTES


@contextmanager
def short_socket_path(archive: Path) -> Iterator[str]:
    """Give a short path of the socket, valid inside the block.

    Linux limits the path of a socket to 108 bytes, and an archive may lie deeper: the path leads through a
    descriptor of the archive's folder, closed at the end of the block.  Raises OSError without that folder.
    """
    folder = os.open(archive, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET_NAME}"
    finally:
        os.close(folder)


def read_exactly(receive: Callable[[int], bytes], count: int) -> bytes:
    """Call ``receive``, which may return fewer bytes than asked for, until ``count`` bytes have come.

    Raises BadMessage if the stream ends before.
    """
    data = bytearray()
    while len(data) < count:
        chunk = receive(min(count - len(data), _CHUNK_BYTES))
        if not chunk:
            raise BadMessage("it ended too early")
        data += chunk
    return bytes(data)


def encode_message(document: Mapping[str, Any]) -> bytes:
    """Return the bytes of a message.  Raises BadMessage beyond the limit."""
    data = json.dumps({"archiver": VERSION, **document}, default=encode_value).encode("ascii")
    if len(data) > MAX_MESSAGE_BYTES:
        raise BadMessage("too long")
    return struct.pack(">I", len(data)) + data


def read_message(read: Callable[[int], bytes]) -> dict[str, Any]:
    """Read one message through ``read``, which returns exactly as many bytes as asked for.

    Raises BadMessage if it is too long, no JSON object, or of another version of the protocol.
    """
    (length,) = struct.unpack(">I", read(4))
    if length > MAX_MESSAGE_BYTES:
        raise BadMessage("too long")
    try:
        document = json.loads(read(length).decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if not isinstance(document, dict) or document.pop("archiver", None) != VERSION:
        raise BadMessage("another protocol")
    return document


def encode_error(error: ArchiverError) -> dict[str, Any]:
    """Describe an expected failure, to be raised again on the other side."""
    message = error.message
    return {
        "error": error.wire_name,
        "template": message.template,
        "fields": message.fields,
        **({"attributes": message.attributes} if message.attributes else {}),
    }


def decode_error(document: Mapping[str, Any]) -> ArchiverError:
    """Make the error that :func:`encode_error` described; raises BadMessage."""
    error_class = BY_WIRE_NAME.get(str(document.get("error")))
    text, fields = document.get("template"), document.get("fields")
    if error_class is None:
        raise BadMessage("an unknown error")
    if not isinstance(text, str) or not isinstance(fields, dict):
        raise BadMessage("an error without a message")
    revived = {str(name): decode_value(value) for name, value in fields.items()}
    return error_class(LazyMessage.revive(text, revived, _mapping(document.get("attributes"))))


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def decode_value(value: Any, depth: int = 0) -> Any:
    """Make messages of what came through JSON, at any depth up to a limit; raises BadMessage beyond it."""
    if depth > _DEEPEST:
        raise BadMessage("nested too deeply")
    if isinstance(value, dict):
        inner = {str(name): decode_value(each, depth + 1) for name, each in value.items()}
        if isinstance(text := inner.pop(_PHRASE, None), str):
            attributes = _mapping(inner.pop(_ATTRIBUTES, None))
            return LazyMessage.revive(text, inner, attributes)
        return inner
    if isinstance(value, list):
        return [decode_value(each, depth + 1) for each in value]
    return value


def encode_value(value: object) -> object:
    """Return a value without a kind in JSON as one that has, for :func:`decode_value`.

    Names are in UTF-8 whatever the locale.
    """
    if isinstance(value, LazyMessage):
        attributes = {_ATTRIBUTES: value.attributes} if value.attributes else {}
        return {_PHRASE: value.template, **attributes, **value.fields}
    if isinstance(value, bytes | os.PathLike):
        return os.fsencode(value).decode("utf-8", "surrogateescape")
    return str(value)
