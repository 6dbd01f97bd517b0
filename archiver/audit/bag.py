"""Write a BagIt 1.0 bag (RFC 8493), hashing each file while writing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from errno import EIO
from pathlib import Path
from typing import Any

from archiver.audit.copy_pool import CopyPool
from archiver.store.content.copier import HashDigest
from archiver.store.fsync import begin_write_out

_CHUNK_BYTES = 1 << 20

#: Algorithm, as in :mod:`hashlib` -> digest of one file, in hex.
_Digests = dict[str, str]


class BagWriter:
    """Writes a new bag: add payload and tag files, then call :meth:`finish`.

    Payload files, in the folder ``data``, are the content to deliver.  Tag files, next to that folder, describe
    the bag.  All names are relative paths with ``/``; names of payload files are relative to ``data``.  Every
    method that writes raises OSError if a file cannot be written or exists already.
    """

    def __init__(self, root_folder: Path, copy_pool: CopyPool, algorithms: Sequence[str] = ("sha256",)) -> None:
        """Prepare to write to the existing folder ``root_folder``; the caller closes ``copy_pool``.

        ``algorithms`` are names of :mod:`hashlib`, and must include ``sha256``.
        """
        self._root_path = os.fspath(root_folder)
        self._copy_pool = copy_pool
        self._algorithms = algorithms
        # The keys of these dicts are paths in the bag, such as ``data/journal.jsonl``.
        self._payload_digests: dict[str, _Digests] = {}
        self._tag_file_digests: dict[str, _Digests] = {}
        self._expected_sizes: dict[str, int] = {}

    def copy_payload(self, payload_name: str, source_path: str, size: int) -> None:
        """Begin to copy the file ``source_path``, of ``size`` bytes, to ``data/<payload_name>``.

        Returns before the copy is complete: :meth:`finish_copies` waits for all copies.
        """
        bag_path = f"data/{payload_name}"
        self._copy_pool.queue_copy(
            copy_name=bag_path,
            source_path=source_path,
            target_path=self._disk_path(bag_path),
            size=size,
            algorithms=self._algorithms,
        )

    def finish_copies(self) -> None:
        """Wait for all copies of :meth:`copy_payload`; raises the OSError of the first copy that failed."""
        for finished_copy in self._copy_pool.finish_copies(self._algorithms):
            self._expected_sizes[finished_copy.name] = finished_copy.file.size
            self._payload_digests[finished_copy.name] = finished_copy.file.digests

    def add_payload(self, payload_name: str, chunks: Iterable[bytes]) -> None:
        """Write ``data/<payload_name>`` with ``chunks`` as its content; without chunks the file is empty."""
        bag_path = f"data/{payload_name}"
        self._payload_digests[bag_path] = self._write_file(bag_path, chunks)

    def add_written_payload(self, payload_name: str) -> None:
        """Add ``data/<payload_name>``, which the caller wrote to :meth:`payload_path`, to the manifests.

        Raises OSError if the file cannot be read.
        """
        bag_path = f"data/{payload_name}"
        running_digests = self._start_digests()
        payload_size = 0
        with open(self.payload_path(payload_name), "rb") as payload_file:
            while chunk := payload_file.read(_CHUNK_BYTES):
                payload_size += len(chunk)
                for digest in running_digests.values():
                    digest.update(chunk)
        self._expected_sizes[bag_path] = payload_size
        self._payload_digests[bag_path] = _to_hex_digests(running_digests)

    def payload_path(self, payload_name: str) -> Path:
        """Return the path of ``data/<payload_name>`` on the disk."""
        return Path(self._disk_path(f"data/{payload_name}"))

    def payload_sha256(self, payload_name: str) -> str:
        """Return the SHA-256 of ``data/<payload_name>``, in hex; raises KeyError for a file not written yet."""
        return self._payload_digests[f"data/{payload_name}"]["sha256"]

    def add_tag_file(self, tag_file_name: str, content: bytes) -> None:
        """Write a tag file with the bytes ``content`` in the top folder of the bag."""
        self._tag_file_digests[tag_file_name] = self._write_file(tag_file_name, [content])

    def finish(self, bag_info: Mapping[str, str]) -> None:
        """Write the bag's declaration, its manifests, and ``bag-info.txt`` with the fields of ``bag_info``.

        Call this last, after :meth:`finish_copies`.  Raises OSError if a file cannot be written, or if a file in
        the bag does not have the size that was written.
        """
        payload_bytes = sum(self._expected_sizes[bag_path] for bag_path in self._payload_digests)
        self.add_tag_file("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        # The field is defined in RFC 8493: the bytes of the payload, a dot, and the number of payload files.
        info_fields = {**bag_info, "Payload-Oxum": f"{payload_bytes}.{len(self._payload_digests)}"}
        info_text = "".join(f"{field_name}: {field_text}\n" for field_name, field_text in info_fields.items())
        self.add_tag_file("bag-info.txt", info_text.encode("utf-8"))
        for algorithm in self._algorithms:
            self.add_tag_file(f"manifest-{algorithm}.txt", _render_manifest(self._payload_digests, algorithm))
        for algorithm in self._algorithms:
            self._write_file(f"tagmanifest-{algorithm}.txt", [_render_manifest(self._tag_file_digests, algorithm)])
        self._check_sizes()

    def _check_sizes(self) -> None:
        """Raise OSError if the size of a file on the disk differs from the number of bytes written.

        Some filesystems report a full disk only after the write, and leave a shorter file.
        """
        for bag_path, expected_size in self._expected_sizes.items():
            if os.stat(self._disk_path(bag_path)).st_size != expected_size:
                raise OSError(EIO, "it is not whole", bag_path)

    def _disk_path(self, bag_path: str) -> str:
        """Return the path on the disk for a path in the bag."""
        # Names in a bag are encoded as UTF-8 whatever the locale of this process is.
        return f"{self._root_path}/{os.fsdecode(bag_path.encode('utf-8'))}"

    def _start_digests(self) -> dict[str, Any]:
        """Return a new hash object for each algorithm."""
        return {algorithm: hashlib.new(algorithm) for algorithm in self._algorithms}

    def _write_file(self, bag_path: str, chunks: Iterable[bytes]) -> _Digests:
        """Write ``chunks`` to a new file, after creating missing parent folders, and return the digests.

        Also stores the size, for :meth:`_check_sizes`.  Raises OSError if the file exists already or cannot be
        written.
        """
        disk_path = self._disk_path(bag_path)
        os.makedirs(os.path.dirname(disk_path), exist_ok=True)
        running_digests = self._start_digests()
        written_bytes = 0
        with open(disk_path, "xb", buffering=0) as bag_file:
            for chunk in chunks:
                for digest in running_digests.values():
                    digest.update(chunk)
                unwritten_bytes = memoryview(chunk)
                written_bytes += len(unwritten_bytes)
                # A write to an unbuffered file may stop after a part of the chunk.
                while unwritten_bytes:
                    unwritten_bytes = unwritten_bytes[bag_file.write(unwritten_bytes) :]
            begin_write_out(bag_file.fileno())
        self._expected_sizes[bag_path] = written_bytes
        return _to_hex_digests(running_digests)


def _to_hex_digests(running_digests: Mapping[str, HashDigest]) -> _Digests:
    """Return the digests of the bytes hashed so far, in hex."""
    return {algorithm: digest.hexdigest() for algorithm, digest in running_digests.items()}


def _render_manifest(digests_by_path: Mapping[str, _Digests], algorithm: str) -> bytes:
    """Render the manifest for one algorithm: a line ``<digest>  <path>`` for each file, sorted by path."""
    manifest_lines = (
        f"{digests[algorithm]}  {bag_path}\n" for bag_path, digests in sorted(digests_by_path.items())
    )
    return "".join(manifest_lines).encode("utf-8")
