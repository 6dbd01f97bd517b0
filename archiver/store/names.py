"""Convert names between the file system, git trees, git refs and people.  Pure functions.

The rules are those of docs/format.md, "Names": every name comes back byte for byte, Chinese stays readable, and
nothing is encoded without need.
"""

from __future__ import annotations

import re
import unicodedata

from archiver.errors import UsageError
from archiver.model import CHECKPOINTS, COMMON, UNFILED

#: An error quotes the beginning of a refused text; the whole of it would hide the sentence.
_MAX_QUOTE = 80
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_AMBIGUOUS = re.compile(r"%(?=[0-9A-Fa-f]{2})")

#: Characters that git refuses inside a ref component, and ``%`` if it would read as one of our escapes.
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|%(?=[0-9A-Fa-f]{2}|\+)|(?<=\.)\.|@(?=\{)")
#: A filesystem holds 255 bytes, and git appends ".lock" to the file of a ref.
_MAX_REF_BYTES = 200
_DIGEST_DIGITS = 16
#: Marks a shortened component; not ``%~``, because git refuses ``~`` in refs.
_SHORTENED_MARK = "%+"

#: Names that git treats as its own, in the forms of git's path.c and utf8.c.
_GIT_NAMES = frozenset({".git", ".gitattributes", ".gitmodules", ".gitignore", ".lfsconfig"})
_GIT_SHORT = re.compile(r"(git|gitmod|gi7eba|gitatt|gi7d29|gitign|gi250a)~[0-9]+")
_HFS_IGNORABLE = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def text(name: bytes) -> str:
    """Return a name or path as text: reversible by :func:`raw`, and unchanged if it is plain UTF-8.

    Bytes that are not UTF-8, and a ``%`` before two hex digits, become ``%XX``.
    """
    decoded = name.decode("utf-8", "surrogateescape")
    if "%" in decoded:
        decoded = _AMBIGUOUS.sub("%25", decoded)
    if decoded.isprintable():
        # A listing has hundreds of thousands of names, and hardly one with undecodable bytes.
        return decoded
    return "".join(f"%{ord(char) - 0xDC00:02X}" if 0xDC80 <= ord(char) <= 0xDCFF else char for char in decoded)


def raw(name_text: str) -> bytes:
    """Return the bytes that :func:`text` was given."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), name_text.encode("utf-8", "surrogateescape"))


def is_utf8(name_text: str) -> bool:
    """Return True if a text holds no surrogates, which stand for bytes of another encoding."""
    try:
        name_text.encode("utf-8")
    except UnicodeEncodeError:  # The answer, and the only way to ask that reads the text once.
        return False
    return True


def screen(name_text: str) -> str:
    """Return text that is safe on a terminal.

    Control and format characters, which could forge or hide lines, and bytes that are not UTF-8 become ``%XX``.
    """
    return "".join(
        "".join(f"%{byte:02X}" for byte in _original_bytes(char))
        if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else char
        for char in name_text
    )


def _original_bytes(char: str) -> bytes:
    # os.fsdecode() turns bytes that are not UTF-8 into second halves of surrogate pairs.
    return bytes([ord(char) - 0xDC00]) if 0xDC80 <= ord(char) <= 0xDCFF else char.encode("utf-8", "surrogatepass")


def typed(typed_text: str, field: str) -> str:
    """Return what a person typed in the form that is recorded: lines end with LF, a tab becomes a space.

    Raises UsageError, which names the ``field``, for bytes that are not UTF-8, and for other control characters:
    nobody sees them, and they could forge lines of a listing.
    """
    try:
        # In a locale that is not UTF-8, an argument arrives as one surrogate for each byte.
        text = typed_text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise UsageError(
            "{field}: {text} is not UTF-8. Nothing was recorded. Set the terminal to UTF-8, and type it again.",
            field=field,
            text=typed_text[:_MAX_QUOTE],
        ) from None
    text = text.replace("\r\n", "\n").replace("\t", " ")
    for char in text:
        if char != "\n" and unicodedata.category(char) == "Cc":
            raise UsageError(
                "{field}: {text} has a control character in it (U+{code}). Nothing was recorded. Type it again "
                "without that.",
                field=field,
                text=text[:_MAX_QUOTE],
                code=f"{ord(char):04X}",
            )
    return text


def tree_path(path: bytes) -> bytes:
    """Return a material's path as git trees hold it."""
    return b"/".join(_tree_component(part) for part in path.split(b"/"))


def path_of_tree(encoded: bytes) -> bytes:
    """Return the path that :func:`tree_path` was given."""
    return _ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), encoded)


def _tree_component(name: bytes) -> bytes:
    encoded = re.sub(rb"%(?=[0-9A-Fa-f]{2})", b"%25", name)
    if _is_special_to_git(name):
        return b"%%%02X" % encoded[0] + encoded[1:]
    return encoded


def _is_special_to_git(name: bytes) -> bool:
    """Return True if git on any platform may take the name for its own: ``.git``, ``GIT~1``, ``.git::$DATA``."""
    visible = name.decode("utf-8", "replace").translate(_HFS_IGNORABLE)
    # NTFS ignores a stream suffix, and trailing dots and spaces.
    base_name = re.split(r"[:\\]", visible, maxsplit=1)[0].rstrip(". ").casefold()
    return base_name in _GIT_NAMES or _GIT_SHORT.fullmatch(base_name) is not None


def ref_component(folder: bytes) -> str:
    """Return the ref component for a filing's or submission's folder.

    Not reversible for a component over 200 bytes, which is shortened; the journal has the full name.
    """
    if folder in (COMMON.encode(), UNFILED.encode(), CHECKPOINTS.encode()):
        return f"%{folder[0]:02X}{folder[1:].decode()}"
    try:
        decoded = folder.decode("utf-8")
    except UnicodeDecodeError:
        # Another encoding: escaped byte by byte below.
        decoded = ""
    if decoded and unicodedata.normalize("NFC", decoded) == decoded:
        encoded = _REF_FORBIDDEN.sub(_escape, decoded)
    else:
        # One character for each byte, so that only ASCII stays readable.
        ascii_safe = _REF_FORBIDDEN.sub(_escape, folder.decode("latin-1"))
        encoded = re.sub("[\x80-\xff]", lambda match: f"%{ord(match[0]):02X}", ascii_safe)
    return _shorten_component(_escape_ends(encoded), folder)


def _escape_ends(encoded: str) -> str:
    """Escape what git refuses only at the start or the end of a component."""
    if encoded == "@" or encoded[:1] in ("-", "."):
        encoded = f"%{ord(encoded[0]):02X}{encoded[1:]}"
    if encoded.endswith(".lock"):
        return encoded[:-5] + "%2Elock"
    if encoded.endswith("."):
        return encoded[:-1] + "%2E"
    return encoded


def _escape(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8"))


def _shorten_component(encoded: str, folder: bytes) -> str:
    data = encoded.encode("utf-8")
    if len(data) <= _MAX_REF_BYTES:
        return encoded
    import hashlib

    digest = hashlib.sha256(folder).hexdigest()[:_DIGEST_DIGITS]
    prefix = data[: _MAX_REF_BYTES - _DIGEST_DIGITS - 2].decode("utf-8", "ignore")
    # Half an escape at the end would read as part of another name.
    return re.sub(r"%[0-9A-F]?$", "", prefix) + _SHORTENED_MARK + digest
