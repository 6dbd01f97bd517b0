"""Read the indexes of packs (gitformat-pack(5), version 2): how many objects a pack has, and which."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import NamedTuple

from archiver.path_existence import is_there

_MAGIC_AND_VERSION = b"\xfftOc\0\0\0\2"
_FAN_OUT_BYTES = 256 * 4
_OID_BYTES = 20


class PackSize(NamedTuple):
    """A pack of a repository."""

    #: Without folder and suffix, such as ``pack-1f0c...``.
    name: str
    objects: int


def list_packs(repository: Path) -> list[PackSize]:
    """Return the packs of a repository whose index can be read, in no order.

    A pack with a ``.keep`` file is left out: somebody wants it to stay as it is.
    """
    folder = repository / "objects" / "pack"
    packs = []
    for path in folder.glob("pack-*.idx"):
        count = _read_object_count(path)
        if count is not None and not is_there(path.with_suffix(".keep")):
            packs.append(PackSize(path.stem, count))
    return packs


def holds_all_objects(repository: Path, pack_name: str, other_name: str) -> bool:
    """Return True if a pack has every object of another one; raises OSError or ValueError."""
    # Both are sorted, and held as one piece of 20 bytes an object: sets of a million objects would take 100 MB.
    held, wanted = _read_sorted_oids(repository, pack_name), _read_sorted_oids(repository, other_name)
    place = 0
    for start in range(0, len(wanted), _OID_BYTES):
        oid = wanted[start : start + _OID_BYTES]
        while place < len(held) and held[place : place + _OID_BYTES] < oid:
            place += _OID_BYTES
        if held[place : place + _OID_BYTES] != oid:
            return False
    return True


def _read_sorted_oids(repository: Path, pack_name: str) -> bytes:
    """Return the ids of the objects in a pack, one after the other; raises OSError or ValueError."""
    with open(repository / "objects" / "pack" / f"{pack_name}.idx", "rb") as index_file:
        count = _parse_object_count(index_file.read(len(_MAGIC_AND_VERSION) + _FAN_OUT_BYTES))
        oids = index_file.read(count * _OID_BYTES)
    if len(oids) < count * _OID_BYTES:
        raise ValueError("the index of the pack is cut")
    return oids


def _read_object_count(path: Path) -> int | None:
    """Return the number of objects that an index lists; None if it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return _parse_object_count(os.read(descriptor, len(_MAGIC_AND_VERSION) + _FAN_OUT_BYTES))
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        # It was just replaced, or is damaged, which verify reports.
        return None


def _parse_object_count(data: bytes) -> int:
    """Return the number of objects that an index lists: the last number of its fan-out table.

    Raises ValueError for anything else than an index of version 2.
    """
    end = len(_MAGIC_AND_VERSION) + _FAN_OUT_BYTES
    if not data.startswith(_MAGIC_AND_VERSION) or len(data) < end:
        raise ValueError("no index of version 2")
    (count,) = struct.unpack(">L", data[end - 4 : end])
    return int(count)
