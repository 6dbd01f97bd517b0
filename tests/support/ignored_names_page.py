"""docs/ignored-names.md, made from the table of litter: ``python -m tests.support.ignored_names_page``."""

from __future__ import annotations

from archiver.i18n import translator
from archiver.intake.exclusion.litter import LITTER
from tests.support.site import CHECKOUT

PAGE = CHECKOUT / "docs" / "ignored-names.md"
HEAD = """\
# Ignored names（不存档的名称）

`python -m tests.support.ignored_names_page` generates this page from the source; a test compares both.
Files and folders with these names are not filing documents: programs leave them behind.
They are not archived, and a folder with such a name is not entered; `archiver status` lists each of them.
A pattern matches names, not paths, and ignores the case of ASCII letters; a pattern with a slash at the end matches only folders.
The setting `watch.ignore` adds patterns, and an exclamation mark at the beginning of a pattern makes an exception: `ignore = ["*.bak", "!*.download"]`.
The last pattern that matches a name decides; `"!*"` at the beginning of the list switches all built-in patterns off.
What was archived before a pattern excluded it is not deleted: `status` lists it as no longer captured, and the newest version retains it unchanged.

下列名称的文件和文件夹由各类程序自动产生，不属于备案材料，不予存档，`archiver status` 逐一列出。
设置 `watch.ignore` 可增加名称模式；模式以 `!` 开头的为例外，以 `/` 结尾的只匹配文件夹，以最后匹配的模式为准。
已存档的内容不因此删除，只是不再更新。

| pattern | purpose | 用途 | program | source |
| --- | --- | --- | --- | --- |
"""


def render() -> str:
    """Return the page as it should be."""
    translate = translator("zh")
    rows = [
        f"| `{litter.pattern}` | {litter.purpose} | {translate(litter.purpose)} | {litter.program} | {litter.source} |\n"
        for litter in LITTER
    ]
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
