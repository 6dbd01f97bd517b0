"""Commands of another user, who may have no way to the checkout: a clone in /root lies below a folder of mode 0700.

No folder's mode is changed for that.  Such a command gets a view of its own, in which a folder that lets nobody
through is covered by one that does, with nothing in it but what the command needs.  The view ends with the command.
"""

from __future__ import annotations

import os
import shlex
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
NOBODYS_GROUP = 65534

#: What a command of this environment reads: the program, the environment, the Python that it was made from.
NEEDED = (CHECKOUT, Path(sys.prefix), Path(sys.base_prefix))


def become_user(uid: int, gid: int = NOBODYS_GROUP, *, needed: Iterable[Path] = NEEDED) -> list[str]:
    """Return the words before a command that ``uid`` is to run, with ``gid`` as the only group; for root."""
    who = ["setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups"]
    lines = [line for closed, paths in _find_closed(needed).items() for line in _uncover(closed, paths)]
    if not lines:
        return who
    # The working folder lies behind the cover until it is entered anew.
    return ["unshare", "--mount", "sh", "-ec", "\n".join([*lines, 'cd "$PWD"', 'exec "$@"']), "sh", *who]


def is_open(folder: Path) -> bool:
    """Return True if everybody may get as far as the entries of ``folder``.  Raises OSError where it is not there."""
    return all(_lets_through(each) for each in (folder, *folder.parents))


def _lets_through(folder: Path) -> bool:
    return bool(folder.stat().st_mode & stat.S_IXOTH)


def _find_closed(needed: Iterable[Path]) -> dict[Path, list[Path]]:
    """Return the topmost folders that stop others on their way, each with what is needed below it."""
    found: dict[Path, list[Path]] = {}
    for path in sorted({Path(os.path.realpath(each)) for each in needed}):
        closed = next((each for each in reversed(path.parents) if not _lets_through(each)), None)
        # What lies in another needed folder comes with it.
        if closed and not any(path.is_relative_to(other) for other in found.get(closed, [])):
            found.setdefault(closed, []).append(path)
    return found


def _uncover(closed: Path, needed: list[Path]) -> list[str]:
    """Return the lines for a shell that cover ``closed`` by a folder with only ``needed`` in it."""
    # Made in a place of which nothing is needed, and moved: once covered, there is no way to what lies behind.
    place = next(
        each for each in ("/mnt", "/media", "/srv") if not any(path.is_relative_to(each) for path in needed)
    )
    lines = [f"mount -t tmpfs -o mode=755 tmpfs {place}"]
    for path in needed:
        point = shlex.quote(f"{place}/{path.relative_to(closed)}")
        lines += [f"(umask 022; mkdir -p {point})", f"mount --rbind {shlex.quote(os.fspath(path))} {point}"]
    return [*lines, f"mount --move {place} {shlex.quote(os.fspath(closed))}"]
