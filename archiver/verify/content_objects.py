"""Checking content objects: present, undamaged, and protected against change by mode and owner."""

from __future__ import annotations

import hashlib
import os
import random
import re
import stat
import threading
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from archiver.errors import LazyMessage
from archiver.verify.findings import Finding, VerifyReport

_OBJECT_NAME = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{2})/(\1\2[0-9a-f]{60})")
#: Bits of a mode that a content object may have. A mask may take rights away: 0440 is stricter, not weaker.
_ALLOWED_MODE = 0o444
#: Bytes that are hashed at once, in a buffer of each thread.
_CHUNK_BYTES = 1 << 20

#: Called with the bytes that were hashed so far, and the bytes to hash in all.
Progress = Callable[[int, int], None]
_WRONG_MODE = LazyMessage.define(
    "mode {mode}, {count} names, owner {uid}", singular="mode {mode}, {count} name, owner {uid}"
)


@dataclass(frozen=True, slots=True)
class _ContentObject:
    sha256: str
    path: str
    size: int


def check_content(
    lfs_folder: Path,
    expected_sizes: Mapping[str, int],
    destroyed: Container[str],
    percent: float,
    report: VerifyReport,
    progress: Progress,
) -> set[str]:
    """Check every file below ``lfs_folder``, and hash ``percent`` of the objects again.

    ``expected_sizes`` has the size of each object that the journal names, by SHA-256. Objects in ``destroyed``
    were disposed of, and may be missing.

    Returns the SHA-256 of the objects that are present, damaged ones included.
    """
    present: set[str] = set()
    selected_objects: list[_ContentObject] = []
    owner_uid = os.stat(lfs_folder).st_uid
    for path in _files_below(os.fspath(lfs_folder)):
        name = path[len(os.fspath(lfs_folder)) + 1 :]
        match = _OBJECT_NAME.fullmatch(name)
        if match is None:
            report.add_finding("A053", f"archive.git/lfs/{name}")
            continue
        sha256 = match[3]
        present.add(sha256)
        report.unreferenced_objects += sha256 not in expected_sizes
        size = _check_file_status(sha256, path, expected_sizes.get(sha256), owner_uid, report)
        if size is not None and (percent >= 100 or random.random() * 100 < percent):
            selected_objects.append(_ContentObject(sha256, path, size))
    for sha256 in sorted(expected_sizes.keys() - present):
        if sha256 not in destroyed:
            report.add_finding("A050", sha256)
    _hash_all(selected_objects, report, progress)
    return present


def _files_below(folder: str) -> Iterator[str]:
    # Strings: pathlib would take as long as hashing a gigabyte.
    for parent, folder_names, file_names in os.walk(folder):
        folder_names.sort()
        for file_name in sorted(file_names):
            yield f"{parent}/{file_name}"


def _check_file_status(
    sha256: str, path: str, expected_size: int | None, owner_uid: int, report: VerifyReport
) -> int | None:
    """Check type, mode, owner, link count and size of an object.

    Returns the size, None if hashing could only repeat the finding.
    """
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        report.add_finding("A053", sha256, LazyMessage("it is not a plain file"))
        return None
    mode = stat.S_IMODE(status.st_mode)
    if mode & ~_ALLOWED_MODE or status.st_nlink != 1 or status.st_uid != owner_uid:
        detail = _WRONG_MODE.with_fields(mode=f"{mode:04o}", count=status.st_nlink, uid=status.st_uid)
        report.add_finding("A052", sha256, detail)
    if expected_size is not None and status.st_size != expected_size:
        detail = LazyMessage("{size} bytes instead of {expected}", size=status.st_size, expected=expected_size)
        report.add_finding("A051", sha256, detail)
        return None
    return status.st_size


def _hash_all(objects: Sequence[_ContentObject], report: VerifyReport, progress: Progress) -> None:
    """Hash the objects on a thread per processor, since hashing releases the interpreter's lock."""
    total_bytes, hashed_bytes = sum(content.size for content in objects), 0
    buffers = threading.local()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = pool.map(lambda content: _check_hash(content, buffers), objects)
        for content, finding in zip(objects, results, strict=True):
            report.hashed_objects += 1
            report.hashed_bytes += content.size
            report.findings += [finding] if finding else []
            hashed_bytes += content.size
            progress(hashed_bytes, total_bytes)


def _check_hash(content: _ContentObject, buffers: threading.local) -> Finding | None:
    """Hash an object, and return a finding if digest and name differ.

    ``buffers`` keeps the buffer of each thread: a new one per object would take longer than hashing small files.
    """
    if not hasattr(buffers, "chunk"):
        buffers.chunk = memoryview(bytearray(_CHUNK_BYTES))
    digest, size = hashlib.sha256(), 0
    try:
        with open(content.path, "rb", buffering=0) as stream:
            while byte_count := stream.readinto(buffers.chunk):
                digest.update(buffers.chunk[:byte_count])
                size += byte_count
    except OSError as error:
        detail = LazyMessage("it cannot be read: {reason}", reason=error.strerror or "")
        return Finding("A051", content.sha256, detail)
    if digest.hexdigest() != content.sha256:
        detail = LazyMessage("{size} bytes with SHA-256 {sha256}", size=size, sha256=digest.hexdigest())
        return Finding("A051", content.sha256, detail)
    return None
