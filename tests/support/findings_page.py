"""docs/findings.md, made from the code: ``python -m tests.support.findings_page``."""

from __future__ import annotations

from archiver.verify.findings import MEANING_BY_CODE
from tests.support.messages import Message, catalogue
from tests.support.site import CHECKOUT

PAGE = CHECKOUT / "docs" / "findings.md"
HEAD = """\
# Findings of `verify`

`python -m tests.support.findings_page` generates this page from `archiver/verify/findings.py`; a test compares both.
A number never changes its meaning.
With any finding, `verify` exits with 5: change nothing, save the output, and compare with a clone, a backup, or the replica.

| number | meaning | 含义 |
| --- | --- | --- |
"""


def render() -> str:
    chinese = catalogue()
    return HEAD + "".join(
        f"| {code} | {meaning} | {chinese[Message(meaning.template)]} |\n"
        for code, meaning in MEANING_BY_CODE.items()
    )


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
