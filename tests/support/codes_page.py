"""docs/codes.md, made from the code: ``python -m tests.support.codes_page``."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.support.messages import error_classes, read_source, sources
from tests.support.site import CHECKOUT

PAGE = CHECKOUT / "docs" / "codes.md"
HEAD = """\
# Codes

Made from the source by `python -m tests.support.codes_page`; a test keeps it so.
Programs decide on codes: a code is never given to another meaning, while the sentence beside it may be reworded or translated.
The numbers that `verify` reports are listed in [findings.md](findings.md).

## Errors

`code` is what `--log json` (as `kind`), `status --json` (`last_problem.code`) and the metric `archiver_problems_total{kind}` carry.
`name on the socket` is what the daemon answers with.

| code | exit code | name on the socket |
| --- | --- | --- |
"""
PARTS = {
    "alert": "Deadlines: pages that no longer display the number (`status --json`: `alert_codes`)",
    "basis": "What a retention period rests on (`explain --json`: `basis_code`)",
    "bucket": "What a bucket does not do, or why it cannot be used",
    "document": "Why a document could not be read (the cache of documents)",
    "due": "What is due (`deadlines --json`, `status --json`: `code`)",
    "journal": "Why the journal cannot be continued (`status --json`: `journal_problem_code`)",
    "note": "What `verify` notes without finding fault (`verify --json`: `code` of `notes`)",
    "open": "What keeps a version without a date (`log`, `explain`, `dispose plan`, with `--json`: `open_codes`)",
    "path": "Why a path is not archived, or not yet (`status --json`: `code`; `state.db`)",
    "protection": "How content is protected; `status --json` has the part behind the dot as `protection`",
    "status": "What somebody has to look at (`status --json`: `problem_codes`)",
    "watch": "Why events are incomplete (`status --json`: `watching_reason_code`; `state.db`)",
    "watching": "How changes become known (`status --json`: `watching_code`)",
}


def counted_problems() -> set[str]:
    """The kinds of trouble that are written where they are reported, as ``problem="watch"``."""
    return {
        keyword.value.value
        for tree in sources().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if keyword.arg == "problem" and isinstance(keyword.value, ast.Constant) and keyword.value.value
    }


def render() -> str:
    """The page as it should be; raises KeyError for a code of a part that PARTS does not describe."""
    errors = sorted((each.code, each.exit_code, each.wire_name) for each in error_classes())
    page = HEAD + "".join(f"| `{code}` | {number} | `{name}` |\n" for code, number, name in errors)
    counted = ", ".join(f"`{code}`" for code in sorted(counted_problems()))
    page += f"\nThe daemon counts these too: {counted}, and the names of its jobs and side tasks.\n"
    parts: dict[str, list[str]] = defaultdict(list)
    for message in sorted(read_source().messages, key=lambda each: each.code):
        if message.code:
            part = message.code.partition(".")[0]
            parts[part].append(f"| `{message.code}` | {message.template} |\n")
    for part in sorted(parts):
        page += f"\n## {PARTS[part]}\n\n| code | sentence |\n| --- | --- |\n{''.join(parts[part])}"
    return page


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
