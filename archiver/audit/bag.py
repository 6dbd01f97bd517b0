"""Writing a BagIt 1.0 bag (RFC 8493), hashing each file while it is written."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path


class BagWriter:
    """One bag in the making; every file gets its line in a manifest."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._payload: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._bytes = 0

    def add_payload(self, name: str, chunks: Iterable[bytes]) -> None:
        """Write ``data/<name>``."""
        digest, size = self._write(f"data/{name}", chunks)
        self._payload[f"data/{name}"] = digest
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
        self.add_tag_file("manifest-sha256.txt", _manifest(self._payload))
        self._write("tagmanifest-sha256.txt", [_manifest(self._tags)])

    def sha256(self, name: str) -> str:
        """The digest of a payload file that was written."""
        return self._payload[f"data/{name}"]

    def _write(self, name: str, chunks: Iterable[bytes]) -> tuple[str, int]:
        # The bag is UTF-8 whatever the locale, and a path is its bytes.
        path = self._root / os.fsdecode(name.encode("utf-8"))
        path.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        size = 0
        with open(path, "xb", buffering=0) as stream:
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
                stream.write(chunk)
        return digest.hexdigest(), size


def _manifest(digests: Mapping[str, str]) -> bytes:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items())).encode("utf-8")
