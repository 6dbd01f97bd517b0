"""The map of layers and packages in docs/design.md, made from the code: ``python -m tests.support.package_map``."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.support.other_user import CHECKOUT

PAGE = CHECKOUT / "docs" / "design.md"
_CODE = CHECKOUT / "archiver"
_BEGIN, _END = "<!-- made by: python -m tests.support.package_map -->\n", "<!-- end -->\n"
_HEAD = "| layer | package | purpose |\n| --- | --- | --- |\n"


def render(page: str) -> str:
    """Return the text of the page with today's map between its two marks.

    Raises ValueError if the marks are missing.
    """
    before, found, rest = page.partition(_BEGIN)
    _, ended, after = rest.partition(_END)
    if not found or not ended:
        raise ValueError(f"{PAGE} lacks the marks of the map")
    return before + _BEGIN + _HEAD + "".join(_rows()) + _END + after


def _rows() -> Iterator[str]:
    floors = _floors()
    for number, rooms in zip(range(len(floors), 0, -1), floors, strict=True):
        modules = [path for room in rooms if (path := _CODE / f"{room}.py").exists()]
        if modules:
            purpose = _first_sentence(modules[0]) if len(modules) == 1 else "Used by every layer above."
            yield f"| {number} | {', '.join(f'`{path.name}`' for path in modules)} | {purpose} |\n"
        for room in rooms:
            # A room before those inside it.
            for path in sorted((_CODE / room).rglob("__init__.py"), key=lambda path: path.parent):
                name = path.parent.relative_to(_CODE).as_posix()
                yield f"| {number} | `{name}/` | {_first_sentence(path)} |\n"


def _floors() -> list[list[str]]:
    """Read the floors from the contract that the linter checks, the highest first."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]
    contract = next(each for each in settings["contracts"] if each.get("containers") == ["archiver"])
    return [re.split(r"\s*[|:]\s*", layer) for layer in contract["layers"]]


def _first_sentence(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    sentence = re.split(r"(?<=[.!?])\s", " ".join(text.split("\n\n")[0].split()))[0]
    return sentence.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(render(PAGE.read_text("utf-8")), "utf-8")
