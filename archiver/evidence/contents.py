"""Checking content objects: present, whole, and beyond anybody's casual reach."""

from __future__ import annotations

import hashlib
import os
import random
import re
import stat
from collections.abc import Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from archiver.evidence.findings import Finding, Report

_WORKERS = 2
_OBJECT = re.compile(r"([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})")
_CHUNK = 1 << 20


def check_contents(
    lfs: Path, referenced: Mapping[str, int], gone: Container[str], percent: float, report: Report
) -> set[str]:
    """Look at every file below ``lfs``, and hash ``percent`` of the objects again; returns what is there.

    ``gone``: what may be missing, because it was disposed of.
    """
    present: set[str] = set()
    chosen: list[tuple[str, Path]] = []
    for file in _files(lfs):
        name = file.relative_to(lfs).as_posix()
        match = _OBJECT.fullmatch(name.removeprefix("objects/"))
        if match is None or not name.startswith("objects/"):
            report.add("A053", f"archive.git/lfs/{name}")
            continue
        present.add(match[3])
        report.unreferenced += match[3] not in referenced
        if percent >= 100 or random.random() * 100 < percent:
            chosen.append((match[3], file))
    for sha256 in sorted(referenced.keys() - present):
        if sha256 not in gone:
            report.add("A050", sha256)
    _hash_all(chosen, referenced, report)
    return present


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield Path(parent) / name


def _hash_all(chosen: list[tuple[str, Path]], referenced: Mapping[str, int], report: Report) -> None:
    owner = os.stat(chosen[0][1].parents[3]).st_uid if chosen else 0
    with ThreadPoolExecutor(_WORKERS) as pool:
        results = pool.map(lambda pair: _check(pair[0], pair[1], referenced, owner), chosen)
        for size, findings in results:
            report.objects += 1
            report.bytes += size
            report.findings += findings


def _check(sha256: str, file: Path, referenced: Mapping[str, int], owner: int) -> tuple[int, list[Finding]]:
    findings = []
    digest = hashlib.sha256()
    size = 0
    try:
        status = os.lstat(file)
        if not stat.S_ISREG(status.st_mode):
            return 0, [Finding("A053", sha256, "it is not a plain file")]
        buffer = memoryview(bytearray(_CHUNK))
        with open(file, "rb", buffering=0) as stream:
            while count := stream.readinto(buffer):
                digest.update(buffer[:count])
                size += count
    except OSError as error:
        return size, [Finding("A051", sha256, f"it cannot be read: {error.strerror}")]
    if digest.hexdigest() != sha256:
        findings.append(Finding("A051", sha256, f"{size} bytes with SHA-256 {digest.hexdigest()}"))
    elif size != referenced.get(sha256, size):
        findings.append(Finding("A051", sha256, f"{size} bytes instead of {referenced[sha256]}"))
    mode = stat.S_IMODE(status.st_mode)
    if mode != 0o444 or status.st_nlink != 1 or status.st_uid != owner:
        seen = f"mode {mode:04o}, {status.st_nlink} names, owner {status.st_uid}"
        findings.append(Finding("A052", sha256, seen))
    return size, findings
