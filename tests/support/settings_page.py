"""docs/settings.md and docs/settings.zh-CN.md, made from the table of settings: ``python -m tests.support.settings_page``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from archiver.config.schema import Effect, Setting
from archiver.config.settings import TABLE_SUMMARIES, settings_by_table
from archiver.i18n import translator
from tests.support.sentence_lines import reflow
from tests.support.site import CHECKOUT


class Words(NamedTuple):
    """What the page says by itself, in one language."""

    head: str
    columns: str
    required: str
    effects: dict[Effect, str]


PAGES: dict[Path, tuple[str, Words]] = {
    CHECKOUT / "docs" / "settings.md": (
        "en",
        Words(
            """\
# Settings

**English** · [中文](settings.zh-CN.md)

Every key of `archiver.toml`; only the two paths are required.
Relative paths start in the folder of the file.
Commands read the file each time; a running service takes a change after `systemctl reload archiver`, unless noted otherwise.

```console
$ archiver config check
$ archiver config show
```

`config check` names everything that is wrong in the file and ends with 3; a reload would keep the settings of before.
It warns of what a reload would promise for good, and of files that are named and missing.
`config show` lists the settings, and whether each stands in the file or is the default; passwords in addresses are hidden.
""",
            "| setting | default | its value | meaning |",
            "required",
            {
                Effect.RELOAD: "",
                Effect.RESTART: " A reload refuses a change.",
                Effect.NEVER: " Fixed when the archive was made.",
            },
        ),
    ),
    CHECKOUT / "docs" / "settings.zh-CN.md": (
        "zh",
        Words(
            """\
# 设置

[English](settings.md) · **中文**

`archiver.toml` 的全部设置；只有两个路径是必需的。
相对路径从该文件所在的目录算起。
命令每次运行都读取该文件；运行中的服务在 `systemctl reload archiver` 之后采用更改，另有说明的除外。

```console
$ archiver config check
$ archiver config show
```

`config check` 列出文件中的全部错误，并以 3 结束；此时重新加载会沿用原有设置。
它还会提示重新加载后将永久承诺的保存期限，以及设置中指明却不存在的文件。
`config show` 列出各项设置，以及来自文件还是默认值；地址中的密码不予显示。
""",
            "| 设置 | 默认值 | 取值 | 含义 |",
            "必需",
            {
                Effect.RELOAD: "",
                Effect.RESTART: "重新加载时不接受更改。",
                Effect.NEVER: "建立档案库时已固定。",
            },
        ),
    ),
}


def render(page: Path) -> str:
    """Return the text of a page in its language."""
    lang, words = PAGES[page]
    translate = translator(lang)
    parts = [words.head]
    for table, settings in settings_by_table().items():
        name = 'filings."NAME"' if table == "filings" else table
        lines = [
            f"## [{name}]",
            "",
            translate(TABLE_SUMMARIES[table]),
            "",
            words.columns,
            "| --- | --- | --- | --- |",
        ]
        for setting in settings:
            names = ", ".join(f"`{name}`" for name in setting.keys_in_table)
            meaning = translate(setting.summary) + words.effects[setting.effect]
            requirement = translate(setting.value_type.requirement)
            lines.append(f"| {names} | {_default(setting, words)} | {requirement} | {meaning} |")
        parts.append("\n".join([*lines, ""]))
    return reflow("\n".join(parts))


def _default(setting: Setting, words: Words) -> str:
    if setting.is_required:
        return words.required
    if setting.default in (None, "", [], {}):
        return ""
    return f"`{json.dumps(setting.default, ensure_ascii=False)}`"


if __name__ == "__main__":
    for path in PAGES:
        path.write_text(render(path), encoding="utf-8")
