"""The lines of ``changes.jsonl``, the attachment of a capture that lists what its version changed.

In format 2 the list begins with a header, digests name their algorithm, and nanoseconds are decimal text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from archiver.model import Change, Op
from archiver.store import names
from archiver.store.events import validation
from archiver.store.events.canonical_json import encode_canonical, encode_text
from archiver.store.events.digests import name_algorithm, parse_sha256

#: The first line of a list in format 2.
HEADER = encode_canonical({"changes": 2})
#: The form of nearly all lines, and the operations of the changes that have this form.
_PLAIN_LINE = '{"digest":"sha256:%s","mtime_ns":"%d","op":"%s","path":%s,"size":%d}\n'
_PLAIN_OPS = (Op.ADD, Op.MODIFY)


def encode_change_lines(changes: Iterable[Change]) -> Iterator[bytes]:
    """Yield the lines of ``changes.jsonl`` in format 2, each with a line feed at the end.

    A line has only the fields that apply to its kind of change and are not empty. :func:`parse_change_lines` reads
    the lines back.
    """
    yield HEADER
    for change in changes:
        if change.op in _PLAIN_OPS and change.sha256 is not None and not change.health:
            # The same bytes as the code below would build, in a third of the time.
            path = encode_text(names.name_as_text(change.path))
            line = _PLAIN_LINE % (change.sha256, change.mtime_ns, change.op.value, path, change.size)
            yield line.encode("utf-8")
            continue
        fields: dict[str, Any] = {"op": change.op.value, "path": names.name_as_text(change.path)}
        if change.sha256 is not None:
            fields |= {"digest": name_algorithm("sha256", change.sha256), "size": change.size}
        if change.op not in (Op.DELETE, Op.RMDIR):
            fields["mtime_ns"] = str(change.mtime_ns)
        if change.source is not None:
            fields["from"] = names.name_as_text(change.source)
        if change.health:
            fields["health"] = change.health
        yield encode_canonical(fields)


def parse_change_lines(lines: Iterable[bytes]) -> Iterator[Change]:
    """Yield the changes in the lines of a ``changes.jsonl`` of either format, with or without line feeds.

    Raises ValueError, KeyError or TypeError if a line is not a change in that format.
    """
    remaining_lines = iter(lines)
    first_line = next(remaining_lines, None)
    if first_line is None:
        return
    # The lines of bytes.splitlines() have lost their line feeds.
    if first_line.rstrip(b"\n") == HEADER.rstrip(b"\n"):
        parse_line = _parse_line_of_format_2
    else:
        parse_line = _parse_line_of_format_1
        yield parse_line(first_line)
    for line in remaining_lines:
        yield parse_line(line)


def _parse_line_of_format_2(line: bytes) -> Change:
    """Return the change in a line of format 2."""
    fields = validation.load_json_object(line)
    old_path, digest = fields.get("from"), fields.get("digest")
    return Change(
        op=Op(fields["op"]),
        path=names.name_from_text(fields["path"]),
        sha256=None if digest is None else parse_sha256(digest),
        size=fields.get("size", 0),
        mtime_ns=int(fields.get("mtime_ns", "0")),
        source=None if old_path is None else names.name_from_text(old_path),
        health=fields.get("health", ""),
    )


def _parse_line_of_format_1(line: bytes) -> Change:
    """Return the change in a line of format 1."""
    fields = validation.load_json_object(line)
    old_path = fields.get("from")
    return Change(
        op=Op(fields["op"]),
        path=names.name_from_text(fields["path"]),
        sha256=fields.get("sha256"),
        size=fields.get("size", 0),
        mtime_ns=fields.get("mtime_ns", 0),
        source=None if old_path is None else names.name_from_text(old_path),
        health=fields.get("health", ""),
    )
