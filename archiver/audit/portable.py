"""Names that every reader of the package can hold.  Pure.

Bag readers, Windows and ``sha256sum -c`` each refuse other names; such a name is
replaced, and ``names.json`` maps it to the original bytes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f"*:<>?\\|%\ufffd\u2028\u2029]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
_LIMIT_BYTES = 200
#: Of a whole path: a package lies in some folder, and the kernel opens no path over 4,096 bytes (macOS: 1,024).
_PATH_BYTES = 1000
#: Readers that call themselves for each folder end at a thousand of them.
_PATH_FOLDERS = 100


class PortableNames:
    """Hands out portable paths, no two of which fall together in case or NFC."""

    def __init__(self) -> None:
        self._taken: dict[str, bytes] = {}
        #: Portable path -> original bytes, where the two differ.
        self.replaced: dict[str, bytes] = {}

    def path(self, original: bytes) -> str:
        """The portable form of a whole path."""
        shown = _shortened([_component(part) for part in original.split(b"/")], original)
        if self._taken.setdefault(_folded(shown), original) != original:
            stem, dot, suffix = shown.rpartition(".")
            mark = _mark(original)
            shown = f"{stem}{mark}.{suffix}" if dot and "/" not in suffix else shown + mark
            self._taken[_folded(shown)] = original
        if shown.encode("utf-8") != original:
            self.replaced[shown] = original
        return shown


@lru_cache(maxsize=4096)
def _component(part: bytes) -> str:
    shown = part.decode("utf-8", "replace")
    safe = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", shown)).rstrip(". ")
    if safe.encode("utf-8") == part and not _RESERVED.fullmatch(safe) and len(part) <= _LIMIT_BYTES:
        # A leading dash or tilde would read as an option or a home folder.
        return safe if safe[0] not in "-~" else f"_{safe}{_mark(part)}"
    stem, dot, suffix = safe.rpartition(".")
    if not dot or len(suffix) > 8:
        stem, suffix = safe, ""
    kept = stem.encode("utf-8")[:120].decode("utf-8", "ignore") or "_"
    kept = f"_{kept}" if kept[0] in "-~" or _RESERVED.fullmatch(kept) else kept
    return f"{kept}{_mark(part)}" + (f".{suffix}" if suffix else "")


def _shortened(parts: list[str], original: bytes) -> str:
    """The path, without its inner folders where it would be too long; its mark keeps it apart from others."""
    shown = "/".join(parts)
    if len(parts) <= _PATH_FOLDERS and len(shown.encode("utf-8")) <= _PATH_BYTES:
        return shown
    stem, dot, suffix = parts[-1].rpartition(".")
    last = f"{stem}{_mark(original)}.{suffix}" if dot else parts[-1] + _mark(original)
    room = _PATH_BYTES - len(last.encode("utf-8"))
    kept = []
    for part in parts[: _PATH_FOLDERS - 1]:
        room -= len(part.encode("utf-8")) + 1
        if room < 0:
            break
        kept.append(part)
    return "/".join([*kept, last])


def _mark(original: bytes) -> str:
    return "~" + hashlib.sha256(original).hexdigest()[:8]


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
