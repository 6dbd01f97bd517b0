"""Write a BagIt 1.0 bag (RFC 8493), hashing each file while writing."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from archiver.audit.copy_pool import CopyPool
from archiver.store.content.copier import HashDigest
from archiver.store.fsync import begin_write_out

_CHUNK_BYTES = 1 << 20

#: Algorithm -> hexadecimal digest of one file.
_Digests = dict[str, str]


class BagWriter:
    """Fill a bag.

    Every file gets its line in a manifest.  A name is a path below the bag, or below its ``data`` folder for
    payload. All methods raise OSError for a full disk.
    """

    def __init__(self, root_folder: Path, copy_pool: CopyPool, algorithms: Sequence[str] = ("sha256",)) -> None:
        """``algorithms``: names as in :mod:`hashlib`, SHA-256 among them."""
        self._root_path = os.fspath(root_folder)
        self._copy_pool = copy_pool
        self._algorithm_names = algorithms
        self._payload_digests: dict[str, _Digests] = {}
        self._tag_file_digests: dict[str, _Digests] = {}
        self._expected_sizes: dict[str, int] = {}

    def copy_payload(self, name: str, source: str, size: int) -> None:
        """Begin to copy a file of ``size`` bytes to ``data/<name>``; :meth:`finish_copies` waits for the copy."""
        name = f"data/{name}"
        self._copy_pool.add(name, source, self._path_on_disk(name), size, self._algorithm_names)

    def finish_copies(self) -> None:
        """Wait for all copies; raises the OSError of the first failed copy."""
        for file_name, copied_file in self._copy_pool.finish(self._algorithm_names):
            self._expected_sizes[file_name], self._payload_digests[file_name] = copied_file

    def add_payload(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write ``data/<name>``."""
        self._payload_digests[f"data/{name}"] = self._write_file(f"data/{name}", chunks)

    def adopt_payload(self, name: str) -> None:
        """Hash ``data/<name>``, which was written to :meth:`payload_path` by other means."""
        with open(self.payload_path(name), "rb") as payload_file:
            running_digests = {algorithm: hashlib.new(algorithm) for algorithm in self._algorithm_names}
            self._expected_sizes[f"data/{name}"] = 0
            while chunk := payload_file.read(_CHUNK_BYTES):
                self._expected_sizes[f"data/{name}"] += len(chunk)
                for digest in running_digests.values():
                    digest.update(chunk)
        self._payload_digests[f"data/{name}"] = _hex_digests(running_digests)

    def payload_path(self, name: str) -> Path:
        """Return the path of ``data/<name>`` on the disk."""
        return Path(self._path_on_disk(f"data/{name}"))

    def add_tag_file(self, name: str, data: bytes) -> None:
        """Write a file beside the payload, a tag file in the words of RFC 8493."""
        self._tag_file_digests[name] = self._write_file(name, [data])

    def finish(self, info: Mapping[str, str]) -> None:
        """Write the bag's declaration, information and manifests.

        Checks the size of every file once more: a disk that was full for a moment must not leave a hole.

        Raises OSError if a file does not have the size that was written.
        """
        payload_bytes = sum(self._expected_sizes[name] for name in self._payload_digests)
        self.add_tag_file("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        info_fields = {**info, "Payload-Oxum": f"{payload_bytes}.{len(self._payload_digests)}"}
        info_text = "".join(f"{key}: {value}\n" for key, value in info_fields.items())
        self.add_tag_file("bag-info.txt", info_text.encode("utf-8"))
        for algorithm in self._algorithm_names:
            self.add_tag_file(f"manifest-{algorithm}.txt", _manifest_bytes(self._payload_digests, algorithm))
        for algorithm in self._algorithm_names:
            self._write_file(f"tagmanifest-{algorithm}.txt", [_manifest_bytes(self._tag_file_digests, algorithm)])
        for name, expected_size in self._expected_sizes.items():
            if os.stat(self._path_on_disk(name)).st_size != expected_size:
                raise OSError(5, "it is not whole", name)

    def sha256(self, name: str) -> str:
        """Return the digest of a written payload file."""
        return self._payload_digests[f"data/{name}"]["sha256"]

    def _path_on_disk(self, name: str) -> str:
        # The bag is UTF-8 whatever the locale, and a path is its bytes.
        return f"{self._root_path}/{os.fsdecode(name.encode('utf-8'))}"

    def _write_file(self, name: str, chunks: Iterable[bytes]) -> _Digests:
        file_path = self._path_on_disk(name)
        os.makedirs(os.path.dirname(file_path), exist_ok=True)
        running_digests = {algorithm: hashlib.new(algorithm) for algorithm in self._algorithm_names}
        written_bytes = 0
        with open(file_path, "xb", buffering=0) as bag_file:
            for chunk in chunks:
                for digest in running_digests.values():
                    digest.update(chunk)
                unwritten_bytes = memoryview(chunk)
                written_bytes += len(unwritten_bytes)
                while unwritten_bytes:
                    unwritten_bytes = unwritten_bytes[bag_file.write(unwritten_bytes) :]
            begin_write_out(bag_file.fileno())
        self._expected_sizes[name] = written_bytes
        return _hex_digests(running_digests)


def _hex_digests(digests: Mapping[str, HashDigest]) -> _Digests:
    return {algorithm: digest.hexdigest() for algorithm, digest in digests.items()}


def _manifest_bytes(files: Mapping[str, _Digests], algorithm: str) -> bytes:
    manifest_lines = (f"{digests[algorithm]}  {name}\n" for name, digests in sorted(files.items()))
    return "".join(manifest_lines).encode("utf-8")
