"""The reasons why a path is not archived, or not yet: each has a code for programs and a sentence for people."""

from __future__ import annotations

import stat
from collections.abc import Mapping

from archiver.errors import LazyMessage
from archiver.intake.exclusion.litter import LITTER_BY_PATTERN
from archiver.intake.exclusion.pointer_files import POINTER_FILES_BY_SUFFIX

IGNORED = LazyMessage.define("matches the ignore pattern {value}", code="path.ignored")
#: Takes the place of IGNORED for a built-in pattern, under the same code.
_IGNORED_LITTER = LazyMessage("matches the ignore pattern {value} ({purpose}; {program})")
NO_LONGER_CAPTURED = LazyMessage.define(
    "was captured earlier, and is not captured any longer because of the ignore pattern {value}; the newest "
    "version retains it unchanged",
    code="path.no-longer-captured",
)
UNREADABLE_FOLDER = LazyMessage.define("the folder cannot be read: {value}", code="path.unreadable-folder")
LOCKED_FOLDER = LazyMessage.define(
    "the folder is encrypted, and its key is not loaded: nothing in it can be seen", code="path.locked-folder"
)
NOT_MOUNTED_FOLDER = LazyMessage.define(
    "no filesystem is mounted here any longer: nothing in it can be seen; after it is mounted on the host of a "
    "container, restart the container",
    code="path.not-mounted",
)
UNREADABLE_ENTRY = LazyMessage.define("cannot be examined: {value}", code="path.unreadable-entry")
UNREADABLE_FILE = LazyMessage.define("the file cannot be read: {value}", code="path.unreadable-file")
REFUSED_FILE = LazyMessage.define(
    "another program, such as a virus scanner, refuses access to the file", code="path.refused-file"
)
UNKNOWN_LENGTH = LazyMessage.define(
    "has another number of bytes than its filesystem states, so it may be incomplete: copy it to a local disk",
    code="path.unknown-length",
)
COPY_REFUSED = LazyMessage.define(
    "another program, such as a virus scanner, removed or locked the copy in the archive: {value}",
    code="path.copy-refused",
)
OWN = LazyMessage.define("is part of the archive, reached through another path", code="path.own")
OWN_LOG = LazyMessage.define("is the log of the service", code="path.own-log")
TOO_DEEP = LazyMessage.define("is more than {value} folders deep; nothing in it is archived", code="path.too-deep")
TOO_LONG = LazyMessage.define(
    "has a path of more than {value} bytes; nothing in it is archived", code="path.too-long"
)
TOO_LARGE = LazyMessage.define("is larger than watch.max_file_bytes allows: {value} B", code="path.too-large")
OVER_QUOTA = LazyMessage.define(
    "does not fit into the quota of the filing: {value} B (watch.filing_quota_bytes, or quota_bytes of the "
    "filing)",
    code="path.over-quota",
)
#: About a captured file.
SPARSE = LazyMessage.define(
    "is a sparse file, and counts for size limits with the space that it occupies: {value} B", code="path.sparse"
)
#: About captured files that stand for a document, and about links. Their codes begin with "standin".
POINTER_FILE = LazyMessage.define("stands for a document: the suffix is .{value}", code="standin.pointer-file")
_KNOWN_POINTER_FILE = LazyMessage("stands for a document: {purpose} ({program}), suffix .{value}")
EMPTY_DOCUMENT = LazyMessage.define(
    "stands for a document: it has 0 bytes, as an online-only or broken file has", code="standin.empty"
)
OUTSIDE_LINK = LazyMessage.define(
    "stands for a document: it is a link to {value}, outside of the submission folder", code="standin.link"
)
#: Codes of files that the administrator's size limits keep out of the archive.
LIMIT_CODES = frozenset({TOO_LARGE.code, OVER_QUOTA.code})
#: Codes of files that cannot be read or stored, although their folder can be read.
UNREADABLE_FILE_CODES = frozenset(
    {UNREADABLE_FILE.code, REFUSED_FILE.code, UNKNOWN_LENGTH.code, COPY_REFUSED.code}
)
#: Codes of files that cannot be read or stored for a cause that may pass at any time, without an event.
PASSING_CODES = frozenset({REFUSED_FILE.code, UNKNOWN_LENGTH.code})
#: Type of file, as ``stat.S_IFMT`` returns it -> the reason.
SPECIAL_FILES: Mapping[int, LazyMessage] = {
    stat.S_IFLNK: LazyMessage.define("is a symbolic link, which is not followed", code="path.symbolic-link"),
    stat.S_IFIFO: LazyMessage.define("is a FIFO, not a file", code="path.fifo"),
    stat.S_IFSOCK: LazyMessage.define("is a socket, not a file", code="path.socket"),
    stat.S_IFBLK: LazyMessage.define("is a block device, not a file", code="path.block-device"),
    stat.S_IFCHR: LazyMessage.define("is a character device, not a file", code="path.character-device"),
}
LINK_CODE = SPECIAL_FILES[stat.S_IFLNK].code
SETTLING = LazyMessage.define("waits to settle ({value} s without a change)", code="path.settling")
STILL_CHANGING = LazyMessage.define(
    "still changes while being read (attempts: {value})", code="path.still-changing"
)
HELD_OPEN = LazyMessage.define("is still open for writing (attempts: {value})", code="path.held-open")
FAILED = LazyMessage.define("could not be captured yet (attempts: {value})", code="path.failed")
BUSY = LazyMessage.define(
    "waits because another process has locked the archive (attempts: {value})", code="path.busy"
)
GATHERING = LazyMessage.define(
    "is combined with other changes into one version every {value} min", code="path.gathering"
)

