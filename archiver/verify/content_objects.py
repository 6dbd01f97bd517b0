"""Checking content objects: present, whole, and beyond anybody's casual reach."""

from __future__ import annotations

import hashlib
import os
import random
import re
import stat
import threading
from collections.abc import Callable, Container, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from archiver.verify.findings import Finding, VerifyReport

_OBJECT = re.compile(r"([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})")
_CHUNK = 1 << 20

#: Called with the bytes that were hashed, and those there are to hash.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Object:
    sha256: str
    file: str
    size: int


def check_contents(
    lfs: Path,
    referenced: Mapping[str, int],
    gone: Container[str],
    percent: float,
    report: VerifyReport,
    progress: Progress,
) -> set[str]:
    """Look at every file below ``lfs``, and hash ``percent`` of the objects again; returns what is there.

    ``gone``: what may be missing, because it was disposed of.
    """
    present: set[str] = set()
    chosen: list[_Object] = []
    owner = os.stat(lfs).st_uid
    for file in _files(os.fspath(lfs)):
        name = file[len(os.fspath(lfs)) + 1 :]
        match = _OBJECT.fullmatch(name.removeprefix("objects/"))
        if match is None or not name.startswith("objects/"):
            report.add("A053", f"archive.git/lfs/{name}")
            continue
        present.add(match[3])
        report.unreferenced += match[3] not in referenced
        size = _look(match[3], file, referenced.get(match[3]), owner, report)
        if size is not None and (percent >= 100 or random.random() * 100 < percent):
            chosen.append(_Object(match[3], file, size))
    for sha256 in sorted(referenced.keys() - present):
        if sha256 not in gone:
            report.add("A050", sha256)
    _hash_all(chosen, report, progress)
    return present


def _files(folder: str) -> Iterator[str]:
    # Strings: pathlib would take as long as hashing a gigabyte.
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            yield f"{parent}/{name}"


def _look(sha256: str, file: str, wanted: int | None, owner: int, report: VerifyReport) -> int | None:
    """What the file system says of an object; its size, None where there is nothing to hash."""
    status = os.lstat(file)
    if not stat.S_ISREG(status.st_mode):
        report.add("A053", sha256, "it is not a plain file")
        return None
    mode = stat.S_IMODE(status.st_mode)
    # A mask may take rights away: 0440 is stricter, not weaker.
    if mode & ~0o444 or status.st_nlink != 1 or status.st_uid != owner:
        report.add("A052", sha256, f"mode {mode:04o}, {status.st_nlink} names, owner {status.st_uid}")
    if wanted is not None and status.st_size != wanted:
        report.add("A051", sha256, f"{status.st_size} bytes instead of {wanted}")
        return None
    return status.st_size


def _hash_all(chosen: list[_Object], report: VerifyReport, progress: Progress) -> None:
    """On every processor: hashing lets go of the interpreter."""
    total, done = sum(each.size for each in chosen), 0
    buffers = threading.local()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for each, finding in zip(chosen, pool.map(lambda each: _hash(each, buffers), chosen), strict=True):
            report.objects += 1
            report.bytes += each.size
            report.findings += [finding] if finding else []
            done += each.size
            progress(done, total)


def _hash(each: _Object, buffers: threading.local) -> Finding | None:
    if not hasattr(buffers, "view"):
        buffers.view = memoryview(bytearray(_CHUNK))
    digest, size = hashlib.sha256(), 0
    try:
        with open(each.file, "rb", buffering=0) as stream:
            while count := stream.readinto(buffers.view):
                digest.update(buffers.view[:count])
                size += count
    except OSError as error:
        return Finding("A051", each.sha256, f"it cannot be read: {error.strerror}")
    if digest.hexdigest() != each.sha256:
        return Finding("A051", each.sha256, f"{size} bytes with SHA-256 {digest.hexdigest()}")
    return None
