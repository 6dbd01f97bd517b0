"""A real S3 server with object lock on loopback: SeaweedFS, one for each process that tests."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

#: The wheel is made by a third party: what runs here is what was looked at.
WEED_SHA256 = {"x86_64": "8dc07b173ff9ad6068a601213174f6009cf7e66684e88d87f0fa20da3dbff876"}
ACCESS, SECRET = "archiver-test", "archiver-test-secret"
WEED = Path(sys.executable).with_name("weed")


@dataclass
class Seaweed:
    """A running server; ``guarded``: its file gateway asks for a token."""

    root: Path
    base: int
    guarded: bool = True
    process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.base}"

    @property
    def filer(self) -> str:
        return f"http://127.0.0.1:{self.base + 1}"

    def start(self) -> Seaweed:
        expected = WEED_SHA256.get(platform.machine())
        with open(WEED, "rb") as stream:
            assert expected in (None, hashlib.file_digest(stream, "sha256").hexdigest())
        data = self.root / "data"
        data.mkdir(parents=True, exist_ok=True)
        identities = {
            "identities": [
                {
                    "name": "owner",
                    "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}],
                    "actions": ["Admin"],
                }
            ]
        }
        config = self.root / "s3.json"
        config.write_text(json.dumps(identities))
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
                *("-s3.port.iceberg=0", "-s3.port.lance=0", f"-s3.config={config}"),
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
                    if answer.status == 200 and self._listens():
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise AssertionError((self.root / "log").read_text()[-2000:])

    def _listens(self) -> bool:
        """Whether it really takes buckets: it answers before it can."""
        try:
            self.client().list_buckets()
        except Exception:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def client(self) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def bucket(self, name: str, *, lock: bool = True) -> str:
        """A new bucket; it may take a moment until the first volume is there."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
                return name
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)


def free_base(worker: int) -> int:
    """The first of 20 ports in a row that nobody listens on; apart for each process that tests."""
    for base in range(21000 + 400 * worker, 21400 + 400 * worker, 20):
        if all(_is_free(base + number) for number in range(20)):
            return base
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
