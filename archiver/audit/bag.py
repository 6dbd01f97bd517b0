"""Writing a BagIt 1.0 bag (RFC 8493), hashing each file while it is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from archiver.audit.copy_pool import Copies
from archiver.store.fsync import begin_write_out

_CHUNK = 1 << 20
Buffer = bytes | memoryview


class BagWriter:
    """One bag in the making; every file gets its line in a manifest."""

    def __init__(self, root: Path, copies: Copies, algorithms: Sequence[str] = ("sha256",)) -> None:
        """``algorithms``: names as in :mod:`hashlib`, SHA-256 among them."""
        self._root = os.fspath(root)
        self._copies = copies
        self._algorithms = algorithms
        self._payload: dict[str, dict[str, str]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._sizes: dict[str, int] = {}

    def copy_payload(self, name: str, source: str, size: int) -> None:
        """Write ``data/<name>`` beside other work; :meth:`settle` waits for it."""
        name = f"data/{name}"
        self._copies.add(name, source, self._path(name), size, self._algorithms)

    def settle(self) -> None:
        """Wait for all copies; raises OSError with what stood in the way of the first that failed."""
        for name, copied in self._copies.settle(self._algorithms):
            self._sizes[name], self._payload[name] = copied

    def add_payload(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write ``data/<name>``."""
        self._payload[f"data/{name}"] = self._write(f"data/{name}", chunks)

    def take_payload(self, name: str) -> None:
        """Take in ``data/<name>``, which somebody else has written to :meth:`place`."""
        with open(self.place(name), "rb") as stream:
            digests = {each: hashlib.new(each) for each in self._algorithms}
            self._sizes[f"data/{name}"] = 0
            while chunk := stream.read(_CHUNK):
                self._sizes[f"data/{name}"] += len(chunk)
                for digest in digests.values():
                    digest.update(chunk)
        self._payload[f"data/{name}"] = {each: digest.hexdigest() for each, digest in digests.items()}

    def place(self, name: str) -> Path:
        """Where ``data/<name>`` lies."""
        return Path(self._path(f"data/{name}"))

    def add_tag_file(self, name: str, data: bytes) -> None:
        """Write a file beside the payload."""
        self._tags[name] = self._write(name, [data])

    def finish(self, info: Mapping[str, str]) -> None:
        """Write the bag's declaration, information and manifests; raises OSError where a file is not whole."""
        payload = sum(self._sizes[name] for name in self._payload)
        self.add_tag_file("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        lines = {**info, "Payload-Oxum": f"{payload}.{len(self._payload)}"}
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        self.add_tag_file("bag-info.txt", text.encode("utf-8"))
        for algorithm in self._algorithms:
            self.add_tag_file(f"manifest-{algorithm}.txt", _manifest(self._payload, algorithm))
        for algorithm in self._algorithms:
            self._write(f"tagmanifest-{algorithm}.txt", [_manifest(self._tags, algorithm)])
        for name, size in self._sizes.items():
            if os.stat(self._path(name)).st_size != size:
                raise OSError(5, "it is not whole", name)

    def sha256(self, name: str) -> str:
        """The digest of a payload file that was written."""
        return self._payload[f"data/{name}"]["sha256"]

    def _path(self, name: str) -> str:
        # The bag is UTF-8 whatever the locale, and a path is its bytes.
        return f"{self._root}/{os.fsdecode(name.encode('utf-8'))}"

    def _write(self, name: str, chunks: Iterable[Buffer]) -> dict[str, str]:
        path = self._path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        digests = {each: hashlib.new(each) for each in self._algorithms}
        size = 0
        with open(path, "xb", buffering=0) as stream:
            for chunk in chunks:
                for digest in digests.values():
                    digest.update(chunk)
                view = memoryview(chunk)
                size += len(view)
                while view:
                    view = view[stream.write(view) :]
            begin_write_out(stream.fileno())
        self._sizes[name] = size
        return {each: digest.hexdigest() for each, digest in digests.items()}


def _manifest(files: Mapping[str, Mapping[str, str]], algorithm: str) -> bytes:
    lines = (f"{digests[algorithm]}  {name}\n" for name, digests in sorted(files.items()))
    return "".join(lines).encode("utf-8")
