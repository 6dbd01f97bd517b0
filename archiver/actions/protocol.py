"""What goes through the daemon's socket: one request, one answer, both bounded.

A message is a length (4 bytes, big-endian) and that many bytes of JSON.  A
request may be followed by the bytes of one attachment, whose size it names.
Messages for people cross as templates with fields, so that the reader's side
chooses the language.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from archiver import errors
from archiver.errors import ArchiverError, Phrase

VERSION = 1
#: Its name in the archive's folder.
SOCKET = "socket"
#: A plan may name many versions; an answer may list them.
LONGEST_BYTES = 8 << 20
#: As for a receipt.
ATTACHMENT_BYTES = 64 << 20
#: Phrases in phrases, in entries of a list.
_DEEPEST = 8
_PIECE_BYTES = 1 << 16
_PHRASE = "phrase"


class BadMessage(Exception):
    """The other side does not speak this protocol."""


@contextmanager
def short_path(archive: Path) -> Iterator[str]:
    """The socket's path, good inside the block: a socket's has 108 bytes at most, wherever the archive lies."""
    folder = os.open(archive, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{folder}/{SOCKET}"
    finally:
        os.close(folder)


def exactly(receive: Callable[[int], bytes], count: int) -> bytes:
    """That many bytes from ``receive``, which gives at most as many as asked for; raises BadMessage at the end."""
    parts = bytearray()
    while len(parts) < count:
        part = receive(min(count - len(parts), _PIECE_BYTES))
        if not part:
            raise BadMessage("it ended too early")
        parts += part
    return bytes(parts)


def pack(document: Mapping[str, Any]) -> bytes:
    """A message; raises BadMessage where it would be too long."""
    data = json.dumps({"archiver": VERSION, **document}, default=plain).encode("ascii")
    if len(data) > LONGEST_BYTES:
        raise BadMessage("too long")
    return struct.pack(">I", len(data)) + data


def receive(read: Callable[[int], bytes]) -> dict[str, Any]:
    """A message from ``read``, which returns exactly as many bytes as asked for; raises BadMessage."""
    (length,) = struct.unpack(">I", read(4))
    if length > LONGEST_BYTES:
        raise BadMessage("too long")
    try:
        document = json.loads(read(length).decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BadMessage(str(error)) from None
    if not isinstance(document, dict) or document.pop("archiver", None) != VERSION:
        raise BadMessage("another protocol")
    return document


def from_error(error: ArchiverError) -> dict[str, Any]:
    """An expected failure, to be raised again on the other side."""
    return {"error": type(error).__name__, "template": error.template, "fields": error.fields}


def to_error(document: Mapping[str, Any]) -> ArchiverError:
    """The inverse of :func:`from_error`; raises BadMessage."""
    kind = getattr(errors, str(document.get("error")), None)
    template, fields = document.get("template"), document.get("fields")
    if not (isinstance(kind, type) and issubclass(kind, ArchiverError)):
        raise BadMessage("an unknown error")
    if not isinstance(template, str) or not isinstance(fields, dict):
        raise BadMessage("an error without a message")
    return kind(template, **{str(name): revive(each) for name, each in fields.items()})


def revive(value: Any, depth: int = 0) -> Any:
    """Phrases out of what came through JSON."""
    if depth > _DEEPEST:
        raise BadMessage("nested too deeply")
    if isinstance(value, dict):
        inner = {str(name): revive(each, depth + 1) for name, each in value.items()}
        if isinstance(template := inner.pop(_PHRASE, None), str):
            return Phrase(template, **inner)
        return inner
    if isinstance(value, list):
        return [revive(each, depth + 1) for each in value]
    return value


def plain(value: object) -> object:
    """What JSON has no kind for, so that :func:`revive` takes it back; names in UTF-8 whatever the locale."""
    if isinstance(value, Phrase):
        return {_PHRASE: value.template, **value.fields}
    if isinstance(value, bytes | os.PathLike):
        return os.fsencode(value).decode("utf-8", "surrogateescape")
    return str(value)
