"""Convert names between the file system, git trees and git refs, and clean what people typed.  Pure functions.

The rules are those of docs/format.md, "Names": every name comes back byte for byte, Chinese stays readable, and
nothing is encoded without need.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from archiver.errors import UsageError
from archiver.naming.readable_names import (
    ESCAPE,
    is_utf8,
    make_displayable,
    name_as_text,
    name_from_text,
    readable_name,
)
from archiver.naming.ref_names import DIGEST_DIGITS, RESERVED_NAMES, SHORTENED_MARK, RefName, remember_folder_name

__all__ = [
    "RefName",
    "is_utf8",
    "make_displayable",
    "name_as_text",
    "name_from_text",
    "readable_name",
]

#: Characters of any text of an event. With a lower limit, the path of some material does not fit: 4,096 bytes,
#: each of which may become three characters. With a higher one, a file can be hidden in the journal.
MAX_TEXT_LENGTH = 16_384
#: Characters of a text that a person typed. With a lower limit, a reason of one page is refused. With a higher
#: limit, a document that was pasted by mistake stays in the journal.
MAX_TYPED_LENGTH = 4_000
#: An error quotes only the beginning of a refused text, because the whole text would hide the sentence.
_MAX_QUOTED_CHARS = 80
#: Characters that git refuses inside a ref component, and ``%`` if it would read as an escape.
_REF_FORBIDDEN = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|%(?=[0-9A-Fa-f]{2}|\+)|(?<=\.)\.|@(?=\{)")
#: A file name can have 255 bytes, and git appends ".lock" to the name of a ref's file.
_MAX_REF_BYTES = 200
#: The names that the program uses itself, as raw names of folders.
_RESERVED_FOLDERS = frozenset(map(str.encode, RESERVED_NAMES))

#: Names of files that configure git or hold its repository, as in git's path.c and utf8.c.
_GIT_NAMES = frozenset({".git", ".gitattributes", ".gitmodules", ".gitignore", ".lfsconfig"})
#: The short names that NTFS gives to those files (8.3 names).
_GIT_SHORT_NAME = re.compile(r"(git|gitmod|gi7eba|gitatt|gi7d29|gitign|gi250a)~[0-9]+")
#: Characters that HFS+ ignores in names; a table for ``str.translate`` that removes them.
_HFS_IGNORABLE = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


def cut_text(text: str) -> str:
    """Return ``text``, which no person typed, cut to the length that an event can hold."""
    return text[:MAX_TEXT_LENGTH]


def too_long_error(field: str, most_characters: int) -> UsageError:
    """Return the error for a text of more than ``most_characters``; ``field`` is the name of the input."""
    return UsageError(
        "{field} cannot be recorded because it contains more than {most} characters. Nothing was recorded. "
        "Shorten it, then try again.",
        field=field,
        most=f"{most_characters:,}",
    )


def check_reason(reason: str) -> None:
    """Raise UsageError if a person gave no reason, or a blank one, for an event that needs it."""
    if not reason.strip():
        raise UsageError("A reason is required. Nothing was changed. Add --reason.")


def clean_typed_text(typed_text: str, field: str) -> str:
    """Return a text typed by a person in the form to be recorded: with LF for CRLF, and a space for a tab.

    ``field`` is the name of the input, with which an error message begins.  Raises UsageError for more than
    :data:`MAX_TYPED_LENGTH` characters, for bytes that are not UTF-8, and for control characters except line
    feeds: these are invisible, and could forge lines of a listing.
    """
    try:
        # In a locale that is not UTF-8, an argument arrives as one surrogate for each byte.
        clean_text = typed_text.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        raise UsageError(
            "{field}: {text} is not UTF-8. Nothing was recorded. Set the terminal to UTF-8, then type it again.",
            field=field,
            text=typed_text[:_MAX_QUOTED_CHARS],
        ) from None
    clean_text = clean_text.replace("\r\n", "\n").replace("\t", " ")
    if len(clean_text) > MAX_TYPED_LENGTH:
        raise too_long_error(field, MAX_TYPED_LENGTH)
    for char in clean_text:
        if char != "\n" and unicodedata.category(char) == "Cc":
            raise UsageError(
                "{field}: {text} contains a control character (U+{code}). Nothing was recorded. Type it again "
                "without that character.",
                field=field,
                text=clean_text[:_MAX_QUOTED_CHARS],
                code=f"{ord(char):04X}",
            )
    return clean_text


def tree_path(path: bytes) -> bytes:
    """Return a material's path in the form in which git trees hold it, reversible by :func:`path_from_tree`.

    Names that git treats as its own, such as ``.git``, are escaped: git refuses them in a tree.
    """
    return b"/".join(_escape_tree_component(component) for component in path.split(b"/"))


def path_from_tree(escaped_path: bytes) -> bytes:
    """Return the material's path that :func:`tree_path` turned into ``escaped_path``."""
    return ESCAPE.sub(lambda match: bytes([int(match[1], 16)]), escaped_path)


