"""Names between the file system, git trees, git refs and people.  Pure functions.

The rules are those of docs/format.md, "Names": everything comes back byte for
byte, Chinese stays readable, and nothing is encoded without need.
"""

from __future__ import annotations

import re
import unicodedata

from archiver.errors import UsageProblem
from archiver.model import CHECKPOINTS, COMMON, UNFILED

#: Of a text that is refused, so much is shown.
_LONGEST_QUOTE = 80
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_AMBIGUOUS = re.compile(r"%(?=[0-9A-Fa-f]{2})")

#: What git refuses inside a ref component, and ``%`` where it would read as ours.
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|%(?=[0-9A-Fa-f]{2}|\+)|(?<=\.)\.|@(?=\{)")
_REF_LIMIT = 200
_REF_DIGEST = 16
#: Marks a component that was cut; not ``%~``, because git refuses ``~`` in refs.
_CUT = "%+"

#: Names that git treats as its own, in the forms of git's path.c and utf8.c.
_GIT_NAMES = frozenset({".git", ".gitattributes", ".gitmodules", ".gitignore", ".lfsconfig"})
_GIT_SHORT = re.compile(r"(git|gitmod|gi7eba|gitatt|gi7d29|gitign|gi250a)~[0-9]+")
_HFS_IGNORABLE = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def text(name: bytes) -> str:
    """A name or path as text: reversible, and unchanged if it is plain UTF-8.

    Bytes that are not UTF-8, and a ``%`` before two hex digits, become ``%XX``.
    """
    decoded = name.decode("utf-8", "surrogateescape")
    if "%" in decoded:
        decoded = _AMBIGUOUS.sub("%25", decoded)
    if decoded.isprintable():
        # Hundreds of thousands of them in a row, and hardly one has what follows.
        return decoded
    return "".join(f"%{ord(char) - 0xDC00:02X}" if 0xDC80 <= ord(char) <= 0xDCFF else char for char in decoded)


def raw(shown: str) -> bytes:
    """The inverse of :func:`text`."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), shown.encode("utf-8", "surrogateescape"))


def is_utf8(shown: str) -> bool:
    """Whether it can be written as UTF-8: bytes of another encoding, which came as surrogates, cannot."""
    try:
        shown.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def screen(shown: str) -> str:
    """Text for a terminal: control characters, which could forge lines, and what is no UTF-8, as ``%XX``."""
    return "".join(
        "".join(f"%{byte:02X}" for byte in _bytes(char))
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in shown
    )


def _bytes(char: str) -> bytes:
    # The operating system's bytes that are no UTF-8 are the second halves of surrogate pairs in Python.
    return bytes([ord(char) - 0xDC00]) if 0xDC80 <= ord(char) <= 0xDCFF else char.encode("utf-8", "surrogatepass")


def typed(given: str, field: str) -> str:
    """Text as a person typed it, in the form that is kept: lines end with LF, a tab is a space.

    Raises UsageProblem, which names the ``field``, for bytes that are not UTF-8 and for other control
    characters: nobody sees them, and they could forge what is printed.
    """
    try:
        # In a locale that is not UTF-8, Python hands the bytes of an argument on one by one.
        text = given.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise UsageProblem(
            "{field}: {text} is not UTF-8. Nothing was recorded. Set the terminal to UTF-8, and type it again.",
            field=field,
            text=given[:_LONGEST_QUOTE],
        ) from None
    text = text.replace("\r\n", "\n").replace("\t", " ")
    for char in text:
        if char != "\n" and unicodedata.category(char) == "Cc":
            raise UsageProblem(
                "{field}: {text} has a control character in it (U+{code}). Nothing was recorded. Type it again "
                "without that.",
                field=field,
                text=text[:_LONGEST_QUOTE],
                code=f"{ord(char):04X}",
            )
    return text


def tree_path(path: bytes) -> bytes:
    """A material's path as it stands in a version's tree."""
    return b"/".join(_tree_component(part) for part in path.split(b"/"))


def path_of_tree(encoded: bytes) -> bytes:
    """The inverse of :func:`tree_path`."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), encoded)


def _tree_component(part: bytes) -> bytes:
    encoded = re.sub(rb"%(?=[0-9A-Fa-f]{2})", b"%25", part)
    if _means_git(part):
        return b"%%%02X" % encoded[0] + encoded[1:]
    return encoded


def _means_git(part: bytes) -> bool:
    shown = part.decode("utf-8", "replace").translate(_HFS_IGNORABLE)
    # NTFS: a stream suffix and trailing dots and spaces do not count.
    name = re.split(r"[:\\]", shown, maxsplit=1)[0].rstrip(". ").casefold()
    return name in _GIT_NAMES or _GIT_SHORT.fullmatch(name) is not None


def ref_component(folder: bytes) -> str:
    """The ref component that stands for a filing's or submission's folder.

    The full name is journalled, because a component over 200 bytes is cut.
    """
    if folder in (COMMON.encode(), UNFILED.encode(), CHECKPOINTS.encode()):
        return f"%{folder[0]:02X}{folder[1:].decode()}"
    try:
        shown = folder.decode("utf-8")
    except UnicodeDecodeError:
        shown = ""
    if shown and unicodedata.normalize("NFC", shown) == shown:
        encoded = _REF_FORBIDDEN.sub(_escape, shown)
    else:
        # One character a byte, so that only ASCII stays readable.
        ascii_safe = _REF_FORBIDDEN.sub(_escape, folder.decode("latin-1"))
        encoded = re.sub("[\x80-\xff]", lambda match: f"%{ord(match[0]):02X}", ascii_safe)
    return _shorten(_ends(encoded), folder)


def _ends(encoded: str) -> str:
    """Encode what git refuses only at the start or the end of a component."""
    if encoded == "@" or encoded[:1] in ("-", "."):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if encoded.endswith(".lock"):
        return encoded[:-5] + "%2Elock"
    if encoded.endswith("."):
        return encoded[:-1] + "%2E"
    return encoded


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8"))


def _shorten(encoded: str, folder: bytes) -> str:
    data = encoded.encode("utf-8")
    if len(data) <= _REF_LIMIT:
        return encoded
    import hashlib

    digest = hashlib.sha256(folder).hexdigest()[:_REF_DIGEST]
    prefix = data[: _REF_LIMIT - _REF_DIGEST - 2].decode("utf-8", "ignore")
    # A cut through an escape would read as another name.
    return re.sub(r"%[0-9A-F]?$", "", prefix) + _CUT + digest
