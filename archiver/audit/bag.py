"""Writing a BagIt 1.0 bag (RFC 8493), hashing each file while it is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path


class BagWriter:
    """One bag in the making; every file gets its line in a manifest."""

    def __init__(self, root: Path, algorithms: Sequence[str] = ("sha256",)) -> None:
        """``algorithms``: names as in :mod:`hashlib`, SHA-256 among them."""
        self._root = root
        self._algorithms = algorithms
        self._payload: dict[str, dict[str, str]] = {}
        self._tags: dict[str, dict[str, str]] = {}
        self._bytes = 0

    def add_payload(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write ``data/<name>``."""
        digests, size = self._write(f"data/{name}", chunks)
        self._payload[f"data/{name}"] = digests
        self._bytes += size

    def add_tag_file(self, name: str, data: bytes) -> None:
        """Write a file beside the payload."""
        self._tags[name] = self._write(name, [data])[0]

    def finish(self, info: Mapping[str, str]) -> None:
        """Write the bag's declaration, information and manifests."""
        self.add_tag_file("bagit.txt", b"BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
        lines = {**info, "Payload-Oxum": f"{self._bytes}.{len(self._payload)}"}
        text = "".join(f"{key}: {value}\n" for key, value in lines.items())
        self.add_tag_file("bag-info.txt", text.encode("utf-8"))
        for algorithm in self._algorithms:
            self.add_tag_file(f"manifest-{algorithm}.txt", _manifest(self._payload, algorithm))
        for algorithm in self._algorithms:
            self._write(f"tagmanifest-{algorithm}.txt", [_manifest(self._tags, algorithm)])

    def sha256(self, name: str) -> str:
        """The digest of a payload file that was written."""
        return self._payload[f"data/{name}"]["sha256"]

    def _write(self, name: str, chunks: Iterable[bytes]) -> tuple[dict[str, str], int]:
        # The bag is UTF-8 whatever the locale, and a path is its bytes.
        path = self._root / os.fsdecode(name.encode("utf-8"))
        path.parent.mkdir(parents=True, exist_ok=True)
        digests = {name: hashlib.new(name) for name in self._algorithms}
        size = 0
        with open(path, "xb", buffering=0) as stream:
            for chunk in chunks:
                for digest in digests.values():
                    digest.update(chunk)
                size += len(chunk)
                stream.write(chunk)
        return {name: digest.hexdigest() for name, digest in digests.items()}, size


def _manifest(files: Mapping[str, Mapping[str, str]], algorithm: str) -> bytes:
    lines = (f"{digests[algorithm]}  {name}\n" for name, digests in sorted(files.items()))
    return "".join(lines).encode("utf-8")
