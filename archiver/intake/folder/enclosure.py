"""Whether archive and watched folder lie inside one another, by whatever path.

A bind mount or a container volume gives one folder several paths.  Device and inode tell it again, and the
mount table tells from which folder of its filesystem a mount is taken.
"""

from __future__ import annotations

import os
from pathlib import Path

from archiver.errors import ConfigProblem
from archiver.intake.folder import mounts
from archiver.intake.folder.mounts import Mount
from archiver.store.content.own_files import OwnFiles

_Place = tuple[bytes, bytes]


def check_separate(archive: Path, watch: Path, *, is_new: bool = False) -> None:
    """Refuse an archive and a watched folder that are one, or lie inside one another; raises ConfigProblem.

    An archive deeper inside the watched folder is refused only if it ``is_new``: a running service passes
    it over when a scan meets it, and the other filings stay archived.
    """
    inner, outer = (os.path.realpath(os.fsencode(path)) for path in (archive, watch))
    table = mounts.parse(mounts.read_table())
    # A filesystem that may hang is not asked; it cannot be the archive's either.
    asked = outer if mounts.untrusted(outer, table) is None else os.path.dirname(outer)
    own = OwnFiles(inner)
    watched, archived = _identities(asked), _identities(inner)
    is_inside = bool(own.known & watched)
    is_around = asked == outer and not archived.isdisjoint(_identities(outer, with_parents=False))
    of_archive, of_watch = _place(inner, table), _place(outer, table)
    is_inside = is_inside or _is_at_or_below(of_watch, of_archive)
    if is_new:
        # What a scan would meet: the folder itself, and what is mounted in it.
        met = [of_watch, *(_place(each.point, table) for each in table if each.point.startswith(outer + b"/"))]
        is_around = is_around or any(_is_at_or_below(of_archive, place) for place in met)
    if is_inside or is_around:
        raise ConfigProblem(
            "The archive {archive} and the watched folder {watch} are one folder, or lie inside one another, by "
            "another path (a bind mount, a container volume). Nothing was changed. Choose two separate folders.",
            archive=archive,
            watch=watch,
        )


def _identities(path: bytes, *, with_parents: bool = True) -> set[tuple[int, int]]:
    """Device and inode of a folder and of those that it lies in, as far as they can be asked."""
    found = set()
    for each in (path, *(_parents(path) if with_parents else ())):
        try:
            status = os.stat(each)
        except OSError:
            continue
        found.add((status.st_dev, status.st_ino))
    return found


def _parents(path: bytes) -> list[bytes]:
    parents = []
    while path != (path := os.path.dirname(path)):
        parents.append(path)
    return parents


def _place(path: bytes, table: list[Mount]) -> _Place | None:
    """The filesystem (its device number), and the path within it; None where the table does not tell."""
    mount = mounts.mount_of(path, table)
    if not mount.device or mount.is_remote:
        # Two exports of one NFS server have one number, and each calls its root "/".
        return None
    rest = path[len(mount.point.rstrip(b"/")) :]
    return mount.device, (mount.root.rstrip(b"/") + rest).rstrip(b"/")


def _is_at_or_below(place: _Place | None, top: _Place | None) -> bool:
    if place is None or top is None or place[0] != top[0]:
        return False
    return place[1] == top[1] or place[1].startswith(top[1] + b"/")
