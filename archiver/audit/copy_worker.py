"""Copy and hash content for a package: the worker process of :mod:`archiver.audit.copy_pool`."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from errno import EIO
from io import FileIO
from operator import index
from typing import Any, NamedTuple

from archiver.store.content.copier import LARGE_FILE_BYTES, Copier
from archiver.store.fsync import begin_write_out
from archiver.workers import expect_text, serve

#: Chunks that are read ahead of the disk's writing. With more, the copies take processor time from the report,
#: which the parent process renders at the same time.
_QUEUED_CHUNKS = 8


class CopyPaths(NamedTuple):
    """The paths of one copy."""

    source: str
    target: str  # a new file; missing folders are created


class CopiedFile(NamedTuple):
    """A finished copy."""

    size: int
    digests: dict[str, str]  # algorithm -> hex digest of the bytes written


class CopyFailure(NamedTuple):
    """The error of a failed copy."""

    errno: int
    reason: str  # the system's description of the error
    path: str  # the source or the target, whichever caused the error


def copy_files(
    path_pairs: Iterable[CopyPaths], algorithms: Sequence[str], copier: Copier
) -> list[CopiedFile | CopyFailure]:
    """Copy each source to its target, and return the outcomes in the same order.

    ``algorithms`` are names of :mod:`hashlib`.  Never raises OSError: the outcome is a CopyFailure if a file
    cannot be read or written, or if the target exists already.  All other files are still copied.
    """
    outcomes: list[CopiedFile | CopyFailure] = []
    created_folders: set[str] = set()
    with ExitStack() as open_targets:
        for source_path, target_path in path_pairs:
            try:
                target_folder = os.path.dirname(target_path)
                if target_folder not in created_folders:
                    os.makedirs(target_folder, exist_ok=True)
                    created_folders.add(target_folder)
                target_file = open_targets.enter_context(open(target_path, "xb", buffering=0))
                outcomes.append(_copy_file(source_path, target_file, algorithms, copier))
            except OSError as error:
                outcomes.append(_build_failure(error, source_path))
        try:
            copier.wait()
        except OSError as error:
            # The error does not show which file could not be written. The caller gives up after any failure, so
            # the failure is stored as the outcome of the last file.
            outcomes[-1] = _build_failure(error, target_path)
    return outcomes


def _copy_file(source_path: str, target_file: FileIO, algorithms: Sequence[str], copier: Copier) -> CopiedFile:
    """Copy the file at ``source_path`` to ``target_file``, and return the copied size and the digests.

    ``copier`` may still write chunks of a large file afterwards, so the caller keeps ``target_file`` open until
    ``copier.wait`` has returned.

    Raises OSError if the source cannot be read or the target cannot be written.
    """
    running_digests = {algorithm: hashlib.new(algorithm) for algorithm in algorithms}
    with open(source_path, "rb", buffering=0) as source_file:
        expected_size = os.fstat(source_file.fileno()).st_size
        copied_size = copier.copy(
            source_file.readinto, target_file.fileno(), expected_size, list(running_digests.values())
        )
    if expected_size < LARGE_FILE_BYTES:
        # All chunks were given to the kernel, so the disk can begin to store them while other files are copied.
        begin_write_out(target_file.fileno())
    hex_digests = {algorithm: digest.hexdigest() for algorithm, digest in running_digests.items()}
    return CopiedFile(copied_size, hex_digests)


def _build_failure(error: OSError, default_path: str) -> CopyFailure:
    """Build the failure for ``error``, with ``default_path`` if the error names no path."""
    return CopyFailure(error.errno or EIO, error.strerror or str(error), str(error.filename or default_path))


def encode_outcome(outcome: CopiedFile | CopyFailure) -> list[object]:
    """Return an outcome as a list for JSON: True for a copied file or False for a failure, then its fields."""
    return [isinstance(outcome, CopiedFile), *outcome]


def decode_outcome(encoded_outcome: Any) -> CopiedFile | CopyFailure:
    """Return the outcome that :func:`encode_outcome` encoded.

    Raises TypeError, ValueError or AttributeError if ``encoded_outcome`` is not an outcome.
    """
    # index() and expect_text() raise TypeError for a value of another type.
    is_copied, *outcome_fields = encoded_outcome
    if is_copied:
        size, digests = outcome_fields
        return CopiedFile(index(size), {algorithm: expect_text(digest) for algorithm, digest in digests.items()})
    error_number, reason, failed_path = outcome_fields
    return CopyFailure(index(error_number), expect_text(reason), expect_text(failed_path))


def main() -> None:
    """Copy batches until the parent closes the socket."""
    copier = Copier(_QUEUED_CHUNKS)

    def copy_batch(request: tuple[list[list[str]], list[str]]) -> list[list[object]]:
        """Copy the files of a request (pairs of source and target, and the algorithms); return the outcomes."""
        path_pairs, algorithms = request
        outcomes = copy_files((CopyPaths(source, target) for source, target in path_pairs), algorithms, copier)
        return [encode_outcome(outcome) for outcome in outcomes]

    serve(copy_batch)


if __name__ == "__main__":
    main()
