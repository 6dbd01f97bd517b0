"""Check that content objects are present, undamaged, and protected against changes by their mode and owner."""

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
from archiver.verify.findings import WRONG_SIZE, Finding, VerifyReport

#: Path of an object below the folder ``lfs``. Its name is its SHA-256; the two folders repeat the first digits.
_OBJECT_PATH = re.compile(r"objects/([0-9a-f]{2})/([0-9a-f]{2})/(?P<sha256>\1\2[0-9a-f]{60})")
#: Mode bits that a content object may have. It may have fewer: a mode of 0440 is stricter, not weaker.
_ALLOWED_MODE = 0o444
#: Bytes that are read and hashed at once. Each thread has a buffer of this size.
_CHUNK_BYTES = 1 << 20
#: A task of a hashing thread ends with the object that reaches one of these limits.
_BATCH_OBJECTS, _BATCH_BYTES = 64, 8 << 20

#: Called with the number of bytes hashed so far, and the total number of bytes to hash.
Progress = Callable[[int, int], None]
_WRONG_MODE = LazyMessage.define(
    "mode {mode}, {count} names, owner {uid}", singular="mode {mode}, {count} name, owner {uid}"
)
_WRONG_CONTENT = LazyMessage.define(
    "{size} bytes with SHA-256 {sha256}", singular="{size} byte with SHA-256 {sha256}", count_field="size"
)


@dataclass(frozen=True, slots=True)
class _SelectedObject:
    """A content object that is going to be hashed."""

    sha256: str  # the expected digest: the name of the file
    path: str
    size: int  # bytes


def check_content_objects(
    lfs_folder: Path,
    expected_sizes: Mapping[str, int],
    destroyed_content: Container[str],
    sample_percent: float,
    report: VerifyReport,
    progress: Progress,
) -> set[str]:
    """Check every file below ``lfs_folder``, and hash a random sample of the objects again.

    ``expected_sizes`` maps the SHA-256 of each object that the journal names to its size in bytes. The objects in
    ``destroyed_content`` (SHA-256) were disposed of and may be missing. Each object is hashed with a probability
    of ``sample_percent``; 100 hashes every object. ``progress`` is called after each hashed object.

    Reports files that are not content objects (A053), missing objects (A050), altered objects (A051), and objects
    that can be changed through their mode, their owner or a second name (A052).

    Returns the SHA-256 of the objects that are present, damaged ones included. Raises OSError if ``lfs_folder`` is
    missing.
    """
    present_sha256s: set[str] = set()
    selected_objects: list[_SelectedObject] = []
    owner_uid = os.stat(lfs_folder).st_uid
    for path in _list_files_below(os.fspath(lfs_folder)):
        relative_path = path[len(os.fspath(lfs_folder)) + 1 :]
        path_match = _OBJECT_PATH.fullmatch(relative_path)
        if path_match is None:
            report.add_finding("A053", f"archive.git/lfs/{relative_path}")
            continue
        sha256 = path_match["sha256"]
        present_sha256s.add(sha256)
        report.unreferenced_objects += sha256 not in expected_sizes
        size = _check_file_status(sha256, path, expected_sizes.get(sha256), owner_uid, report)
        if size is not None and (sample_percent >= 100 or random.random() * 100 < sample_percent):
            selected_objects.append(_SelectedObject(sha256, path, size))
    for sha256 in sorted(expected_sizes.keys() - present_sha256s):
        if sha256 not in destroyed_content:
            report.add_finding("A050", sha256)
    _hash_selected_objects(selected_objects, report, progress)
    return present_sha256s


def _list_files_below(folder: str) -> Iterator[str]:
    """Yield the paths of all files below ``folder``, sorted by name in each folder."""
    # Strings, not Path objects: creating a Path for every file would take as long as hashing a gigabyte.
    for parent, folder_names, file_names in os.walk(folder):
        folder_names.sort()
        for file_name in sorted(file_names):
            yield f"{parent}/{file_name}"


