"""Telling what a document is, by its content first."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

PDF, DOCX, XLSX, PPTX, PICTURE, TEXT = "pdf", "docx", "xlsx", "pptx", "picture", "text"
_TEXT_NAMES = (".txt", ".md", ".csv", ".json", ".xml", ".html", ".htm", ".toml", ".yaml", ".yml", ".log")
_OFFICE = (("word/document.xml", DOCX), ("xl/workbook.xml", XLSX), ("ppt/presentation.xml", PPTX))
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8", b"BM", b"II*\0", b"MM\0*")
#: Not worth opening, of thousands; anything else is told by its content, whatever it is called.
_OTHERS = frozenset(
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
    """Whether it is worth looking into."""
    return os.path.splitext(name)[1].lower() not in _OTHERS


def kind_of(path: Path, name: str) -> str:
    """One of the kinds above, empty for anything else; ``text`` is told by the name too."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(1024)
        if b"%PDF-" in head:
            return PDF
        if head.startswith(_PICTURES) or (head[:4] == b"RIFF" and head[8:12] == b"WEBP"):
            return PICTURE
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as packed:
                there = set(packed.namelist())
            return next((kind for part, kind in _OFFICE if part in there), "")
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        return ""
    return TEXT if name.lower().endswith(_TEXT_NAMES) and b"\0" not in head else ""
