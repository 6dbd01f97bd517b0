"""Detect the type of a document from the first bytes, or from the name if the bytes are not enough."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

PDF, DOCX, XLSX, PPTX, PICTURE, TEXT = "pdf", "docx", "xlsx", "pptx", "picture", "text"
_TEXT_SUFFIXES = (".txt", ".md", ".csv", ".json", ".xml", ".html", ".htm", ".toml", ".yaml", ".yml", ".log")
#: The name of a file that every zip file of the type contains (ECMA-376), and the type.
_OFFICE_PARTS = (("word/document.xml", DOCX), ("xl/workbook.xml", XLSX), ("ppt/presentation.xml", PPTX))
#: JPEG, PNG, GIF, BMP, and both byte orders of TIFF.
_PICTURE_HEADERS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
#: PDF readers accept a header anywhere within the first 1,024 bytes (ISO 32000-1, annex H).
_SEARCHED_BYTES = 1024
#: Suffixes of files that are not opened, because they are often large and never documents.
_NON_DOCUMENT_SUFFIXES = frozenset(
    [
        ".bin",
        ".dat",
        ".db",
        ".sqlite",
        ".zip",
        ".rar",
        ".7z",
        ".gz",
        ".xz",
        ".zst",
        ".tar",
        ".iso",
        ".mp3",
        ".wav",
        ".mp4",
        ".mov",
        ".avi",
        ".mkv",
        ".exe",
        ".so",
        ".dll",
        ".pt",
        ".pth",
        ".onnx",
        ".ckpt",
        ".pkl",
        ".npy",
        ".npz",
        ".safetensors",
        ".gguf",
        ".parquet",
    ]
)


def may_be_document(name: str) -> bool:
    """Return False if the suffix of ``name`` shows that the file is not a document; True for any other name."""
    return os.path.splitext(name)[1].lower() not in _NON_DOCUMENT_SUFFIXES


def detect_document_type(path: Path, filename: str) -> str:
    """Return the type of the file at ``path`` (``PDF``, ``DOCX`` and so on); empty if it is not a document.

    ``filename`` is the name that people know.  Its suffix shows that a file is plain text, which has no header.
    Never raises OSError: a file that cannot be opened does not count as a document.
    """
    try:
        with open(path, "rb") as document_file:
            first_bytes = document_file.read(_SEARCHED_BYTES)
        if b"%PDF-" in first_bytes:
            return PDF
        # A WebP file begins with "RIFF", four bytes for its size, and "WEBP".
        is_webp = first_bytes[:4] == b"RIFF" and first_bytes[8:12] == b"WEBP"
        if is_webp or first_bytes.startswith(_PICTURE_HEADERS):
            return PICTURE
        if first_bytes.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as zip_file:
                part_names = set(zip_file.namelist())
            return next((office_type for part_name, office_type in _OFFICE_PARTS if part_name in part_names), "")
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        # A damaged zip file is not an office document. If the file cannot be read, the caller gets the OSError as
        # soon as it reads the file itself.
        return ""
    # A zero byte shows that the file is binary, whatever its suffix.
    is_text = filename.lower().endswith(_TEXT_SUFFIXES) and b"\0" not in first_bytes
    return TEXT if is_text else ""
