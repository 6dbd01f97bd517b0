"""Replace names of files that some reader of an inspection package cannot handle.  Pure.

Bag readers, Windows and ``sha256sum -c`` have different restrictions.  A name that violates any restriction is
replaced, and ``names.json`` maps the replacement to the original bytes.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

from archiver.naming.readable_names import name_as_text

#: Windows forbids the punctuation, RFC 8493 escapes "%", terminals interpret control characters, Python splits
#: lines at U+2028 and U+2029, and U+FFFD replaces bytes that are not UTF-8. The direction marks show a name in
#: another order, so that a program looks like a document.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f-\x9f"*:<>?\\|%\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufffd]')
#: Device names, which Windows reserves with any suffix.
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)
#: Filesystems allow names of 255 bytes. Encrypting filesystems and tools that append a suffix need some of these.
_MAX_NAME_BYTES = 200
#: The readable bytes of a name in its replacement, and the longest ending after a dot that counts as a suffix.
_KEPT_STEM_BYTES, _MAX_SUFFIX_CHARACTERS = 120, 8
#: Hexadecimal digits of the digest in a replacement. With fewer, two similar names could get the same replacement.
#: With more, names would be hard to read.
_DIGEST_MARK_DIGITS = 8
#: The longest path in the package. Linux opens no path above 4,096 bytes, and macOS none above 1,024, including
#: the path of the folder with the package.
_MAX_PATH_BYTES = 1000
#: The most nested folders. Recursive readers fail at some thousand.
_MAX_FOLDERS = 100


class PortableNames:
    """Assigns portable paths, which are distinct even on a filesystem that ignores case or Unicode forms."""

    def __init__(self) -> None:
        #: Assigned path, as folded by _fold_path() -> original bytes.
        self._original_by_folded: dict[str, bytes] = {}
        #: Portable path -> original bytes, for every path that was replaced.
        self.original_by_portable: dict[str, bytes] = {}

    def assign_path(self, original: bytes) -> str:
        """Return the portable path for ``original``, a relative path with ``/`` between the names.

        Equal originals get equal paths.  A path that differs from the original is added to
        ``original_by_portable``.
        """
        portable_path = _join_names([_make_portable(name) for name in original.split(b"/")], original)
        if self._original_by_folded.setdefault(_fold_path(portable_path), original) != original:
            # This path was already assigned to another original.
            portable_path = _insert_digest(portable_path, original)
            self._original_by_folded[_fold_path(portable_path)] = original
        if portable_path.encode("utf-8") != original:
            self.original_by_portable[portable_path] = original
        return portable_path

    def describe_replacements(self) -> dict[str, str]:
        """Return the original of every path that was replaced, as text, in the order of the portable paths."""
        return {
            # The NUL only distinguishes a folder from the program's own name, see RefName.path_in_packages.
            portable: name_as_text(original.replace(b"\0", b""))
            for portable, original in sorted(self.original_by_portable.items())
        }


@lru_cache(maxsize=4096)
def _make_portable(name: bytes) -> str:
    """Return a name unchanged if it is portable, otherwise a replacement.

    The replacement consists of the readable beginning, a digest of the original bytes and the suffix, for example
    ``report~1a2b3c4d.pdf``.
    """
    try:
        decoded_name = name.decode("utf-8")
    except UnicodeDecodeError:
        # Some bytes of another encoding could be taken for a letter that is written from the right.
        decoded_name = name.decode("ascii", "replace")
    safe_name = _FORBIDDEN.sub("_", unicodedata.normalize("NFC", decoded_name)).rstrip(". ")
    if safe_name.encode("utf-8") == name and not _RESERVED.fullmatch(safe_name) and len(name) <= _MAX_NAME_BYTES:
        # Commands would take a leading dash for an option, and a shell a leading tilde for a home folder.
        return safe_name if safe_name[0] not in "-~" else f"_{safe_name}{_make_digest_mark(name)}"
    stem, dot, suffix = safe_name.rpartition(".")
    if not dot or len(suffix) > _MAX_SUFFIX_CHARACTERS:
        stem, suffix = safe_name, ""
    short_stem = stem.encode("utf-8")[:_KEPT_STEM_BYTES].decode("utf-8", "ignore") or "_"
    if short_stem[0] in "-~" or _RESERVED.fullmatch(short_stem):
        short_stem = f"_{short_stem}"
    return f"{short_stem}{_make_digest_mark(name)}" + (f".{suffix}" if suffix else "")


def _join_names(names: list[str], original: bytes) -> str:
    """Join the names of a path, without the innermost folders if the path would be too long or too deep.

    The last name of a shortened path gets a digest of the whole path ``original``, so that paths stay distinct.
    """
    whole_path = "/".join(names)
    if len(names) <= _MAX_FOLDERS and len(whole_path.encode("utf-8")) <= _MAX_PATH_BYTES:
        return whole_path
    marked_name = _insert_digest(names[-1], original)
    remaining_bytes = _MAX_PATH_BYTES - len(marked_name.encode("utf-8"))
    kept_folders = []
    for name in names[: _MAX_FOLDERS - 1]:
        remaining_bytes -= len(name.encode("utf-8")) + 1
        if remaining_bytes < 0:
            break
        kept_folders.append(name)
    return "/".join([*kept_folders, marked_name])


def _insert_digest(path: str, original: bytes) -> str:
    """Return ``path`` with a digest of ``original`` before the suffix, or at the end without a suffix."""
    stem, dot, suffix = path.rpartition(".")
    digest_mark = _make_digest_mark(original)
    return f"{stem}{digest_mark}.{suffix}" if dot and "/" not in suffix else path + digest_mark


def _make_digest_mark(original: bytes) -> str:
    """Return the part of a replacement that makes it unique, such as ``~1a2b3c4d``."""
    return "~" + hashlib.sha256(original).hexdigest()[:_DIGEST_MARK_DIGITS]


def _fold_path(path: str) -> str:
    """Return the same text for all paths that some filesystem treats as equal."""
    return unicodedata.normalize("NFC", path).casefold()
