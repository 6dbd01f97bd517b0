"""The error for an archive's disk that cannot be written."""

from __future__ import annotations

import os

from archiver.errors import StorageError
from archiver.store.system_limits import find_limit


def disk_write_error(path: str | os.PathLike[str], error: OSError) -> StorageError:
    """Return the StorageError to raise if ``path``, a folder of the archive, could not be written."""
    return find_limit(error) or StorageError(
        "Cannot write to the archive disk at {path} ({reason}). No archived data was lost. Free up space or "
        "repair the disk; capture then resumes automatically.",
        path=path,
        reason=error.strerror,
    )
