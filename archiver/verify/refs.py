"""Read refs from git's own files, because git silently skips a ref whose file is damaged."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from archiver.errors import LazyMessage
from archiver.path_existence import is_plain_file
from archiver.verify.findings import VerifyReport, untranslated

_OID = re.compile(rb"[0-9a-f]{40}")
#: The first line of ``packed-refs``, as git writes it: the space at the end included.
_PACKED_REFS_HEADER = b"# pack-refs with: peeled fully-peeled sorted "
#: A valid file of a ref has 41 bytes. Reading more than that shows that a file is too long.
_MAX_READ_BYTES = 100
#: Hexadecimal digits of an object id, at the beginning of a line of ``packed-refs``.
_OID_LENGTH = 40


class PackedRef(NamedTuple):
    """A line of ``packed-refs``."""

    ref: str  # the full name, such as refs/tags/f/s/v1
    oid: str


class PeeledTag(NamedTuple):
    """An annotated tag in ``packed-refs``, with the line after it, from which git takes the target of the tag."""

    tag_oid: str  # empty if the line of the tag is damaged
    peeled_line: str  # ``^`` and the object id of the target


def read_refs(repository_path: Path, report: VerifyReport) -> dict[str, str]:
    """Return the object id of every ref, by the full name of the ref.

    A loose ref, in a separate file, overrides the packed ref of the same name. A ref whose file or line is damaged
    is reported as A023. With a damaged file the ref is left out, even if its packed line is sound. Git's lock
    files are ignored.
    """
    # Loose refs first: git packs a ref before it removes the file, so that a ref is always in one of the two.
    loose_refs = _read_loose_refs(repository_path, report)
    refs = _parse_packed_refs(read_packed_lines(repository_path), report)
    for ref, oid in loose_refs.items():
        if oid is None:
            refs.pop(ref, None)
        else:
            refs[ref] = oid
    return refs


def _read_loose_refs(repository_path: Path, report: VerifyReport) -> dict[str, str | None]:
    """Return the object id of every ref with a file, or None for a damaged file, which is reported as A023."""
    loose_refs: dict[str, str | None] = {}
    prefix_length = len(os.fsencode(repository_path)) + 1
    for folder, _, file_names in os.walk(os.fsencode(repository_path / "refs")):
        for file_name in sorted(file_names):
            ref_path = folder + b"/" + file_name
            if file_name.endswith(b".lock"):
                continue
            ref = ref_path[prefix_length:].decode("utf-8", "replace")
            try:
                with open(ref_path, "rb") as stream:
                    ref_line = stream.read(_MAX_READ_BYTES)
            except FileNotFoundError:
                # Git has packed the ref since the folder was listed.
                continue
            if _OID.fullmatch(ref_line[:-1]) and ref_line.endswith(b"\n"):
                loose_refs[ref] = ref_line[:-1].decode("ascii")
            else:
                loose_refs[ref] = None
                report.add_finding("A023", ref)
    return loose_refs


def find_overridden_packed_refs(repository_path: Path, packed_lines: Sequence[bytes]) -> list[PackedRef]:
    """Return the packed refs that a loose ref overrides, with their former values, in the order of the lines.

    ``packed_lines`` are those of :func:`read_packed_lines`. Damaged lines are left out: :func:`read_refs` reports
    them.
    """
    packed_refs = _parse_packed_refs(packed_lines, VerifyReport())
    return [PackedRef(ref, oid) for ref, oid in packed_refs.items() if is_plain_file(repository_path / ref)]


def _parse_packed_refs(packed_lines: Sequence[bytes], report: VerifyReport) -> dict[str, str]:
    """Return the object ids in the lines of ``packed-refs``, by the name of the ref.

    Damaged lines are reported as A023 and left out.
    """
    refs = {}
    if packed_lines and (packed_lines[0] != _PACKED_REFS_HEADER or packed_lines[-1] != b""):
        report.add_finding("A023", "archive.git/packed-refs", LazyMessage("its first or last line was altered"))
    for packed_line in packed_lines[1:-1]:
        oid, _, ref = packed_line.partition(b" ")
        is_peeled_line = packed_line.startswith(b"^") and _OID.fullmatch(packed_line[1:])
        if is_peeled_line:
            continue
        if _OID.fullmatch(oid) and ref:
            refs[ref.decode("utf-8", "replace")] = oid.decode("ascii")
        else:
            detail = untranslated(packed_line.decode("utf-8", "replace"))
            report.add_finding("A023", "archive.git/packed-refs", detail)
    return refs


def list_peeled_tags(packed_lines: Sequence[bytes]) -> list[PeeledTag]:
    """Return the annotated tags in the lines of ``packed-refs``, in the order of the lines."""
    peeled_tags = []
    for tag_line, next_line in itertools.pairwise(packed_lines):
        if next_line.startswith(b"^"):
            tag_oid = tag_line[:_OID_LENGTH]
            tag_oid_text = tag_oid.decode("ascii") if _OID.fullmatch(tag_oid) else ""
            peeled_tags.append(PeeledTag(tag_oid_text, next_line.decode("utf-8", "replace")))
    return peeled_tags


def read_packed_lines(repository_path: Path) -> list[bytes]:
    """Return the lines of ``packed-refs``, without line ends; empty if the file does not exist."""
    try:
        return (repository_path / "packed-refs").read_bytes().split(b"\n")
    except FileNotFoundError:
        # Git creates the file when it first packs refs.
        return []
