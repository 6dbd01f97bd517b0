"""Test what exists at a path, and raise an error if the answer cannot be known.

``os.path`` returns False both if nothing exists and if the caller has no permission to look. From Python 3.14 on,
``Path.exists``, ``is_dir`` and ``is_file`` do the same. With these functions, the program would take a folder that
the caller may not enter for a folder without an archive, and advise the caller to create an archive.
"""

from __future__ import annotations

import errno
import os
import stat

_Path = str | os.PathLike[str]

#: Errors that mean that nothing exists at a path. ELOOP means that a symbolic link leads back to itself.
_ABSENCE_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def is_there(path: _Path, *, follow_links: bool = True) -> bool:
    """Return True if anything exists at ``path``.

    With ``follow_links`` a symbolic link counts as its target, so a broken link does not exist.

    Raises OSError if the answer cannot be known, for example without permission or on a failing disk.
    """
    return _read_mode(path, follow_links) is not None


def is_folder(path: _Path, *, follow_links: bool = True) -> bool:
    """Return True if there is a folder at ``path`` or, with ``follow_links``, a link to a folder.

    Raises OSError if the answer cannot be known, for example without permission or on a failing disk.
    """
    file_mode = _read_mode(path, follow_links)
    return file_mode is not None and stat.S_ISDIR(file_mode)


def is_plain_file(path: _Path) -> bool:
    """Return True if ``path`` is a regular file, or a link to a regular file.

    Raises OSError if the answer cannot be known, for example without permission or on a failing disk.
    """
    file_mode = _read_mode(path, follow_links=True)
    return file_mode is not None and stat.S_ISREG(file_mode)


def _read_mode(path: _Path, follow_links: bool) -> int | None:
    """Return the ``st_mode`` of ``path``; None if nothing exists there. Raises OSError if that cannot be known."""
    try:
        return os.stat(path, follow_symlinks=follow_links).st_mode
    except OSError as error:
        if error.errno in _ABSENCE_ERRORS:
            return None
        raise