#: Code -> the reason with this code.
REASONS: Mapping[str, LazyMessage] = {
    reason.code: reason
    for reason in (
        *(
            IGNORED,
            NO_LONGER_CAPTURED,
            UNREADABLE_FOLDER,
            LOCKED_FOLDER,
            NOT_MOUNTED_FOLDER,
            UNREADABLE_ENTRY,
            UNREADABLE_FILE,
            REFUSED_FILE,
            UNKNOWN_LENGTH,
            COPY_REFUSED,
            OWN,
            OWN_LOG,
            TOO_DEEP,
            TOO_LONG,
            *(POINTER_FILE, EMPTY_DOCUMENT, OUTSIDE_LINK, TOO_LARGE, OVER_QUOTA, SPARSE, *SPECIAL_FILES.values()),
        ),
        *(SETTLING, STILL_CHANGING, HELD_OPEN, FAILED, BUSY, GATHERING),
    )
}

#: Sentence that an earlier release left in ``state.db`` -> code of the reason; these sentences never change.
_FORMER_SENTENCES: Mapping[str, str] = {
    "matches the ignore pattern {value}": "path.ignored",
    "the folder cannot be read: {value}": "path.unreadable-folder",
    "the file cannot be read: {value}": "path.unreadable-file",
    "is part of the archive itself, reached by another path": "path.own",
    "lies more than {value} folders deep; nothing in it is archived": "path.too-deep",
    "has a path of more than {value} bytes; nothing in it is archived": "path.too-long",
    "is a symbolic link, which is not followed": "path.symbolic-link",
    "is a FIFO, not a file": "path.fifo",
    "is a socket, not a file": "path.socket",
    "is a block device, not a file": "path.block-device",
    "is a character device, not a file": "path.character-device",
    "waits until it has not changed for {value} s": "path.settling",
    "changes while it is read; tried {value} times": "path.still-changing",
    "is still open for writing; tried {value} times": "path.held-open",
    "could not be archived yet; tried {value} times": "path.failed",
    "waits for another process that writes to the archive; tried {value} times": "path.busy",
    "is gathered with other changes into one version every {value} minutes": "path.gathering",
}


def reason_code(stored_reason: str) -> str:
    """Return the code of a reason in ``state.db``, which may hold an earlier release's sentence instead."""
    return _FORMER_SENTENCES.get(stored_reason, stored_reason)


def reason_message(code: str, value: str) -> LazyMessage:
    """Return the sentence for the reason ``code``; ``value`` replaces the field ``{value}``, if present.

    For an unknown code, which a newer release has stored, the sentence is "CODE: VALUE".
    """
    reason = REASONS.get(code)
    if code == IGNORED.code and (litter := LITTER_BY_PATTERN.get(value)):
        return _IGNORED_LITTER.with_fields(value=value, purpose=litter.purpose, program=litter.program)
    if code == POINTER_FILE.code and (pointer := POINTER_FILES_BY_SUFFIX.get(value.encode())):
        return _KNOWN_POINTER_FILE.with_fields(value=value, purpose=pointer.purpose, program=pointer.program)
    return (
        LazyMessage("{code}: {value}", code=code, value=value)
        if reason is None
        else reason.with_fields(value=value)
    )
