"""Which bucket, and how it is reached."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from archiver.config.bucket_access import BucketAccess
from archiver.errors import UsageProblem
from archiver.store.events.archive_events import ReplicaCreated

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^\s?#]*))?")


@dataclass(frozen=True, slots=True)
class Settings:
    """One prefix of one bucket; ``bandwidth`` in bytes a second, 0: no limit; ``lock``: whether it locks."""

    bucket: str
    prefix: str
    endpoint: str = ""
    region: str = ""
    style: str = "auto"
    credentials: Path | None = None
    ca: str = ""
    proxy: str = ""
    bandwidth: float = 0.0
    parallel: int = 8
    lock: bool = True

    @property
    def url(self) -> str:
        """As people write it, without a trailing slash."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")


def of_url(url: str, access: BucketAccess, *, lock: bool = True) -> Settings:
    """Settings for ``s3://BUCKET/PREFIX``; raises UsageProblem."""
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageProblem(
            "{url} is not an address such as s3://BUCKET/PREFIX. Nothing was changed. Mend --url.", url=url
        )
    if "@" in access.endpoint or "?" in access.endpoint:
        raise UsageProblem(
            "The endpoint holds a name, a password or a query, which would be journalled for good. Nothing was "
            "changed. Give it without, and the keys in a file of mode 0600."
        )
    prefix = (match[2] or "").strip("/")
    return Settings(
        bucket=match[1],
        prefix=f"{prefix}/" if prefix else "",
        endpoint=access.endpoint,
        region=access.region,
        style=access.style,
        credentials=access.credentials,
        ca=str(access.ca) if access.ca else "",
        proxy=access.proxy,
        bandwidth=access.bandwidth_mb * 1e6,
        parallel=access.parallel,
        lock=lock,
    )


def journalled(created: ReplicaCreated, access: BucketAccess) -> Settings:
    """The settings of ``replica init``, and over them what the configuration says of the way there."""
    way = BucketAccess(
        endpoint=access.endpoint or created.endpoint or "",
        region=access.region or created.region or "",
        style=access.style if access.style != "auto" else created.style or "auto",
        credentials=access.credentials,
        ca=access.ca,
        proxy=access.proxy,
        bandwidth_mb=access.bandwidth_mb,
        parallel=access.parallel,
    )
    return of_url(created.url, way, lock=bool(created.lock))
