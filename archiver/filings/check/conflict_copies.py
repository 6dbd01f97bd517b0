"""The names of conflict copies: a second state of a document, which a sync client or office program kept.

Data, one line each.  A line states the form of the name, why such a file exists, the program that creates it, and
where that program states or shows the name.  A conflict copy is archived, because only a person can tell which of
the two states is right.

Only forms that people do not type belong here.  A form that a person might type, such as the name of a computer at
the end, counts only if the document without the addition is in the same folder.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from archiver.errors import LazyMessage

BOTH_CHANGED = LazyMessage("two devices changed the document at the same time")
LETTER_CASE = LazyMessage("two names differ only in upper and lower case")
RECOVERED = LazyMessage("the program saved the document by itself, or after a crash")


class ConflictCopy(NamedTuple):
    """A form of names of conflict copies."""

    #: A regular expression for the end of the name without its suffix.
    ending: str
    purpose: LazyMessage
    program: str
    source: str
    #: True if the name counts only beside the document without the addition.
    needs_original: bool = False


CONFLICT_COPIES = (
    # --- sync clients
    ConflictCopy(
        r"\.sync-conflict-\d{8}-\d{6}(?:-[A-Z0-9]{7})?",
        *(BOTH_CHANGED, "Syncthing", "docs.syncthing.net: conflicting changes"),
    ),
    ConflictCopy(
        r" ?\((?:[^()]* )?conflicted copy(?: [^()]*)?\)",
        *(BOTH_CHANGED, "Nextcloud, ownCloud, Dropbox", "desktop clients: (conflicted copy NAME DATE TIME)"),
    ),
    ConflictCopy(
        r"_conflict-\d{8}-\d{6}", BOTH_CHANGED, "ownCloud", "desktop client until 2.4: _conflict-DATE-TIME"
    ),
    ConflictCopy(
        r" ?\(case clash from [^()]*\)", LETTER_CASE, "Nextcloud", "desktop client: (case clash from NAME)"
    ),
    ConflictCopy(r" ?[(（][^()（）]*的冲突副本[^()（）]*[)）]", BOTH_CHANGED, "Dropbox", "Chinese desktop client"),
    ConflictCopy(
        r" ?\(SFConflict [^()]*\)(?:-\d+)?", BOTH_CHANGED, "Seafile", "seafile: (SFConflict USER DATE-TIME)"
    ),
    ConflictCopy(
        r" ?[(（]冲突(?:副本|文件|版本)?(?:[-_ ][^()（）]*)?[)）]",
        *(BOTH_CHANGED, "坚果云 (Nutstore), 360云盘", "help pages: (冲突副本-昵称-日期)"),
    ),
    ConflictCopy(
        r"-冲突(?:副本|文件)?(?:-[^/]*)?", BOTH_CHANGED, "坚果云 (Nutstore)", "help page: -冲突 on Windows"
    ),
    ConflictCopy(
        r"-NSConflict(?:-[^/]*)?", BOTH_CHANGED, "坚果云 (Nutstore)", "help page: -NSConflict on macOS and Linux"
    ),
    ConflictCopy(
        r"-conflict(?:-[^/]*)?",
        *(BOTH_CHANGED, "坚果云 (Nutstore)", "help page: -conflict on an English Windows"),
        needs_original=True,
    ),
    ConflictCopy(
        r"_[^/]+_[A-Z][a-z]{2}-\d{2}-\d{6}-\d{4}_(?:Case)?Conflict",
        *(BOTH_CHANGED, "Synology Drive", "Drive Client: _COMPUTER_DATE_Conflict"),
    ),
    ConflictCopy(
        r"-(?:DESKTOP|LAPTOP)-[A-Z0-9]{6,8}(?:-\d+)?",
        *(BOTH_CHANGED, "OneDrive", "client for Windows: -COMPUTER, the default names of Windows"),
    ),
    ConflictCopy(
        r"-[A-Z][A-Z0-9]*(?:-(?=[0-9]*[A-Z])[A-Z0-9]+)+(?:-\d+)?",
        *(BOTH_CHANGED, "OneDrive", "client for Windows: -COMPUTER, up to 15 characters"),
        needs_original=True,
    ),
    ConflictCopy(
        r" ?\([^()/]+ v\d+\)",
        *(BOTH_CHANGED, "Windows Offline Files", "Sync Center: keep both versions, (USER vN)"),
        needs_original=True,
    ),
    # --- office programs
    ConflictCopy(
        r" ?[(\[](?:Autosaved|Auto-?Recovered|Recovered)[)\]]|_Auto-?Recovered",
        *(RECOVERED, "Microsoft Office", "Office: names of recovered documents"),
    ),
    ConflictCopy(
        r" ?[(（\[](?:已?自动(?:保存|恢复)的?|已恢复的?)[)）\]]",
        *(RECOVERED, "Microsoft Office, WPS Office", "Chinese Office: names of recovered documents"),
    ),
)

_EXPRESSIONS = tuple((re.compile(f"(?P<stem>.+?)(?:{copy.ending})"), copy) for copy in CONFLICT_COPIES)


def find_conflict_copy(path: bytes, all_paths: Collection[bytes]) -> ConflictCopy | None:
    """Return the form of a conflict copy that the name of ``path`` has; None for any other name.

    ``all_paths`` are the paths of the same submission, in which the document without the addition is looked for.
    """
    folder, separator, name = path.rpartition(b"/")
    # A name that is not UTF-8 keeps its bytes, so that the original is found.
    stem, dot, suffix = name.decode("utf-8", "surrogateescape").rpartition(".")
    if not dot:
        stem, suffix = suffix, ""
    for expression, conflict_copy in _EXPRESSIONS:
        match = expression.fullmatch(stem)
        if match is None:
            continue
        original_name = f"{match['stem']}{dot}{suffix}".encode("utf-8", "surrogateescape")
        if not conflict_copy.needs_original or folder + separator + original_name in all_paths:
            return conflict_copy
    return None
