"""Whether a material looks whole, told from its first and last bytes.

Cheap enough for every capture: nothing is parsed.  The good copy may arrive a
minute later, if somebody is told in time.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable

#: What is noted at capture, by the word that the journal keeps.
NOTES = {
    "empty": "it is empty",
    "cut": "it is cut short: its end is missing",
    "misnamed": "its content is not what its name says",
    "encrypted": "it is encrypted: whoever reads it later may need a password",
}
_END_BYTES = 1 << 16
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_ZIP_END = b"PK\x05\x06"
_LINEARIZED = re.compile(rb"/Linearized\b[^>]*/L\s+(\d+)")


def note(path: str | None, name: bytes) -> str:
    """A word of NOTES for the file at ``path`` (None: it is empty) that people know as ``name``; empty: none.

    Raises OSError where it cannot be read.
    """
    check = _CHECKS.get(os.path.splitext(name)[1].lower())
    if check is None:
        return ""
    if path is None:
        return "empty"
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        head = os.pread(descriptor, 4096, 0)
        tail = os.pread(descriptor, _END_BYTES, max(0, size - _END_BYTES))
    finally:
        os.close(descriptor)
    return check(head, tail, size)


def _pdf(head: bytes, tail: bytes, size: int) -> str:
    """ISO 32000-1, 7.5.2 and 7.5.5; readers look for the header in the first 1024 bytes."""
    if b"%PDF-" not in head[:1024]:
        return "misnamed"
    whole = _LINEARIZED.search(head)
    if b"%%EOF" not in tail or (whole and size < int(whole[1])):
        return "cut"
    return "encrypted" if b"/Encrypt" in tail or b"/Encrypt" in head else ""


def _office(head: bytes, tail: bytes, size: int) -> str:
    """A zip file (its end is APPNOTE.TXT, 4.3.16), or an encrypted one within an OLE file (MS-OFFCRYPTO)."""
    if head.startswith(_OLE):
        return "encrypted" if _PACKAGE in head or _PACKAGE in tail else "misnamed"
    if not head.startswith((b"PK\x03\x04", _ZIP_END)):
        return "misnamed"
    end = tail.rfind(_ZIP_END)
    if end < 0 or len(tail) < end + 22:
        return "cut"
    length, offset = struct.unpack("<LL", tail[end + 12 : end + 20])
    is_zip64 = offset == 0xFFFFFFFF
    return "" if is_zip64 or offset + length <= size - len(tail) + end else "cut"


def _picture(begins: bytes, ends: bytes) -> Callable[[bytes, bytes, int], str]:
    """Cameras write more behind the end of a picture, so the end is looked for, not expected last."""

    def check(head: bytes, tail: bytes, _: int) -> str:
        if not head.startswith(begins):
            return "misnamed"
        return "" if ends in tail[len(begins) :] else "cut"

    return check


_jpeg = _picture(b"\xff\xd8\xff", b"\xff\xd9")
_png = _picture(b"\x89PNG\r\n\x1a\n", b"IEND")

_CHECKS = {
    b".pdf": _pdf,
    b".docx": _office,
    b".xlsx": _office,
    b".pptx": _office,
    b".jpg": _jpeg,
    b".jpeg": _jpeg,
    b".png": _png,
}
