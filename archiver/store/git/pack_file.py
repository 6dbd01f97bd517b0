"""Write new objects straight into a git pack with its index, without starting git.

A version consists of about 15 objects of a few hundred bytes.  As loose objects they would take 15 blocks of the
disk, and ``git fast-import`` takes longer than all other work on a version of few files.  The format is version 2
of gitformat-pack(5), without deltas.
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
#: Objects up to this size are stored uncompressed.  They consist mostly of digests, and the few bytes that
#: compression would save are not worth the time.
_MAX_UNCOMPRESSED_BYTES = 160
#: The name of an unfinished pack begins as in git itself, so that ``interrupted_write`` removes it after a crash.
_TEMPORARY_PREFIX = "tmp_pack_"


class PackWriter:
    """Writes one new pack into a repository; the owner calls :meth:`finish` or :meth:`discard` at the end.

    Git finds none of the objects before :meth:`finish`.  Every method may raise OSError.
    """

    def __init__(self, objects_folder: str) -> None:
        """Begin a pack for the repository whose objects are in ``objects_folder``."""
        self._folder = f"{objects_folder}/pack"
        self._temporary_path = f"{self._folder}/{_TEMPORARY_PREFIX}{os.urandom(6).hex()}"
        #: The objects in the pack, by the hexadecimal object id.
        self._entries: dict[str, PackEntry] = {}
        self._file: IO[bytes] | None = None
        self._written_bytes = _HEADER.size

    def add(self, kind: str, body: bytes) -> str:
        """Write an object of a type such as ``tree``, unless this pack has it already; return the object id."""
        digest = hashlib.sha1(b"%s %d\0%s" % (kind.encode("ascii"), len(body), body), usedforsecurity=False)
        oid = digest.hexdigest()
        if oid not in self._entries:
            level = _COMPRESSION_LEVEL if len(body) > _MAX_UNCOMPRESSED_BYTES else 0
            stored = _object_header(kind, len(body)) + zlib.compress(body, level)
            self._entries[oid] = PackEntry(digest.digest(), zlib.crc32(stored), self._written_bytes)
            self._write(stored)
        return oid

    def add_stream(self, kind: str, body: IO[bytes], size: int) -> str:
        """Write an object as :meth:`add` does, but read the ``size`` bytes from ``body`` in chunks.

        Raises EOFError if ``body`` ends too early, unless the object fits into one chunk.
        """
        if size <= _CHUNK_BYTES:
            return self.add(kind, body.read(size))
        oid = hashlib.sha1(b"%s %d\0" % (kind.encode("ascii"), size), usedforsecurity=False)
        compressor = zlib.compressobj(_COMPRESSION_LEVEL)
        stored, offset = _object_header(kind, size), self._written_bytes
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
            # A pack must not contain an object twice, and the object id is known only now.
            self._truncate(offset)
        else:
            self._entries[oid.hexdigest()] = PackEntry(oid.digest(), crc32, offset)
        return oid.hexdigest()

    def finish(self) -> None:
        """Complete the pack, and give it the name under which git finds it; do nothing if there are no objects.

        The bytes become durable before the name: otherwise a power cut could leave a damaged pack under the name.
        The caller syncs the filesystem to make the name durable, too.
        """
        if self._file is None:
            return
        entries = sorted(self._entries.values())
        digest = self._complete_file(self._file, len(entries))
        self._file.close()
        self._file = None
        # Named by the digest of all its bytes, so that it never replaces a different pack with the same objects.
        name = digest.hex()
        index_path = f"{self._temporary_path}.idx"
        write_index(index_path, entries, digest)
        try:
            os.rename(self._temporary_path, f"{self._folder}/pack-{name}.pack")
            # Git finds a pack by its index, so the pack must exist before the index.
            os.rename(index_path, f"{self._folder}/pack-{name}.idx")
        except OSError:
            with suppress(OSError):
                os.unlink(index_path)
            raise

    def _complete_file(self, pack_file: IO[bytes], object_count: int) -> bytes:
        """Write the header and the digest of the pack, and make the bytes durable; return the digest."""
        pack_file.seek(0)
        pack_file.write(_HEADER.pack(_PACK_MAGIC, _PACK_VERSION, object_count))
        pack_file.seek(0)
        digest = hashlib.file_digest(pack_file, "sha1").digest()  # type: ignore[arg-type]
        pack_file.seek(0, os.SEEK_END)
        pack_file.write(digest)
        pack_file.flush()
        os.fsync(pack_file.fileno())
        return digest

    def discard(self) -> None:
        """Remove the unfinished pack; do nothing after :meth:`finish`, or if nothing was written."""
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
            # The number of objects is not known yet; finish writes the header again.
            self._file.write(_HEADER.pack(_PACK_MAGIC, _PACK_VERSION, 0))
        self._file.write(data)
        self._written_bytes += len(data)

    def _truncate(self, size: int) -> None:
        """Cut the pack off after ``size`` bytes."""
        assert self._file is not None
        self._file.seek(size)
        self._file.truncate()
        self._written_bytes = size


def _object_header(kind: str, size: int) -> bytes:
    """Return the type and the size of an object, as they precede the compressed bytes in a pack."""
    # The first byte has the type and the lowest four bits of the size.  Each further byte has the next seven bits
    # of the size.  The highest bit of a byte is set if another byte follows.
    header = bytearray()
    byte, size = _TYPE_NUMBERS[kind] << 4 | size & 0xF, size >> 4
    while size:
        header.append(byte | 0x80)
        byte, size = size & 0x7F, size >> 7
    header.append(byte)
    return bytes(header)
