"""Write and read git's pack indexes (gitformat-pack(5), version 2), which list the objects in a pack."""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from archiver.path_existence import is_there

_MAGIC_AND_VERSION = b"\xfftOc\0\0\0\2"
_FAN_OUT_BYTES = 256 * 4
_OID_BYTES = 20
#: Offsets of at least this value are stored in a table of 8-byte numbers.
_LARGE_OFFSET = 1 << 31
#: The mode that git itself gives to packs and indexes.
PACK_FILE_MODE = 0o444


class PackEntry(NamedTuple):
    """An object in a pack."""

    oid: bytes
    crc32: int  # of the object's bytes in the pack, which are compressed
    offset: int


class PackSize(NamedTuple):
    """A pack of a repository, and the number of objects in it."""

    #: The file's name without a suffix, such as ``pack-1f0c...``.
    name: str
    objects: int


def write_index(path: str, entries: Sequence[PackEntry], pack_digest: bytes) -> None:
    """Write the index of a pack to the new file ``path``, durably.

    ``entries`` are sorted by object id.  ``pack_digest`` is the SHA-1 with which the pack ends.  Raises OSError,
    and leaves no part of the file behind.
    """
    data = _encode_index(entries, pack_digest)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PACK_FILE_MODE)
    try:
        with open(descriptor, "wb") as index_file:
            index_file.write(data)
            index_file.flush()
            os.fsync(index_file.fileno())
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        raise


def _encode_index(entries: Sequence[PackEntry], pack_digest: bytes) -> bytes:
    """Return the bytes of a pack index; ``entries`` are sorted by object id."""
    # The fan-out table has the number of objects whose id begins with a certain byte or a smaller one.
    fan_out, count = [0] * 256, 0
    for entry in entries:
        fan_out[entry.oid[0]] += 1
    for byte, entry_count in enumerate(fan_out):
        count += entry_count
        fan_out[byte] = count
    large_offsets = [entry.offset for entry in entries if entry.offset >= _LARGE_OFFSET]
    large_positions = {offset: position for position, offset in enumerate(large_offsets)}
    # A large offset is replaced by its position in the table of large offsets, with the highest bit set.
    offsets = [
        entry.offset if entry.offset < _LARGE_OFFSET else _LARGE_OFFSET | large_positions[entry.offset]
        for entry in entries
    ]
    data = b"".join(
        (
            _MAGIC_AND_VERSION,
            struct.pack(">256L", *fan_out),
            *(entry.oid for entry in entries),
            struct.pack(f">{len(entries)}L", *(entry.crc32 for entry in entries)),
            struct.pack(f">{len(entries)}L", *offsets),
            struct.pack(f">{len(large_offsets)}Q", *large_offsets),
            pack_digest,
        )
    )
    return data + hashlib.sha1(data, usedforsecurity=False).digest()


def list_packs(repository: Path) -> list[PackSize]:
    """Return the packs of a repository, in no particular order.

    Leaves out a pack whose index cannot be read, and a pack with a ``.keep`` file, because somebody wants it to
    stay unchanged.
    """
    folder = repository / "objects" / "pack"
    packs = []
    for path in folder.glob("pack-*.idx"):
        count = _read_object_count(path)
        if count is not None and not is_there(path.with_suffix(".keep")):
            packs.append(PackSize(path.stem, count))
    return packs


def holds_all_objects(repository: Path, pack_name: str, other_name: str) -> bool:
    """Return True if the pack ``pack_name`` contains all objects of the pack ``other_name``.

    Raises OSError or ValueError if the index of one of the packs cannot be read.
    """
    # Compare the sorted ids of both packs, 20 bytes each: a set with a million ids would take 100 MB.
    oids, other_oids = _read_sorted_oids(repository, pack_name), _read_sorted_oids(repository, other_name)
    position = 0
    for other_position in range(0, len(other_oids), _OID_BYTES):
        other_oid = other_oids[other_position : other_position + _OID_BYTES]
        while position < len(oids) and oids[position : position + _OID_BYTES] < other_oid:
            position += _OID_BYTES
        if oids[position : position + _OID_BYTES] != other_oid:
            return False
    return True


def _read_sorted_oids(repository: Path, pack_name: str) -> bytes:
    """Return the ids of the objects in a pack, in ascending order, each as 20 bytes without a separator.

    Raises OSError if the index of the pack cannot be read, ValueError if the index is damaged.
    """
    with open(repository / "objects" / "pack" / f"{pack_name}.idx", "rb") as index_file:
        count = _parse_object_count(index_file.read(len(_MAGIC_AND_VERSION) + _FAN_OUT_BYTES))
        oids = index_file.read(count * _OID_BYTES)
    if len(oids) < count * _OID_BYTES:
        raise ValueError("the index of the pack is cut")
    return oids


def _read_object_count(path: Path) -> int | None:
    """Return the number of objects that the index at ``path`` lists; None if the index cannot be read."""
    try:
        # With these flags, a link fails, and a pipe does not wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            return _parse_object_count(os.read(descriptor, len(_MAGIC_AND_VERSION) + _FAN_OUT_BYTES))
        finally:
            os.close(descriptor)
    except (OSError, ValueError):
        # The index was just replaced, or is damaged, which ``archiver verify`` reports.
        return None


def _parse_object_count(data: bytes) -> int:
    """Return the number of objects that an index lists: the last number of the fan-out table.

    ``data`` begins with the first bytes of the index, up to the end of that table.  Raises ValueError if the bytes
    are too few, or not those of an index of version 2.
    """
    end = len(_MAGIC_AND_VERSION) + _FAN_OUT_BYTES
    if not data.startswith(_MAGIC_AND_VERSION) or len(data) < end:
        raise ValueError("no index of version 2")
    (count,) = struct.unpack(">L", data[end - 4 : end])
    return int(count)
