"""Reading refs from git's files, because git itself passes over what it cannot read."""

from __future__ import annotations

import os
import re
from pathlib import Path

from archiver.existence import is_plain_file
from archiver.verify.findings import VerifyReport

_OID = re.compile(rb"[0-9a-f]{40}")
_PACKED_HEADER = b"# pack-refs with: peeled fully-peeled sorted "


def read_refs(path: Path, report: VerifyReport) -> dict[str, str]:
    """Every ref of the repository at ``path``; unreadable ones become findings."""
    refs = _packed(path, report)
    for folder, _, files in os.walk(os.fsencode(path / "refs")):
        for name in sorted(files):
            file = folder + b"/" + name
            if name.endswith(b".lock"):
                continue
            ref = os.path.relpath(file, os.fsencode(path)).decode("utf-8", "replace")
            with open(file, "rb") as stream:
                value = stream.read(100)
            if _OID.fullmatch(value[:-1]) and value.endswith(b"\n"):
                refs[ref] = value[:-1].decode("ascii")
            else:
                refs.pop(ref, None)
                report.add("A023", ref)
    return refs


def overridden(path: Path) -> list[tuple[str, str]]:
    """Packed refs whose loose file counts instead: (ref, former value)."""
    packed = _packed(path, VerifyReport())
    return [(ref, oid) for ref, oid in packed.items() if is_plain_file(path / ref)]


def _packed(path: Path, report: VerifyReport) -> dict[str, str]:
    try:
        lines = (path / "packed-refs").read_bytes().split(b"\n")
    except FileNotFoundError:
        return {}
    refs = {}
    if lines[0] != _PACKED_HEADER or lines[-1] != b"":
        report.add("A023", "archive.git/packed-refs", "its first or last line was altered")
    for line in lines[1:-1]:
        oid, _, name = line.partition(b" ")
        if line.startswith(b"^") and _OID.fullmatch(line[1:]):
            continue
        if _OID.fullmatch(oid) and name:
            refs[name.decode("utf-8", "replace")] = oid.decode("ascii")
        else:
            report.add("A023", "archive.git/packed-refs", line.decode("utf-8", "replace"))
    return refs


def peeled_problems(path: Path, targets: dict[str, str]) -> list[str]:
    """Peeled lines of ``packed-refs`` that do not name what their tag points to."""
    try:
        lines = (path / "packed-refs").read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    wrong = []
    for line, after in zip(lines, lines[1:], strict=False):
        oid = line[:40].decode("ascii", "replace")
        if after.startswith(b"^") and targets.get(oid) != after[1:].decode("ascii", "replace"):
            wrong.append(after.decode("utf-8", "replace"))
    return wrong
