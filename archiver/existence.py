"""What lies at a path, asked so that "nothing" and "may not be looked at" stay two answers.

From Python 3.14 on, ``Path.exists``, ``is_dir`` and ``is_file`` answer False to both, as ``os.path`` does in
every version.  A folder that is closed to the caller would be taken for one without an archive, and the
caller be told to make one.
"""

from __future__ import annotations

import errno
import os
import stat

_Path = str | os.PathLike[str]

#: There is nothing at the path.  ELOOP: it ends in a link that leads back to itself.
_NOTHING = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def is_there(path: _Path, *, follow_links: bool = True) -> bool:
    """Return True if anything lies at ``path``, a link counted as what it leads to.

    Raises OSError where that cannot be told: no permission, a disk that fails.
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
        if error.errno in _NOTHING:
            return None
        raise
