"""Detect the kind of a submission from the name of the folder.  Pure."""

from __future__ import annotations

# The order matters: 首次备案变更 is a change, 变更补正 a correction.
_KEYWORDS_BY_KIND = (
    ("correction", ("补正", "correction")),
    ("deregistration", ("注销", "deregistration")),
    ("inspection", ("抽查", "inspection")),
    ("annual", ("年度", "annual")),
    ("change", ("变更", "change")),
    ("subject", ("主体", "subject")),
    ("first", ("首次", "first")),
)


def kind_from_folder(folder: bytes) -> str:
    """Return the kind named in a folder name; ``other`` without a kind."""
    folder_name = folder.decode("utf-8", "replace").casefold()
    for kind, keywords in _KEYWORDS_BY_KIND:
        if any(keyword in folder_name for keyword in keywords):
            return kind
    return "other"
