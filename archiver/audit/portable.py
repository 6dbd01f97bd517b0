"""Make names for every reader of a package.  Pure.

Bag readers, Windows and ``sha256sum -c`` each refuse other names.  Such a name is replaced, and ``names.json``
maps the replacement to the original bytes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

#: Windows refuses the punctuation, RFC 8493 escapes "%", terminals obey control characters, Python splits lines at
#: U+2028 and U+2029, and U+FFFD stands for bytes that are not UTF-8.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f"*:<>?\\|%\ufffd\u2028\u2029]')
#: Device names of Windows, with whatever suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
#: Filesystems hold 255 bytes; encrypting ones and tools that append a suffix need the rest.
_MAX_NAME_BYTES = 200
#: Of a name that is replaced, so much stays readable, and so long a suffix is one.
_KEPT_STEM_BYTES, _MAX_SUFFIX_CHARACTERS = 120, 8
#: Of a whole path: a package lies in some folder, and the kernel opens no path over 4,096 bytes (macOS: 1,024).
_MAX_PATH_BYTES = 1000
#: Readers that call themselves for each folder end at a thousand of them.
_MAX_FOLDERS = 100


class PortableNames:
    """Assign portable paths, of which no two are equal after folding case and Unicode form."""

    def __init__(self) -> None:
        self._original_by_folded: dict[str, bytes] = {}
        #: Portable path -> original bytes, where the two differ.
        self.original_by_portable: dict[str, bytes] = {}

    def path(self, original: bytes) -> str:
        """Return the portable form of a whole path; the same form at every call."""
        portable_path = _join_names([_portable_name(part) for part in original.split(b"/")], original)
        if self._original_by_folded.setdefault(_fold_name(portable_path), original) != original:
            stem, dot, suffix = portable_path.rpartition(".")
            mark = _digest_mark(original)
            portable_path = f"{stem}{mark}.{suffix}" if dot and "/" not in suffix else portable_path + mark
            self._original_by_folded[_fold_name(portable_path)] = original
        if portable_path.encode("utf-8") != original:
            self.original_by_portable[portable_path] = original
        return portable_path


@lru_cache(maxsize=4096)
def _portable_name(name: bytes) -> str:
    """Return a name of a path unchanged, or replaced and marked with a digest of the bytes."""
    decoded_name = name.decode("utf-8", "replace")
    safe_name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", decoded_name)).rstrip(". ")
    if safe_name.encode("utf-8") == name and not _RESERVED.fullmatch(safe_name) and len(name) <= _MAX_NAME_BYTES:
        # A leading dash or tilde would read as an option or a home folder.
        return safe_name if safe_name[0] not in "-~" else f"_{safe_name}{_digest_mark(name)}"
    stem, dot, suffix = safe_name.rpartition(".")
    if not dot or len(suffix) > _MAX_SUFFIX_CHARACTERS:
        stem, suffix = safe_name, ""
    short_stem = stem.encode("utf-8")[:_KEPT_STEM_BYTES].decode("utf-8", "ignore") or "_"
    if short_stem[0] in "-~" or _RESERVED.fullmatch(short_stem):
        short_stem = f"_{short_stem}"
    return f"{short_stem}{_digest_mark(name)}" + (f".{suffix}" if suffix else "")


def _join_names(names: list[str], original: bytes) -> str:
    """Join the names of a path; leave out inner folders of a path too long.

    The mark in the last name keeps a shortened path apart from others.
    """
    whole_path = "/".join(names)
    if len(names) <= _MAX_FOLDERS and len(whole_path.encode("utf-8")) <= _MAX_PATH_BYTES:
        return whole_path
    stem, dot, suffix = names[-1].rpartition(".")
    marked_name = f"{stem}{_digest_mark(original)}.{suffix}" if dot else names[-1] + _digest_mark(original)
    remaining_bytes = _MAX_PATH_BYTES - len(marked_name.encode("utf-8"))
    kept_folders = []
    for name in names[: _MAX_FOLDERS - 1]:
        remaining_bytes -= len(name.encode("utf-8")) + 1
        if remaining_bytes < 0:
            break
        kept_folders.append(name)
    return "/".join([*kept_folders, marked_name])


def _digest_mark(original: bytes) -> str:
    return "~" + hashlib.sha256(original).hexdigest()[:8]


def _fold_name(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()