def _check_file_status(
    sha256: str, path: str, expected_size: int | None, owner_uid: int, report: VerifyReport
) -> int | None:
    """Check type, mode, owner, number of hard links, and size of the object at ``path``, and report the faults.

    ``expected_size`` is None for an object that the journal does not name. Returns the size in bytes; None if the
    object need not be hashed, because a finding already reports wrong bytes. Raises OSError if the object is
    missing.
    """
    file_status = os.lstat(path)
    if not stat.S_ISREG(file_status.st_mode):
        report.add_finding("A053", sha256, LazyMessage("it is not a regular file"))
        return None
    mode_bits, link_count, uid = stat.S_IMODE(file_status.st_mode), file_status.st_nlink, file_status.st_uid
    if mode_bits & ~_ALLOWED_MODE or link_count != 1 or uid != owner_uid:
        detail = _WRONG_MODE.with_fields(mode=f"{mode_bits:04o}", count=link_count, uid=uid)
        report.add_finding("A052", sha256, detail)
    if expected_size is not None and file_status.st_size != expected_size:
        detail = WRONG_SIZE.with_fields(size=file_status.st_size, expected=expected_size)
        report.add_finding("A051", sha256, detail)
        return None
    return file_status.st_size


def _hash_selected_objects(objects: Sequence[_SelectedObject], report: VerifyReport, progress: Progress) -> None:
    """Hash the objects, and report the damaged ones in the order of ``objects``.

    Uses one thread per processor. Threads are enough, because hashing releases the interpreter's lock.
    """
    total_bytes, hashed_bytes = sum(selected.size for selected in objects), 0
    buffers = threading.local()
    batches = list(_divide_into_batches(objects))
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        findings_of_batches = pool.map(lambda batch: _check_hashes(batch, buffers), batches)
        for batch, findings in zip(batches, findings_of_batches, strict=True):
            batch_bytes = sum(selected.size for selected in batch)
            report.hashed_objects += len(batch)
            report.hashed_bytes += batch_bytes
            report.findings += findings
            hashed_bytes += batch_bytes
            progress(hashed_bytes, total_bytes)


def _divide_into_batches(objects: Sequence[_SelectedObject]) -> Iterator[list[_SelectedObject]]:
    """Yield lists of ``objects``, one for each task: starting a task costs as much as hashing a small object."""
    batch: list[_SelectedObject] = []
    batch_bytes = 0
    for selected in objects:
        batch.append(selected)
        batch_bytes += selected.size
        if len(batch) == _BATCH_OBJECTS or batch_bytes >= _BATCH_BYTES:
            yield batch
            batch, batch_bytes = [], 0
    if batch:
        yield batch


def _check_hashes(objects: Sequence[_SelectedObject], buffers: threading.local) -> list[Finding]:
    """Hash ``objects``, and return a finding for each object that is damaged or unreadable."""
    findings = (_check_hash(selected, buffers) for selected in objects)
    return [finding for finding in findings if finding is not None]


def _check_hash(selected: _SelectedObject, buffers: threading.local) -> Finding | None:
    """Hash an object; return a finding if the digest is wrong or the object unreadable, otherwise None.

    ``buffers`` keeps one buffer per thread, created on the thread's first call. Allocating a buffer for each
    object would take longer than hashing small objects.
    """
    if not hasattr(buffers, "chunk"):
        buffers.chunk = memoryview(bytearray(_CHUNK_BYTES))
    digest, actual_size = hashlib.sha256(), 0
    try:
        with open(selected.path, "rb", buffering=0) as stream:
            while byte_count := stream.readinto(buffers.chunk):
                digest.update(buffers.chunk[:byte_count])
                actual_size += byte_count
    except OSError as error:
        detail = LazyMessage("it cannot be read: {reason}", reason=error.strerror or "")
        return Finding("A051", selected.sha256, detail)
    if digest.hexdigest() != selected.sha256:
        detail = _WRONG_CONTENT.with_fields(size=actual_size, sha256=digest.hexdigest())
        return Finding("A051", selected.sha256, detail)
    return None
