"""Write new objects straight into a pack with its index, without starting git.

A version is about 15 objects of a few hundred bytes.  As loose objects they would take 15 blocks of the disk, and
``git fast-import`` takes longer than all other work on a version of few files.  The format is that of
gitformat-pack(5): version 2, without deltas.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from contextlib import suppress
from typing import IO

from archiver.store.git.pack_index import PACK_FILE_MODE, PackEntry, write_index

_TYPE_NUMBERS = {"commit": 1, "tree": 2, "blob": 3, "tag": 4}
_PACK_MAGIC = b"PACK"
_PACK_VERSION = 2
#: Magic, version, and number of objects.
_HEADER = struct.Struct(">4sLL")
_CHUNK_BYTES = 1 << 20
#: Level 1 is a third faster than the default, for 2 % more bytes of objects as small as ours.
_COMPRESSION_LEVEL = 1
#: Up to this size, compressing costs more time than the few bytes are worth: mostly they are digests.
_UNCOMPRESSED_BYTES = 160
#: As git itself would name it; ``interrupted_write`` removes what a crash leaves.
_TEMPORARY_NAME = "tmp_pack_"


class PackWriter:
    """Writes one pack into a repository; ended by :meth:`finish` or :meth:`discard`.

    Nothing is in the repository before :meth:`finish`.  Every method may raise OSError.
    """

    def __init__(self, objects_folder: str) -> None:
        """Begin a pack for the repository whose objects are in ``objects_folder``."""
        self._folder = f"{objects_folder}/pack"
        self._temporary_path = f"{self._folder}/{_TEMPORARY_NAME}{os.urandom(6).hex()}"
        #: By the hexadecimal object id.
        self._entries: dict[str, PackEntry] = {}
        self._file: IO[bytes] | None = None
        self._size = _HEADER.size

    def add(self, kind: str, body: bytes) -> str:
        """Write an object of ``kind``, such as ``tree``, unless this pack has it; return its id."""
        digest = hashlib.sha1(b"%s %d\0%s" % (kind.encode("ascii"), len(body), body), usedforsecurity=False)
        oid = digest.hexdigest()
        if oid not in self._entries:
            level = _COMPRESSION_LEVEL if len(body) > _UNCOMPRESSED_BYTES else 0
            stored = _object_header(kind, len(body)) + zlib.compress(body, level)
            self._entries[oid] = PackEntry(digest.digest(), zlib.crc32(stored), self._size)
            self._write(stored)
        return oid

    def add_stream(self, kind: str, body: IO[bytes], size: int) -> str:
        """Write an object whose ``size`` bytes are read from ``body``, without holding them in memory."""
        if size <= _CHUNK_BYTES:
            return self.add(kind, body.read(size))
        oid = hashlib.sha1(b"%s %d\0" % (kind.encode("ascii"), size), usedforsecurity=False)
        compressor = zlib.compressobj(_COMPRESSION_LEVEL)
        stored, offset = _object_header(kind, size), self._size
        crc32 = zlib.crc32(stored)
        self._write(stored)
        while size > 0:
            chunk = body.read(min(size, _CHUNK_BYTES))
            if not chunk:
                raise EOFError("the object is shorter than announced")
            size -= len(chunk)
            oid.update(chunk)
            stored = compressor.compress(chunk) + (b"" if size else compressor.flush())
            crc32 = zlib.crc32(stored, crc32)
            self._write(stored)
        if oid.hexdigest() in self._entries:
            # Only now is it known, and a pack must have an object once.
            self._truncate(offset)
        else:
            self._entries[oid.hexdigest()] = PackEntry(oid.digest(), crc32, offset)
        return oid.hexdigest()

    def finish(self) -> None:
        """Make the objects readable; the caller syncs the filesystem to make their names durable.

        The bytes are durable before the names: otherwise a power cut could leave a damaged pack under its name.
        """
        if self._file is None:
            return
        entries = sorted(self._entries.values())
        self._file.seek(0)
        self._file.write(_HEADER.pack(_PACK_MAGIC, _PACK_VERSION, len(entries)))
        self._file.seek(0)
        digest = hashlib.file_digest(self._file, "sha1").digest()  # type: ignore[arg-type]
        self._file.seek(0, os.SEEK_END)
        self._file.write(digest)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._file = None
        # With all bytes of the pack in its name, a pack never replaces another one with the same objects.
        name = digest.hex()
        index_path = f"{self._temporary_path}.idx"
        write_index(index_path, entries, digest)
        try:
            os.rename(self._temporary_path, f"{self._folder}/pack-{name}.pack")
            # Git looks for indexes: the pack must be there before its index.
            os.rename(index_path, f"{self._folder}/pack-{name}.idx")
        except OSError:
            with suppress(OSError):
                os.unlink(index_path)
            raise

    def discard(self) -> None:
        """Remove what was written, unless the pack is finished; may be called at any time."""
        if self._file is not None:
            self._file.close()
            self._file = None
        with suppress(OSError):
            os.unlink(self._temporary_path)

    def _write(self, data: bytes) -> None:
        """Append ``data`` to the pack; the first call creates the file."""
        if self._file is None:
            os.makedirs(self._folder, exist_ok=True)
            descriptor = os.open(
                self._temporary_path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PACK_FILE_MODE
            )
            self._file = open(descriptor, "w+b")  # noqa: SIM115
            # The number of objects is written at the end.
            self._file.write(_HEADER.pack(_PACK_MAGIC, _PACK_VERSION, 0))
        self._file.write(data)
        self._size += len(data)

    def _truncate(self, size: int) -> None:
        """Remove everything from the offset ``size`` on."""
        assert self._file is not None
        self._file.seek(size)
        self._file.truncate()
        self._size = size


def _object_header(kind: str, size: int) -> bytes:
    """Return the type and the size of an object, as they precede the compressed bytes in a pack."""
    # Four bits of the size follow the type, then seven in each byte.  The highest bit says that another follows.
    header = bytearray()
    byte, size = _TYPE_NUMBERS[kind] << 4 | size & 0xF, size >> 4
    while size:
        header.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    header.append(byte)
    return bytes(header)
