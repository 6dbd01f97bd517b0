"""Check the first and last bytes of a material for signs of damage.

Nothing is parsed, so the check is cheap enough for every capture.  A person who learns of the damage at once can
still get a good copy.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Mapping

from archiver.errors import LazyMessage

#: The defects that :func:`find_defect` finds: code, as in the journal -> sentence for people.
DEFECTS: Mapping[str, LazyMessage] = {
    "empty": LazyMessage("it is empty"),
    "cut": LazyMessage("it is truncated: the end is missing"),
    "misnamed": LazyMessage("its content does not match the type in its name"),
    "encrypted": LazyMessage("it is encrypted: later readers may need a password"),
}
_HEAD_BYTES = 4096
#: A zip file may end with a comment of 65,535 bytes, and cameras append about as much to a picture.
_TAIL_BYTES = 1 << 16
_PDF_HEADER_BYTES = 1024
#: The signature of the record at the end of a zip file, and the record's length without the comment.
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22
#: Where this record holds the size and the offset of the zip directory: two numbers of four bytes each.
_ZIP_DIRECTORY_FIELD, _ZIP_DIRECTORY_NUMBERS = 12, struct.Struct("<LL")
#: In place of the directory's offset: the zip file is in ZIP64 format, and the offset is in another record.
_ZIP64_OFFSET = 0xFFFFFFFF
_OLE_HEADER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: The name of the stream that holds an encrypted office file.
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
#: A linearized PDF states the length of the whole file near its beginning (ISO 32000-1, annex F).
_LINEARIZED = re.compile(rb"/Linearized\b[^>]*/L\s+(\d+)")


def find_defect(path: str | None, file_name: bytes) -> str:
    """Return the first defect found in a material, a code of DEFECTS; empty if none was found.

    ``path`` is the file with its content, None for an empty material.  ``file_name`` is the name that people know;
    its suffix states the type.  A material of a type that is not in _CHECKS has no defects.

    Raises OSError if the file cannot be read.
    """
    find_defect_in_format = _CHECKS.get(os.path.splitext(file_name)[1].lower())
    if find_defect_in_format is None:
        return ""
    if path is None:
        return "empty"
    material_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(material_fd).st_size
        first_bytes = os.pread(material_fd, _HEAD_BYTES, 0)
        last_bytes = os.pread(material_fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
    finally:
        os.close(material_fd)
    return find_defect_in_format(first_bytes, last_bytes, size)


def _check_pdf(first_bytes: bytes, last_bytes: bytes, size: int) -> str:
    """Return the defect of a PDF of ``size`` bytes; empty for none.

    Checks its header and end (ISO 32000-1, 7.5.2 and 7.5.5), and the length that a linearized PDF states.
    """
    if b"%PDF-" not in first_bytes[:_PDF_HEADER_BYTES]:
        return "misnamed"
    length_match = _LINEARIZED.search(first_bytes)
    if b"%%EOF" not in last_bytes or (length_match and size < int(length_match[1])):
        return "cut"
    return "encrypted" if b"/Encrypt" in last_bytes or b"/Encrypt" in first_bytes else ""


def _check_office(first_bytes: bytes, last_bytes: bytes, size: int) -> str:
    """Return the defect of an office file of ``size`` bytes; empty for none.

    An office file is a zip file (APPNOTE.TXT, 4.3.16) or, if encrypted, an OLE file (MS-OFFCRYPTO).
    """
    if first_bytes.startswith(_OLE_HEADER):
        return "encrypted" if _ENCRYPTED_PACKAGE in first_bytes or _ENCRYPTED_PACKAGE in last_bytes else "misnamed"
    if not first_bytes.startswith((b"PK\x03\x04", _ZIP_END)):
        return "misnamed"
    record_start = last_bytes.rfind(_ZIP_END)
    if record_start < 0 or len(last_bytes) < record_start + _ZIP_END_BYTES:
        return "cut"
    directory_size, directory_offset = _ZIP_DIRECTORY_NUMBERS.unpack_from(
        last_bytes, record_start + _ZIP_DIRECTORY_FIELD
    )
    # The directory lies before the record, whose position in the file is this.
    directory_limit = size - len(last_bytes) + record_start
    is_zip64 = directory_offset == _ZIP64_OFFSET
    return "" if is_zip64 or directory_offset + directory_size <= directory_limit else "cut"


def _picture_check(header: bytes, end_marker: bytes) -> Callable[[bytes, bytes, int], str]:
    """Return a function to check pictures of a format that begins with ``header`` and ends with ``end_marker``.

    Other bytes may follow the marker, because cameras append data.
    """

    def check_picture(first_bytes: bytes, last_bytes: bytes, _size: int) -> str:
        """Return the defect of a picture; empty for none."""
        if not first_bytes.startswith(header):
            return "misnamed"
        return "" if end_marker in last_bytes[len(header) :] else "cut"

    return check_picture


_check_jpeg = _picture_check(b"\xff\xd8\xff", b"\xff\xd9")
_check_png = _picture_check(b"\x89PNG\r\n\x1a\n", b"IEND")

#: Suffix, in lower case -> function of first bytes, last bytes and size that returns a code of DEFECTS, or "".
_CHECKS = {
    b".pdf": _check_pdf,
    b".docx": _check_office,
    b".xlsx": _check_office,
    b".pptx": _check_office,
    b".jpg": _check_jpeg,
    b".jpeg": _check_jpeg,
    b".png": _check_png,
}
