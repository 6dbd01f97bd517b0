"""docs/codes.md, made from the code: ``python -m tests.support.codes_page``."""

from __future__ import annotations

import ast
from collections import defaultdict

from tests.support.messages import error_classes, read_package, sources
from tests.support.site import CHECKOUT

PAGE = CHECKOUT / "docs" / "codes.md"
HEAD = """\
# Codes

`python -m tests.support.codes_page` generates this page from the source; a test compares both.
Programs should compare codes: the meaning of a code never changes, while its sentence can be reworded or translated.
The numbers that `verify` reports are listed in [findings.md](findings.md).

## Errors

The column `code` appears in `--log json` (as `kind`), in `status --json` (`last_problem.code`), and in the metric `archiver_problems_total{kind}`.
The service returns the `name on the socket` to other commands.

| code | exit code | name on the socket |
| --- | --- | --- |
"""
PARTS = {
    "ability": "Missing abilities (`status --json`: `code` of `missing_abilities`; `state.db`)",
    "alert": "Alerts about the public display (`status --json`: `alert_codes`)",
    "basis": "Bases of retention periods (`explain --json`: `basis_code`)",
    "bucket": "Reasons to refuse a bucket",
    "check": "Open points of a submission (`check --json`: `code`; `open_points` of `log --json`; journal event `submit`)",
    "choice": "Why a version was chosen (`check --json`: `choice_code`)",
    "document": "Errors in reading a document (cache of document text)",
    "due": "Items with a deadline (`deadlines --json`, `status --json`: `code`)",
    "folder": "Why the watched folder does not count (`status --json`: `watching_reason_code`; `watch accept --json`)",
    "journal": "Damage to the journal (`status --json`: `journal_problem_code`)",
    "kind": "Where the kind of a submission comes from (`check --json`: `kind_code`)",
    "litter": "Purposes of ignored names that other code looks for",
    "note": "Notes of `verify` that are not findings (`verify --json`: `code` of `notes`)",
    "open": "Retention conditions without a date (`log`, `explain`, `dispose plan`, with `--json`: `open_codes`)",
    "path": "Skipped and pending paths (`status --json`: `code`; `state.db`)",
    "protection": "Protection levels (`status --json`: `protection`, the part after the dot)",
    "standin": "Stand-ins for documents (`status --json`: `code` of `stand_ins`; `state.db`)",
    "status": "Warnings of `status` (`status --json`: `problem_codes`)",
    "watch": "Missing kernel notifications (`status --json`: `watching_reason_code`; `state.db`)",
    "watching": "Modes of watching (`status --json`: `watching_code`)",
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
    page += f"\nThe metric also counts {counted}, and the names of jobs and side tasks of the service.\n"
    parts: dict[str, list[str]] = defaultdict(list)
    for message in sorted(read_package().messages, key=lambda each: each.code):
        if message.code:
            part = message.code.partition(".")[0]
            parts[part].append(f"| `{message.code}` | {message.template} |\n")
    for part in sorted(parts):
        page += f"\n## {PARTS[part]}\n\n| code | sentence |\n| --- | --- |\n{''.join(parts[part])}"
    return page


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
