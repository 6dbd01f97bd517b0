"""Reading refs from git's files, since git itself skips refs in unreadable files."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.path_existence import is_plain_file
from archiver.verify.findings import VerifyReport, verbatim

_OID = re.compile(rb"[0-9a-f]{40}")
_PACKED_REFS_HEADER = b"# pack-refs with: peeled fully-peeled sorted "
#: More bytes than the file of any ref has.
_LONGEST_REF_FILE = 100


def read_refs(repository_path: Path, report: VerifyReport) -> dict[str, str]:
    """Return every ref with the object id, loose refs before packed ones; report unreadable refs."""
    refs = _read_packed_refs(repository_path, report)
    for folder, _, file_names in os.walk(os.fsencode(repository_path / "refs")):
        for file_name in sorted(file_names):
            ref_path = folder + b"/" + file_name
            if file_name.endswith(b".lock"):
                continue
            ref = os.path.relpath(ref_path, os.fsencode(repository_path)).decode("utf-8", "replace")
            with open(ref_path, "rb") as stream:
                value = stream.read(_LONGEST_REF_FILE)
            if _OID.fullmatch(value[:-1]) and value.endswith(b"\n"):
                refs[ref] = value[:-1].decode("ascii")
            else:
                refs.pop(ref, None)
                report.add_finding("A023", ref)
    return refs


def overridden_packed_refs(repository_path: Path) -> list[tuple[str, str]]:
    """Return ref and object id of packed refs that a loose file overrides: former values of the ref."""
    packed_refs = _read_packed_refs(repository_path, VerifyReport())
    return [(ref, oid) for ref, oid in packed_refs.items() if is_plain_file(repository_path / ref)]


def _read_packed_refs(repository_path: Path, report: VerifyReport) -> dict[str, str]:
    """Return the refs in ``packed-refs``, none without the file; report altered and unreadable lines."""
    refs = {}
    lines = _packed_refs_lines(repository_path)
    if lines and (lines[0] != _PACKED_REFS_HEADER or lines[-1] != b""):
        report.add_finding("A023", "archive.git/packed-refs", LazyMessage("its first or last line was altered"))
    for line in lines[1:-1]:
        oid, _, name = line.partition(b" ")
        is_peeled_line = line.startswith(b"^") and _OID.fullmatch(line[1:])
        if is_peeled_line:
            continue
        if _OID.fullmatch(oid) and name:
            refs[name.decode("utf-8", "replace")] = oid.decode("ascii")
        else:
            report.add_finding("A023", "archive.git/packed-refs", verbatim(line.decode("utf-8", "replace")))
    return refs


def wrong_peeled_lines(repository_path: Path, tag_targets: Mapping[str, str]) -> list[str]:
    """Return peeled lines of ``packed-refs`` with another target than the tag in the line before.

    ``tag_targets`` has the target by the object id of the tag.
    """
    wrong_lines = []
    lines = _packed_refs_lines(repository_path)
    for tag_line, peeled_line in zip(lines, lines[1:], strict=False):
        oid = tag_line[:40].decode("ascii", "replace")
        if peeled_line.startswith(b"^") and tag_targets.get(oid) != peeled_line[1:].decode("ascii", "replace"):
            wrong_lines.append(peeled_line.decode("utf-8", "replace"))
    return wrong_lines


def _packed_refs_lines(repository_path: Path) -> list[bytes]:
    try:
        return (repository_path / "packed-refs").read_bytes().split(b"\n")
    except FileNotFoundError:
        # Nothing was packed yet.
        return []
