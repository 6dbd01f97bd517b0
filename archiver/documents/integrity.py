"""Check the first and last bytes of a material for signs of damage.

Nothing is parsed, so the check is cheap enough for every capture.  Somebody who learns of damage at once can still
get a good copy.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Mapping

from archiver.errors import LazyMessage

#: The code of a material that a program had open for writing; the intake finds out, not :func:`find_defect`.
OPEN_FOR_WRITING = "open"
#: The defects of materials: code, as in the journal -> sentence for people.
DEFECTS: Mapping[str, LazyMessage] = {
    OPEN_FOR_WRITING: LazyMessage("it was open for writing in another program when it was captured"),
    "empty": LazyMessage("it is empty"),
    "cut": LazyMessage("it is truncated: the end is missing"),
    "misnamed": LazyMessage("its content does not match the type in its name"),
    "encrypted": LazyMessage("it is encrypted: later readers may need a password"),
}
#: How much of a material is read at once in the search for a byte that is not zero.
_CHUNK_BYTES = 1 << 20
#: The number of bytes examined at the beginning of a material.
_HEAD_BYTES = 4096
#: The number of bytes examined at the end.  A zip file may end with a comment of 65,535 bytes, and cameras append
#: about as much to a picture.
_TAIL_BYTES = 1 << 16
#: PDF readers accept a header anywhere within the first 1,024 bytes (ISO 32000-1, annex H).
_PDF_HEADER_BYTES = 1024
#: The signature of the record at the end of a zip file, and the record's length without the comment.
_ZIP_END, _ZIP_END_BYTES = b"PK\x05\x06", 22
#: The position in this record of the size and the offset of the zip directory, two numbers of four bytes each.
_ZIP_DIRECTORY_FIELD, _ZIP_DIRECTORY_NUMBERS = 12, struct.Struct("<LL")
#: A file in ZIP64 format has this number in place of the directory's offset, which is then in another record.
_ZIP64_OFFSET = 0xFFFFFFFF
#: The first bytes of an OLE file: the format of an encrypted office file, and of office files before 2007.
_OLE_HEADER = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
#: The name of the stream that holds an encrypted office file.
_ENCRYPTED_PACKAGE = "EncryptedPackage".encode("utf-16-le")
#: Suffixes of documents that are never web pages.
_DOCUMENT_SUFFIXES = frozenset(
    {
        *(b".pdf", b".ofd", b".doc", b".docx", b".xls", b".xlsx", b".ppt", b".pptx", b".wps", b".et", b".dps"),
        *(b".odt", b".ods", b".odp", b".rtf", b".jpg", b".jpeg", b".png", b".gif", b".bmp", b".tif", b".tiff"),
        *(b".zip", b".rar", b".7z", b".mp4", b".mp3"),
    }
)
#: The beginning of a web page, after a byte order mark and spaces.
_HTML_BEGINNING = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?><!--(?:(?!-->).)*-->\s*)*<(?:!doctype\s+html|html)[\s>]", re.I | re.S
)
#: A linearized PDF states the length of the whole file near its beginning (ISO 32000-1, annex F).
_LINEARIZED = re.compile(rb"/Linearized\b[^>]*/L\s+(\d+)")


def describe_defect(code: str) -> LazyMessage:
    """Return the sentence for a code of DEFECTS; the code itself if only a newer release knows it."""
    return DEFECTS.get(code) or LazyMessage("{code}", code=code)


def has_only_zeros(path: str) -> bool:
    """Return True if every byte of a material is zero, as in a file that was allocated and never written.

    ``path`` is the file with the content, which is not empty.  Raises OSError if it cannot be read.
    """
    with open(path, "rb", buffering=0) as material_file:
        # Nearly every file has another byte at its beginning, so the first chunk is a small one.
        chunk = material_file.read(_HEAD_BYTES)
        while chunk and not chunk.strip(b"\0"):
            chunk = material_file.read(_CHUNK_BYTES)
        return not chunk


def is_disguised_page(path: str, file_name: bytes) -> bool:
    """Return True if a material with the name of a document is a web page, such as an error or login page.

    Only the suffixes of documents count: a page may have any other name.  ``path`` is the file with the content.
    Raises OSError if it cannot be read.
    """
    if os.path.splitext(file_name)[1].lower() not in _DOCUMENT_SUFFIXES:
        return False
    with open(path, "rb", buffering=0) as material_file:
        return _HTML_BEGINNING.match(material_file.read(_HEAD_BYTES)) is not None


def find_defect(path: str | None, file_name: bytes) -> str:
    """Return the first defect found in a material, as a code of DEFECTS; empty if none was found.

    ``path`` is the file with the material's content; None for an empty material.  ``file_name`` is the name that
    people know; its suffix states the type.  A material of a type that is not in _CHECK_BY_SUFFIX is not checked.

    Raises OSError if the file cannot be read.
    """
    find_defect_in_format = _CHECK_BY_SUFFIX.get(os.path.splitext(file_name)[1].lower())
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

    Checks the header and the end (ISO 32000-1, 7.5.2 and 7.5.5), and the length that a linearized PDF states.
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
    # The position of this record in the file.  The directory comes before it, and so must end here or earlier.
    directory_limit = size - len(last_bytes) + record_start
    is_zip64 = directory_offset == _ZIP64_OFFSET
    return "" if is_zip64 or directory_offset + directory_size <= directory_limit else "cut"


def _build_picture_check(header: bytes, end_marker: bytes) -> Callable[[bytes, bytes, int], str]:
    """Return a function to check pictures of a format that begins with ``header`` and ends with ``end_marker``.

    Other bytes may follow the marker, because cameras append data.
    """

    def check_picture(first_bytes: bytes, last_bytes: bytes, _size: int) -> str:
        """Return the defect of a picture; empty for none."""
        if not first_bytes.startswith(header):
            return "misnamed"
        # The last bytes of a short file begin with the header, which must not count as a part of the marker.
        return "" if end_marker in last_bytes[len(header) :] else "cut"

    return check_picture


_check_jpeg = _build_picture_check(b"\xff\xd8\xff", b"\xff\xd9")
_check_png = _build_picture_check(b"\x89PNG\r\n\x1a\n", b"IEND")

#: Suffix of a file name, in lower case -> the function that checks such a file.  The arguments are the first and
#: the last bytes, and the size of the file; the result is a code of DEFECTS, or empty.
_CHECK_BY_SUFFIX = {
    b".pdf": _check_pdf,
    b".docx": _check_office,
    b".xlsx": _check_office,
    b".pptx": _check_office,
    b".jpg": _check_jpeg,
    b".jpeg": _check_jpeg,
    b".png": _check_png,
}
