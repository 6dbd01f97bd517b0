"""Check from its first and last bytes whether a material looks whole.

Cheap enough for every capture, since nothing is parsed: a person who is told at once can still get a good copy.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Mapping

from archiver.errors import LazyMessage

#: The word that the journal keeps -> what it says of a material.
NOTES: Mapping[str, LazyMessage] = {
    "empty": LazyMessage("it is empty"),
    "cut": LazyMessage("it is cut short: its end is missing"),
    "misnamed": LazyMessage("its content is not what its name says"),
    "encrypted": LazyMessage("it is encrypted: whoever reads it later may need a password"),
}
_HEAD_BYTES = 4096
#: A zip file may end with a comment of 65,535 bytes; cameras append as much to a picture.
_TAIL_BYTES = 1 << 16
_PDF_HEADER_BYTES = 1024
#: Of the record at the end of a zip file, without its comment.
_ZIP_END_BYTES = 22
_ZIP64_OFFSET = 0xFFFFFFFF
_OLE_HEADER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_ZIP_END = b"PK\x05\x06"
_LINEARIZED = re.compile(rb"/Linearized\b[^>]*/L\s+(\d+)")


def find_doubt(path: str | None, name: bytes) -> str:
    """Return a word of NOTES for a material that looks damaged, or an empty string.

    ``path``: its bytes, None for an empty material; ``name``: the name that people know, whose suffix says what
    the bytes should be.  Raises OSError if the file cannot be read.
    """
    check = _CHECKS.get(os.path.splitext(name)[1].lower())
    if check is None:
        return ""
    if path is None:
        return "empty"
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, _HEAD_BYTES, 0)
        tail = os.pread(descriptor, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    finally:
        os.close(descriptor)
    return check(head, tail, size)


def _pdf(head: bytes, tail: bytes, size: int) -> str:
    """Check a PDF: its header and end (ISO 32000-1, 7.5.2 and 7.5.5), or the length a linearized one states."""
    if b"%PDF-" not in head[:_PDF_HEADER_BYTES]:
        return "misnamed"
    linearized = _LINEARIZED.search(head)
    if b"%%EOF" not in tail or (linearized and size < int(linearized[1])):
        return "cut"
    return "encrypted" if b"/Encrypt" in tail or b"/Encrypt" in head else ""


def _office(head: bytes, tail: bytes, size: int) -> str:
    """Check a zip file, whose end is APPNOTE.TXT, 4.3.16; or an encrypted one in an OLE file (MS-OFFCRYPTO)."""
    if head.startswith(_OLE_HEADER):
        return "encrypted" if _ENCRYPTED_PACKAGE in head or _ENCRYPTED_PACKAGE in tail else "misnamed"
    if not head.startswith((b"PK\x03\x04", _ZIP_END)):
        return "misnamed"
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) < end + _ZIP_END_BYTES:
        return "cut"
    directory_size, directory_offset = struct.unpack("<LL", tail[end + 12 : end + 20])
    end_offset = size - len(tail) + end
    is_zip64 = directory_offset == _ZIP64_OFFSET
    return "" if is_zip64 or directory_offset + directory_size <= end_offset else "cut"


def _picture_check(header: bytes, end_marker: bytes) -> Callable[[bytes, bytes, int], str]:
    """Return a check for a picture format; the end marker need not come last, since cameras append data."""

    def check(head: bytes, tail: bytes, _: int) -> str:
        if not head.startswith(header):
            return "misnamed"
        return "" if end_marker in tail[len(header) :] else "cut"

    return check


_jpeg = _picture_check(b"\xff\xd8\xff", b"\xff\xd9")
_png = _picture_check(b"\x89PNG\r\n\x1a\n", b"IEND")

_CHECKS = {
    b".pdf": _pdf,
    b".docx": _office,
    b".xlsx": _office,
    b".pptx": _office,
    b".jpg": _jpeg,
    b".jpeg": _jpeg,
    b".png": _png,
}
