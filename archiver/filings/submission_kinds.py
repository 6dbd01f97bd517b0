"""Kinds of submissions, told from the names companies give their folders.  Pure."""

from __future__ import annotations

# Looked for in this order: 首次备案变更 is a change, 变更补正 a correction.
_WORDS = (
    ("correction", ("补正", "correction")),
    ("deregistration", ("注销", "deregistration")),
    ("inspection", ("抽查", "inspection")),
    ("annual", ("年度", "annual")),
    ("change", ("变更", "change")),
    ("subject", ("主体", "subject")),
    ("first", ("首次", "first")),
)


def kind_of(folder: bytes) -> str:
    """The kind that a submission's folder name tells, else ``other``."""
    name = folder.decode("utf-8", "replace").casefold()
    for kind, words in _WORDS:
        if any(word in name for word in words):
            return kind
    return "other"
