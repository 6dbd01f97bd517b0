"""What the tests need of an S3 server: a real one on loopback, whose storage they can also reach from behind."""

from __future__ import annotations

import shutil
import socket
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ACCESS, SECRET = "archiver-test", "archiver-test-secret"
#: Another user, who may do only what a bucket's policy says.
WRITER, WRITER_SECRET = "archiver-writer", "archiver-writer-secret"
#: What buckets are below where they are named in the host.
DOMAIN = "s3.test"


@dataclass
class Server(ABC):
    """A server with its data below ``root`` and its ports from ``base`` on."""

    root: Path
    base: int

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.base}"

    @abstractmethod
    def start(self) -> Server:
        """Start it, and come back when it takes buckets."""

    @abstractmethod
    def stop(self) -> None:
        """End every process of it."""

    @property
    @abstractmethod
    def writer(self) -> str:
        """How a policy names the other user."""

    @abstractmethod
    def alter(self, bucket: str, key: str) -> None:
        """As the storage's administrator: put other bytes in the place of an object, past its lock."""

    @abstractmethod
    def destroy(self, bucket: str, key: str) -> None:
        """As the storage's administrator: take an object away, past its lock."""

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.root, ignore_errors=True)

    def client(self, access: str = ACCESS, secret: str = SECRET) -> Any:
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=access,
            aws_secret_access_key=secret,
            region_name="us-east-1",
            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def bucket(self, name: str, *, lock: bool = True) -> str:
        """A new bucket; it may take a moment until the server has room for it."""
        deadline = time.monotonic() + 30
        while True:
            try:
                self.client().create_bucket(Bucket=name, ObjectLockEnabledForBucket=lock)
                return name
            except Exception:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def listens(self) -> bool:
        """Whether it really takes buckets: it answers before it can."""
        try:
            self.client().list_buckets()
        except Exception:
            return False
        return True


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
