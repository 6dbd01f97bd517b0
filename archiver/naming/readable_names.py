"""Convert between raw names, which are bytes, and names for people.  Pure functions."""

from __future__ import annotations

import re
import unicodedata
from typing import NewType

#: A name as people read and type it.
ReadableName = NewType("ReadableName", str)

#: An escape: ``%`` and two hexadecimal digits, which stand for a byte.
ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
#: A ``%`` of the original name that would read as an escape, and so has to be escaped itself.
_AMBIGUOUS_PERCENT = re.compile(r"%(?=[0-9A-Fa-f]{2})")


def name_as_text(name: bytes) -> str:
    """Return a name or path of the file system as text, from which :func:`name_from_text` returns the same bytes.

    Plain UTF-8 stays as it is.  Bytes that are not UTF-8, and a ``%`` before two hexadecimal digits, become
    ``%XX``.
    """
    decoded = name.decode("utf-8", "surrogateescape")
    if "%" in decoded:
        decoded = _AMBIGUOUS_PERCENT.sub("%25", decoded)
    if decoded.isprintable():
        # The loop below is slow, and hardly one of the hundreds of thousands of names in a listing needs it.
        return decoded
    # surrogateescape turned each undecodable byte 0xNN into the character U+DCNN.
    return "".join(f"%{ord(char) - 0xDC00:02X}" if 0xDC80 <= ord(char) <= 0xDCFF else char for char in decoded)


def name_from_text(name_text: str) -> bytes:
    """Return the bytes of the name that :func:`name_as_text` turned into ``name_text``."""
    return ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), name_text.encode("utf-8", "surrogateescape"))


def is_utf8(name_text: str) -> bool:
    """Return True if a text can be encoded in UTF-8; surrogates, which stand for undecodable bytes, cannot."""
    try:
        name_text.encode("utf-8")
    except UnicodeEncodeError:
        # Not a fault: encoding is the only test that reads the text just once.
        return False
    return True


def make_displayable(name_text: str) -> str:
    """Return ``name_text`` in a form that is safe to show on a terminal.

    Control and format characters, which could forge or hide lines, become ``%XX``, and so do bytes that are not
    UTF-8.  Line feeds are control characters, too.
    """
    # Unicode categories: control, format, surrogate, line separator, paragraph separator.
    return "".join(
        "".join(f"%{byte:02X}" for byte in original_bytes(char))
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in name_text
    )


def original_bytes(char: str) -> bytes:
    """Return the bytes of the file system that were decoded as ``char``."""
    # os.fsdecode() turns a byte 0xNN that is not UTF-8 into U+DCNN, the second half of a surrogate pair.
    return bytes([ord(char) - 0xDC00]) if 0xDC80 <= ord(char) <= 0xDCFF else char.encode("utf-8", "surrogatepass")


def readable_name(raw_name: bytes) -> ReadableName:
    """Return the name of a folder for people, from which :func:`name_from_text` returns the same bytes.

    Nothing in it is invisible, moves the cursor or reorders a line.  A name that is not UTF-8 has an escape for
    each byte that is not ASCII, because some of these bytes could be taken for a letter written from the right.
    """
    try:
        raw_name.decode("utf-8")
    except UnicodeDecodeError:
        # One character for each byte, so that only ASCII stays readable.
        one_for_each_byte = _AMBIGUOUS_PERCENT.sub("%25", raw_name.decode("latin-1"))
        ascii_text = "".join(char if char.isascii() else f"%{ord(char):02X}" for char in one_for_each_byte)
        return ReadableName(make_displayable(ascii_text))
    return ReadableName(make_displayable(name_as_text(raw_name)))
