"""Look at what a path leads to, keeping "nothing is there" apart from "it may not be looked at".

From Python 3.14 on, ``Path.exists``, ``is_dir`` and ``is_file`` return False for both, as ``os.path`` does in
every version.  A folder that is closed to the caller would be taken for one without an archive, and the caller
told to create one.
"""

from __future__ import annotations

import errno
import os
import stat

_Path = str | os.PathLike[str]

#: Errors that mean that nothing is there; ELOOP is a link that leads back to itself.
_ABSENCE_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def is_there(path: _Path, *, follow_links: bool = True) -> bool:
    """Return True if anything exists at ``path``; a link counts as its target if links are followed.

    Raises OSError if that cannot be told: no permission, a failing disk.
    """
    return _mode(path, follow_links) is not None


def is_folder(path: _Path, *, follow_links: bool = True) -> bool:
    """Return True if a folder lies at ``path``; raises OSError as :func:`is_there`."""
    mode = _mode(path, follow_links)
    return mode is not None and stat.S_ISDIR(mode)


def is_plain_file(path: _Path) -> bool:
    """Return True if a regular file lies at ``path``; raises OSError as :func:`is_there`."""
    mode = _mode(path, follow_links=True)
    return mode is not None and stat.S_ISREG(mode)


def _mode(path: _Path, follow_links: bool) -> int | None:
    try:
        return os.stat(path, follow_symlinks=follow_links).st_mode
    except OSError as error:
        if error.errno in _ABSENCE_ERRORS:
            return None
        raise
