"""Detect the type of a document, by its content first."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

PDF, DOCX, XLSX, PPTX, PICTURE, TEXT = "pdf", "docx", "xlsx", "pptx", "picture", "text"
_TEXT_SUFFIXES = (".txt", ".md", ".csv", ".json", ".xml", ".html", ".htm", ".toml", ".yaml", ".yml", ".log")
#: The part that every file of the type has (ECMA-376).
_OFFICE_PARTS = (("word/document.xml", DOCX), ("xl/workbook.xml", XLSX), ("ppt/presentation.xml", PPTX))
_PICTURE_HEADERS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
#: Readers accept a PDF header within the first 1,024 bytes (ISO 32000-1, annex H).
_HEAD_BYTES = 1024
#: Suffixes of files that are not worth opening; every other file is opened, whatever its name is.
_OTHER_SUFFIXES = frozenset(
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
    """Return True unless the name's suffix shows that a file is no document."""
    return os.path.splitext(name)[1].lower() not in _OTHER_SUFFIXES


def detect_type(path: Path, filename: str) -> str:
    """Return one of the types above, or an empty string for any other file.

    Plain text has no header, so that ``filename`` decides too.  Never raises: a file that cannot be opened has no
    type.
    """
    try:
        with open(path, "rb") as stream:
            head = stream.read(_HEAD_BYTES)
        if b"%PDF-" in head:
            return PDF
        if head.startswith(_PICTURE_HEADERS) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
            return PICTURE
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as zip_file:
                part_names = set(zip_file.namelist())
            return next((office_type for part, office_type in _OFFICE_PARTS if part in part_names), "")
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        # Whoever wants the file itself gets the error; a damaged zip file is no office document.
        return ""
    return TEXT if filename.lower().endswith(_TEXT_SUFFIXES) and b"\0" not in head else ""
