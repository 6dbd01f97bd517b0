"""A real S3 server with object lock on loopback: SeaweedFS, one for each process that tests."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.replica.server import ACCESS, DOMAIN, SECRET, WRITER, WRITER_SECRET, Server

#: The wheel is made by a third party: what runs here is what was looked at.
WEED_SHA256 = {"x86_64": "8dc07b173ff9ad6068a601213174f6009cf7e66684e88d87f0fa20da3dbff876"}
WEED = Path(sys.executable).with_name("weed")


@dataclass
class Seaweed(Server):
    """A running server; ``guarded``: its file gateway asks for a token."""

    guarded: bool = True
    process: subprocess.Popen[bytes] | None = None

    @property
    def filer(self) -> str:
        return f"http://127.0.0.1:{self.base + 1}"

    def start(self) -> Seaweed:
        expected = WEED_SHA256.get(platform.machine())
        with open(WEED, "rb") as stream:
            assert expected in (None, hashlib.file_digest(stream, "sha256").hexdigest())
        data = self.root / "data"
        data.mkdir(parents=True, exist_ok=True)
        identities = [_identity("owner", ACCESS, SECRET, "Admin"), _identity("writer", WRITER, WRITER_SECRET)]
        config = self.root / "s3.json"
        config.write_text(json.dumps({"identities": identities}))
        keys = {"WEED_JWT_FILER_SIGNING_KEY": "a", "WEED_JWT_SIGNING_KEY": "b"} if self.guarded else {}
        names = ("s3.port", "filer.port", "master.port", "volume.port", "admin.port")
        ports = [f"-{name}={self.base + number}" for number, name in enumerate(names)]
        ports += [f"-{name}.grpc={self.base + 10 + number}" for number, name in enumerate(names)]
        with open(self.root / "log", "ab") as log:
            self.process = self._launch(data, config, ports, keys, log)
        self._wait()
        return self

    def _launch(
        self, data: Path, config: Path, ports: list[str], keys: dict[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [
                *(WEED, "-logtostderr", "mini", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
                *("-master.telemetry=false", "-admin.ui=false", "-webdav=false"),
                # A bucket takes seven volumes, empty ones too. How many there may be is otherwise reckoned
                # from the free disk space, and a session has some fifty buckets.
                *("-master.volumeSizeLimitMB=64", "-volume.max=2000"),
                *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={config}"),
                f"-s3.domainName={DOMAIN}",
                *(f"-s3.localSocket={self.root}/s3.sock", f"-filer.localSocket={self.root}/filer.sock"),
                *("-s3.allowDeleteBucketNotEmpty=false", "-s3.autoCreateBucket=false", *ports),
            ],
            env={**os.environ, "GOMEMLIMIT": "600MiB", **keys},
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
            start_new_session=True,
        )

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, (self.root / "log").read_text()[-2000:]
            try:
                with urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=2) as answer:
                    if answer.status == 200 and self.listens():
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError((self.root / "log").read_text()[-2000:])

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def writer(self) -> str:
        return "arn:aws:iam::000000000000:user/writer"

    def alter(self, bucket: str, key: str) -> None:
        """Through the file gateway, where that asks for no token."""
        folder = f"{self.filer}/buckets/{bucket}/{key}.versions/"
        listing = urllib.request.Request(folder, headers={"Accept": "application/json"})
        with urllib.request.urlopen(listing, timeout=10) as answer:
            entries = json.load(answer)["Entries"]
        assert entries
        for each in entries:
            path = f"{self.filer}{each['FullPath']}"
            request = urllib.request.Request(path, data=b"altered", method="PUT")
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 201

    def destroy(self, bucket: str, key: str) -> None:
        """Through the file gateway, where that asks for no token."""
        folder, _, leaf = key.rpartition("/")
        done = []
        for path in (f"/buckets/{bucket}/{key}", f"/buckets/{bucket}/{folder}/{leaf}.versions?recursive=true"):
            request = urllib.request.Request(f"{self.filer}{path}", method="DELETE")
            with suppress(OSError), urllib.request.urlopen(request, timeout=10) as answer:
                done.append(answer.status in (202, 204))
        assert any(done)


def _identity(name: str, access: str, secret: str, *actions: str) -> dict[str, object]:
    return {"name": name, "credentials": [{"accessKey": access, "secretKey": secret}], "actions": list(actions)}
