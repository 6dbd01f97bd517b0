"""docs/findings.md, made from the code: ``python -m tests.support.findings_page``."""

from __future__ import annotations

from archiver.verify.findings import MEANING_BY_CODE
from tests.support.messages import Message, catalogue
from tests.support.site import CHECKOUT

PAGE = CHECKOUT / "docs" / "findings.md"
HEAD = """\
# What `verify` finds

Made from `archiver/verify/findings.py` by `python -m tests.support.findings_page`; a test keeps it so.
Numbers are never given to another meaning.
Any finding makes `verify` exit with 5: change nothing, keep the output, and compare with a clone, a backup or the off-site copy.

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
