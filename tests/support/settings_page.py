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

This page lists every setting of `archiver.toml`; only the two paths are required.
Relative paths start in the folder of the configuration file.
Each command reads the file; a running service applies a change after `systemctl reload archiver`, unless noted otherwise.

```console
$ archiver config check
$ archiver config show
```

If the file has errors, `config check` lists all of them and exits with 3; a reload would keep the previous configuration.
`config check` also warns of retention that waits for acceptance (`archiver retention accept`), and of missing files that the settings name.
`config show` lists each setting with its source, the file or the default; passwords in addresses are hidden.
""",
            "| setting | default | value | meaning |",
            "required",
            {
                Effect.RELOAD: "",
                Effect.RESTART: " A reload refuses a change; restart the service.",
                Effect.NEVER: " Permanent after `init`.",
            },
        ),
    ),
    CHECKOUT / "docs" / "settings.zh-CN.md": (
        "zh",
        Words(
            """\
# 设置

[English](settings.md) · **中文**

本页列出 `archiver.toml` 的全部设置；只有两个路径是必需的。
相对路径自配置文件所在的文件夹起算。
命令每次运行均读取该文件；运行中的存档服务在 `systemctl reload archiver` 之后采用更改，另有说明的除外。

```console
$ archiver config check
$ archiver config show
```

配置文件有误的，`config check` 列出全部错误，退出码为 3；此时重新加载沿用原有配置。
`config check` 并提示待确认的保存期限（`archiver retention accept`），以及设置中指明但不存在的文件。
`config show` 列出各项设置及其来源（配置文件或默认值）；地址中的密码不予显示。
""",
            "| 设置 | 默认值 | 取值 | 含义 |",
            "必需",
            {
                Effect.RELOAD: "",
                Effect.RESTART: "重新加载时不接受更改，须重启存档服务。",
                Effect.NEVER: "建立档案库后不可更改。",
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
