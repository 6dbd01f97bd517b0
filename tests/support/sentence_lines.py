"""One sentence a line in Markdown, so that a change shows as the sentence it changes.

``python -m tests.support.sentence_lines`` rewrites every document; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.other_user import CHECKOUT

DOCUMENTS: list[Path] = sorted(
    {CHECKOUT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "benchmarks/notes.md")}
    | set(CHECKOUT.glob("README*.md"))
    | set((CHECKOUT / "docs").rglob("*.md"))
)

_CODE_SPAN = re.compile(r"(`+).+?\1")
#: Text of these lines is no prose, or stands alone.
_ALONE = re.compile(r"\s*(\||#|<!--|$)")
_FENCE = re.compile(r"\s*```")
_ITEM = re.compile(r"(\s*)([-*]|\d+\.) +")
_WIDE = r"[\u2e80-\u9fff\uff00-\uffef\u3000-\u303f“”‘’]"
_ENGLISH_END = re.compile(
    r"[.!?][\"')*_”]*(?<!\bart\.)(?<!\be\.g\.)(?<!\bi\.e\.)(?<! \.\.\.) +(?=[A-Z0-9`\[(*\"“]|" + _WIDE + ")"
)
_CHINESE_END = re.compile(r"[。！？][）”’」*]*(?![）”’」*]) *(?=.)")


def reflow(text: str) -> str:
    """Return Markdown with each sentence of its prose on a line of its own."""
    return "".join(f"{line}\n" for line in _lines(text.split("\n")[:-1]))


def _lines(lines: list[str]) -> Iterator[str]:
    """Hand on what is no prose as it is, and each paragraph or item of the rest cut into its sentences."""
    prose: list[str] = []
    is_code = False
    for line in lines:
        is_fence = _FENCE.match(line) is not None
        # Four blanks are code, except below an item of a list.
        is_indented = line.startswith("    ") and not prose
        if is_code or is_fence or is_indented or _ALONE.match(line):
            yield from _sentences(prose)
            prose = []
            yield line
            is_code ^= is_fence
            continue
        if _ITEM.match(line):
            yield from _sentences(prose)
            prose = []
        prose.append(line)
    yield from _sentences(prose)


def _sentences(prose: list[str]) -> Iterator[str]:
    """Join the lines of one paragraph or item, and cut them after each sentence."""
    if not prose:
        return
    item = _ITEM.match(prose[0])
    first = item[0] if item else prose[0][: len(prose[0]) - len(prose[0].lstrip())]
    rest = " " * len(first)
    text = prose[0][len(first) :].rstrip()
    for line in prose[1:]:
        text = _join(text, line.strip())
    # Code may hold anything that looks like an end.
    masked = _CODE_SPAN.sub(lambda span: "`" + "x" * (len(span[0]) - 2) + "`", text)
    ends = sorted({match.end() for end in (_ENGLISH_END, _CHINESE_END) for match in end.finditer(masked)})
    for number, (start, stop) in enumerate(zip([0, *ends], [*ends, len(text)], strict=True)):
        yield (rest if number else first) + text[start:stop].rstrip()


def _join(text: str, line: str) -> str:
    is_between_chinese = re.search(_WIDE + "$", text) and re.match(_WIDE, line)
    is_at_punctuation = re.search("[，。；：、（）！？]$", text) or re.match("[，。；：、（）！？]", line)
    return text + ("" if is_between_chinese or is_at_punctuation else " ") + line


if __name__ == "__main__":
    for path in DOCUMENTS:
        path.write_text(reflow(path.read_text("utf-8")), "utf-8")
