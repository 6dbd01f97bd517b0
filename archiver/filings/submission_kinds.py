"""Detect the kind of a submission from the name of its folder; define the roles of files about it.  Pure."""

from __future__ import annotations

from collections.abc import Mapping

#: The roles of files that are about a submission, but not part of it.  The journal contains these words.
FILE_ROLES = ("receipt", "notice")
#: Kind of submission -> keywords in the name of its folder.  The first match counts, so the order matters:
#: 首次备案变更 is a change, 变更补正 a correction.
_KEYWORDS_BY_KIND: Mapping[str, tuple[str, ...]] = {
    "correction": ("补正", "correction"),
    "deregistration": ("注销", "deregistration"),
    "inspection": ("抽查", "inspection"),
    "annual": ("年度", "annual"),
    "change": ("变更", "change"),
    "subject": ("主体", "subject"),
    "first": ("首次", "first"),
}


def kind_from_folder(folder_name: bytes) -> str:
    """Return the kind of submission that the name of a folder suggests, in Chinese or English.

    Returns ``other`` if the name has no keyword.  ``folder_name`` is raw; upper and lower case are equal.
    """
    searched_name = folder_name.decode("utf-8", "replace").casefold()
    for kind, keywords in _KEYWORDS_BY_KIND.items():
        if any(keyword in searched_name for keyword in keywords):
            return kind
    return "other"
