"""Write a BagIt 1.0 bag (RFC 8493), hashing each file while it is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from archiver.audit.copy_pool import Copies
from archiver.store.content.copier import HashDigest
from archiver.store.fsync import begin_write_out

_CHUNK_BYTES = 1 << 20

#: Algorithm -> hexadecimal digest of one file.
_Digests = dict[str, str]


class BagWriter:
    """Fill one bag.

    Every file gets its line in a manifest.  A name is a path below the bag, or below its ``data`` folder for
    payload. All methods raise OSError for a disk that takes no more.
    """

    def __init__(self, root: Path, copies: Copies, algorithms: Sequence[str] = ("sha256",)) -> None:
        """``algorithms``: names as in :mod:`hashlib`, SHA-256 among them."""
        self._root = os.fspath(root)
        self._copies = copies
        self._algorithms = algorithms
        self._payload_digests: dict[str, _Digests] = {}
        self._tag_file_digests: dict[str, _Digests] = {}
        self._expected_sizes: dict[str, int] = {}

    def copy_payload(self, name: str, source: str, size: int) -> None:
        """Begin to copy a file of ``size`` bytes to ``data/<name>``; :meth:`finish_copies` waits for it."""
        name = f"data/{name}"
        self._copies.add(name, source, self._path(name), size, self._algorithms)

    def finish_copies(self) -> None:
        """Wait for all copies; raises the OSError of the first one that failed."""
        for name, copied in self._copies.settle(self._algorithms):
            self._expected_sizes[name], self._payload_digests[name] = copied

    def add_payload(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write ``data/<name>``."""
        self._payload_digests[f"data/{name}"] = self._write(f"data/{name}", chunks)

    def adopt_payload(self, name: str) -> None:
        """Hash ``data/<name>``, which was written to :meth:`payload_path` by other means."""
        with open(self.payload_path(name), "rb") as stream:
            digests = {algorithm: hashlib.new(algorithm) for algorithm in self._algorithms}
            self._expected_sizes[f"data/{name}"] = 0
            while chunk := stream.read(_CHUNK_BYTES):
                self._expected_sizes[f"data/{name}"] += len(chunk)
                for digest in digests.values():
                    digest.update(chunk)
        self._payload_digests[f"data/{name}"] = _hexdigests(digests)

    def payload_path(self, name: str) -> Path:
        """Return the path of ``data/<name>`` on the disk."""
        return Path(self._path(f"data/{name}"))

    def add_tag_file(self, name: str, data: bytes) -> None:
        """Write a file beside the payload; RFC 8493 calls it a tag file."""
        self._tag_file_digests[name] = self._write(name, [data])

    def finish(self, info: Mapping[str, str]) -> None:
        """Write the bag's declaration, information and manifests.

        Looks at the size of every file once more: a disk that was full for a moment must not leave a hole.
        """
        payload_bytes = sum(self._expected_sizes[name] for name in self._payload_digests)
        self.add_tag_file("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        fields = {**info, "Payload-Oxum": f"{payload_bytes}.{len(self._payload_digests)}"}
        text = "".join(f"{key}: {value}\n" for key, value in fields.items())
        self.add_tag_file("bag-info.txt", text.encode("utf-8"))
        for algorithm in self._algorithms:
            self.add_tag_file(f"manifest-{algorithm}.txt", _manifest(self._payload_digests, algorithm))
        for algorithm in self._algorithms:
            self._write(f"tagmanifest-{algorithm}.txt", [_manifest(self._tag_file_digests, algorithm)])
        for name, size in self._expected_sizes.items():
            if os.stat(self._path(name)).st_size != size:
                raise OSError(5, "it is not whole", name)

    def sha256(self, name: str) -> str:
        """Return the digest of the payload that was written."""
        return self._payload_digests[f"data/{name}"]["sha256"]

    def _path(self, name: str) -> str:
        # The bag is UTF-8 whatever the locale, and a path is its bytes.
        return f"{self._root}/{os.fsdecode(name.encode('utf-8'))}"

    def _write(self, name: str, chunks: Iterable[bytes]) -> _Digests:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        digests = {algorithm: hashlib.new(algorithm) for algorithm in self._algorithms}
        written_bytes = 0
        with open(path, "xb", buffering=0) as stream:
            for chunk in chunks:
                for digest in digests.values():
                    digest.update(chunk)
                view = memoryview(chunk)
                written_bytes += len(view)
                while view:
                    view = view[stream.write(view) :]
            begin_write_out(stream.fileno())
        self._expected_sizes[name] = written_bytes
        return _hexdigests(digests)


def _hexdigests(digests: Mapping[str, HashDigest]) -> _Digests:
    return {algorithm: digest.hexdigest() for algorithm, digest in digests.items()}


def _manifest(files: Mapping[str, _Digests], algorithm: str) -> bytes:
    lines = (f"{digests[algorithm]}  {name}\n" for name, digests in sorted(files.items()))
    return "".join(lines).encode("utf-8")