@lru_cache(maxsize=4096)  # Files of different submissions often have the same names.
def _escape_tree_component(name: bytes) -> bytes:
    """Return a name of a path as held in git trees: the first byte is escaped if the name is special to git."""
    escaped_name = re.sub(rb"%(?=[0-9A-Fa-f]{2})", b"%25", name)
    if _is_special_to_git(name):
        return b"%%%02X" % escaped_name[0] + escaped_name[1:]
    return escaped_name


def _is_special_to_git(name: bytes) -> bool:
    """Return True if git would treat ``name`` as a file of the repository on any platform.

    Examples are ``.git``, ``GIT~1`` and ``.git::$DATA``.  Git refuses such names in a tree, because checking the
    tree out could overwrite the repository's own files.
    """
    without_ignorables = name.decode("utf-8", "replace").translate(_HFS_IGNORABLE)
    # On Windows, a colon begins the name of an NTFS stream, a backslash separates folders, and dots and spaces at
    # the end are ignored.
    base_name = re.split(r"[:\\]", without_ignorables, maxsplit=1)[0].rstrip(". ").casefold()
    return base_name in _GIT_NAMES or _GIT_SHORT_NAME.fullmatch(base_name) is not None


def ref_component(folder_name: bytes) -> RefName:
    """Return the part of a ref's name that stands for the folder of a filing or of a submission.

    Different folder names have different components.  A component of more than 200 bytes is shortened, so that the
    full name of the folder is only in the journal.
    """
    # The program uses these names itself, so a folder of the same name gets another component.
    if folder_name in _RESERVED_FOLDERS:
        return RefName(f"%{folder_name[0]:02X}{folder_name[1:].decode()}")
    try:
        decoded_name = folder_name.decode("utf-8")
    except UnicodeDecodeError:
        # A name in another encoding is escaped byte by byte below.
        decoded_name = ""
    # Text that is not in Unicode's composed form (NFC) is escaped byte by byte as well, so that two spellings of
    # the same characters never share a ref.
    if decoded_name and unicodedata.normalize("NFC", decoded_name) == decoded_name:
        component = _REF_FORBIDDEN.sub(_escape_matched_bytes, decoded_name)
    else:
        # One character for each byte, so that only ASCII stays readable.
        ascii_safe = _REF_FORBIDDEN.sub(_escape_matched_bytes, folder_name.decode("latin-1"))
        component = re.sub("[\x80-\xff]", lambda match: f"%{ord(match[0]):02X}", ascii_safe)
    return RefName(_shorten_component(_escape_ends(component), folder_name))


def component_from_typed(typed_name: str) -> RefName:
    """Return the ref component of the folder that ``typed_name`` names, in the name for people or in the ref form.

    The two differ only where the name for people has fewer escapes, so decoding both gives the same raw name.
    """
    return RefName(typed_name) if typed_name in RESERVED_NAMES else ref_component(name_from_text(typed_name))


def _escape_ends(component: str) -> str:
    """Escape the characters that git refuses at the start or the end of a ref component, but allows inside."""
    if component == "@" or component[:1] in ("-", "."):
        component = f"%{ord(component[0]):02X}{component[1:]}"
    if component.endswith(".lock"):
        return component[:-5] + "%2Elock"
    if component.endswith("."):
        return component[:-1] + "%2E"
    return component


def _escape_matched_bytes(match: re.Match[str]) -> str:
    """Return ``%XX`` for each byte of the matched text; a replacement function for :func:`re.sub`."""
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8"))


def _shorten_component(component: str, folder_name: bytes) -> str:
    """Return ``component``, shortened to _MAX_REF_BYTES bytes at most if it is longer.

    A shortened component ends with a digest of ``folder_name``, so that different folders still have different
    components.
    """
    component_bytes = component.encode("utf-8")
    if len(component_bytes) <= _MAX_REF_BYTES:
        return component
    import hashlib  # only here, because hardly any name is that long

    digest = hashlib.sha256(folder_name).hexdigest()[:DIGEST_DIGITS]
    prefix_bytes = component_bytes[: _MAX_REF_BYTES - len(SHORTENED_MARK) - DIGEST_DIGITS]
    # Drop half a character at the end here, and half an escape below: either would read as part of another name.
    prefix = prefix_bytes.decode("utf-8", "ignore")
    shortened = re.sub(r"%[0-9A-F]?$", "", prefix) + SHORTENED_MARK + digest
    remember_folder_name(shortened, folder_name)
    return shortened
