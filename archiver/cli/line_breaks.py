"""Break a text into lines for a terminal, in English and Chinese.

click cannot do this: it breaks Chinese text anywhere, even in the middle of a path, and counts a Chinese character
as one column.
"""

from __future__ import annotations

import re
import unicodedata

#: Chinese and typographic punctuation, which separates paths and names without a space.
_PUNCTUATION = "，。、；：？！（）【】《》「」“”‘’…"
#: Text that a person reads or copies as a whole: a command, a path, a tag, a file name, or other narrow characters
#: in a row, such as an option.  Any other character is a token alone.
_TOKEN = re.compile(
    rf"""
    archiver(?:\ [a-z][a-z-]+){{1,2}}
  | (?:(?!archiver\ )[^\s{_PUNCTUATION}])*(?:/|\.[A-Za-z])(?:(?!archiver\ )[^\s{_PUNCTUATION}])*
  | [\x21-\x7e]+
  | .
    """,
    re.VERBOSE | re.DOTALL,
)
#: Characters that never begin a line (a full stop may, if it begins a path), and characters that never end a line.
_NEVER_FIRST = re.compile(r"[，。、；：？！）】》」”’…,;:?!)\]}%]|\.(?![\w./])")
_NEVER_LAST = "（【《「“‘([{$"


def display_width(text: str) -> int:
    """Return the number of columns that ``text`` takes on a terminal, where a Chinese character takes two."""
    return sum(map(_char_width, text))


def _char_width(char: str) -> int:
    """Return the number of columns that a character takes: 0 for an accent on the character before, 1, or 2."""
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def break_lines(text: str, width: int) -> list[str]:
    """Break ``text`` into lines of at most ``width`` columns; spaces at the ends of lines are dropped.

    Commands, paths, tags, options and file names stay whole, so that they can be copied.  If one of these takes
    more than ``width`` columns, its line is longer.
    """
    lines: list[str] = []
    line = ""
    for piece in _split_into_pieces(" ".join(text.split("\n"))):
        if line and display_width(line + piece.rstrip()) > width:
            lines.append(line.rstrip())
            line = piece
        else:
            line += piece
    return [*lines, line.rstrip()] if line.strip() else lines


def _split_into_pieces(text: str) -> list[str]:
    """Split ``text`` at all positions where a line may end; spaces belong to the piece before them."""
    pieces: list[str] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        if pieces and not _may_break(pieces[-1], token):
            pieces[-1] += token
        else:
            pieces.append(token)
    return pieces


def _may_break(previous_piece: str, token: str) -> bool:
    """Return True if a line may end between ``previous_piece`` and ``token``."""
    if token.isspace():
        return False
    last_char = previous_piece[-1]
    if last_char.isspace():
        return True
    if _NEVER_FIRST.match(token) or last_char in _NEVER_LAST:
        return False
    return display_width(last_char) == 2 or display_width(token[0]) == 2
