"""The text of documents, told by their content; a bad document is a value with the reason, never a stop."""

from __future__ import annotations

import difflib
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

_PATIENCE_SECONDS = 30.0
_LARGEST_BYTES = 256 << 20
_TEXT_NAMES = (".txt", ".md", ".csv", ".json", ".xml", ".html", ".htm", ".toml", ".yaml", ".yml", ".log")
_OFFICE = (("word/document.xml", "docx"), ("xl/workbook.xml", "xlsx"), ("ppt/presentation.xml", "pptx"))


@dataclass(frozen=True, slots=True)
class Document:
    """What could be read: ``kind`` is empty for what is no document; ``problem`` says why there are no lines."""

    kind: str
    lines: tuple[str, ...] = ()
    pages: int | None = None
    problem: str = ""


def read(path: Path, name: str) -> Document:
    """Read the file at ``path``, which people know as ``name``; raises nothing for what is in it."""
    kind = kind_of(path, name)
    if not kind:
        return Document("")
    if path.stat().st_size > _LARGEST_BYTES:
        return Document(kind, problem="it is too large")
    command = [sys.executable, "-I", "-m", "archiver.documents.child", os.fspath(path), kind]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_PATIENCE_SECONDS, check=False)
        answer = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        return Document(kind, problem="it takes too long")
    except ValueError:
        # Ended by the kernel, at one of its limits.
        return Document(kind, problem="it needs too much memory or time")
    return Document(kind, tuple(answer["lines"]), answer["pages"], answer["problem"])


def kind_of(path: Path, name: str) -> str:
    """By content: pdf, docx, xlsx, pptx; ``text`` by name too; else empty."""
    try:
        with open(path, "rb") as stream:
            head = stream.read(1024)
        if b"%PDF-" in head:
            return "pdf"
        if head.startswith(b"PK\x03\x04"):
            with zipfile.ZipFile(path) as packed:
                there = set(packed.namelist())
            return next((kind for part, kind in _OFFICE if part in there), "")
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        return ""
    return "text" if name.lower().endswith(_TEXT_NAMES) and b"\0" not in head else ""


def difference(old: Document, new: Document, most: int = 200) -> list[str]:
    """The lines that differ, as a unified difference without its head; at most ``most`` and a count of the "
    "rest.
    """
    lines = list(difflib.unified_diff(old.lines, new.lines, lineterm="", n=1))[2:]
    return lines if len(lines) <= most else [*lines[:most], f"... {len(lines) - most}"]
