"""Reading documents through a limited child; a bad document is a value with the reason, never a stop."""

from __future__ import annotations

import difflib
import json
import os
import select
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import TracebackType

from archiver.documents.cache import DocumentCache
from archiver.documents.document import HEAVY, LARGE, SLOW, UNSTARTED, Document
from archiver.documents.document_types import PICTURE, detect_type

_PATIENCE_SECONDS = 40.0
_LARGEST_BYTES = 256 << 20


class Reader:
    """Reads one document after the other; ``cache``: where what was read is kept."""

    def __init__(self, cache: DocumentCache | None = None) -> None:
        self._cache = cache
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Reader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def read(self, path: Path, name: str, sha256: str = "", *, with_text: bool = True) -> Document:
        """Read the file at ``path``, which people know as ``name``; raises nothing for what is in it.

        ``sha256``: of its content, where what was read may be kept.
        """
        kind = detect_type(path, name)
        if not kind:
            return Document("")
        keeps = self._cache is not None and sha256 != ""
        if keeps and self._cache and (kept := self._cache.get(sha256, kind, with_text)):
            return kept
        if path.stat().st_size > _LARGEST_BYTES:
            return Document(kind, problem=LARGE)
        found = self._ask(path, kind, with_text and kind != PICTURE)
        # A busy machine may have been the reason.
        if keeps and self._cache and found.problem not in (SLOW, HEAVY, UNSTARTED):
            self._cache.put(sha256, with_text, found, path)
        return found

    def _ask(self, path: Path, kind: str, with_text: bool) -> Document:
        try:
            child = self._running()
        except OSError:
            # This user may not run this Python, or there are too many processes.
            return Document(kind, problem=UNSTARTED)
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(json.dumps([os.fspath(path), kind, with_text]).encode("ascii") + b"\n")
            child.stdin.flush()
            if not select.select([child.stdout], [], [], _PATIENCE_SECONDS)[0]:
                self._end()
                return Document(kind, problem=SLOW)
            found = Document.from_json(json.loads(child.stdout.readline()))
        except (OSError, ValueError):
            # Ended by the kernel, at one of its limits.
            self._end()
            return Document(kind, problem=HEAVY)
        if found.problem == HEAVY:
            self._end()
        return replace(found, kind=kind)

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None:
            command = [sys.executable, "-I", "-m", "archiver.documents.document_worker"]
            self._child = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def difference(old: Document, new: Document, most: int = 200) -> list[str]:
    """The lines that differ, as a unified difference without its head; at most ``most`` and a count of the
    rest.
    """
    lines = list(difflib.unified_diff(old.lines, new.lines, lineterm="", n=1))[2:]
    return lines if len(lines) <= most else [*lines[:most], f"... {len(lines) - most}"]
