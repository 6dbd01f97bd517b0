"""Detect the kind of a submission from the name that a company gave its folder.  Pure."""

from __future__ import annotations

# The order matters: 首次备案变更 is a change, 变更补正 a correction.
_WORDS_BY_KIND = (
    ("correction", ("补正", "correction")),
    ("deregistration", ("注销", "deregistration")),
    ("inspection", ("抽查", "inspection")),
    ("annual", ("年度", "annual")),
    ("change", ("变更", "change")),
    ("subject", ("主体", "subject")),
    ("first", ("首次", "first")),
)


def kind_from_folder(folder: bytes) -> str:
    """Return the kind that a submission's folder name contains; ``other`` if it contains none."""
    folder_name = folder.decode("utf-8", "replace").casefold()
    for kind, words in _WORDS_BY_KIND:
        if any(word in folder_name for word in words):
            return kind
    return "other"
