"""The settings of a bucket: address, way of access, and credentials."""

from __future__ import annotations

import configparser
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from archiver.config.bucket_access import BucketAccess
from archiver.errors import ConfigError, UsageError
from archiver.store.events.archive_events import ReplicaCreated

_URL = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/([^\s?#]*))?")


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """A prefix of a bucket, and how to access the bucket."""

    bucket_name: str
    #: The beginning of all keys. Ends with a slash unless it is empty, which means the whole bucket.
    prefix: str
    #: Empty: AWS.
    endpoint_url: str = ""
    #: Empty: from the environment; us-east-1 if the environment names no region.
    region_name: str = ""
    #: "path" (the bucket's name in the path of URLs), "virtual" (in the host name), or "auto".
    addressing_style: str = "auto"
    #: None: the usual AWS chain (environment, ~/.aws, instance role).
    credentials_file: Path | None = None
    #: The file with the certificates to trust. Empty: the system's certificates.
    ca_file: str = ""
    #: Empty: no proxy is configured.
    proxy_url: str = ""
    #: The limit for all threads together. 0: no limit.
    bytes_per_second: float = 0.0
    #: How many objects are transferred at once.
    thread_count: int = 8
    #: False for a bucket that was accepted without object lock.
    uses_object_lock: bool = True

    @property
    def url(self) -> str:
        """The address in the form ``s3://BUCKET/PREFIX``, without a trailing slash."""
        return f"s3://{self.bucket_name}/{self.prefix}".rstrip("/")


def settings_from_url(url: str, access: BucketAccess, *, uses_object_lock: bool = True) -> BucketSettings:
    """Parse ``s3://BUCKET/PREFIX``, and combine the address with the configured access.

    Raises UsageError if ``url`` has another form, or if the endpoint could carry a secret (a user name, a password
    or a query): the endpoint is journalled, and nothing can be removed from the journal.
    """
    match = _URL.fullmatch(url)
    if match is None:
        raise UsageError(
            "{url} is not an address such as s3://BUCKET/PREFIX. Nothing was changed. Correct --url.", url=url
        )
    if "@" in access.endpoint or "?" in access.endpoint:
        raise UsageError(
            "The endpoint contains a user name, a password, or a query, which the journal would keep "
            "permanently. Nothing was changed. Give the endpoint without them, and put the keys in a file with "
            "mode 0600."
        )
    prefix = (match[2] or "").strip("/")
    return BucketSettings(
        bucket_name=match[1],
        prefix=f"{prefix}/" if prefix else "",
        endpoint_url=access.endpoint,
        region_name=access.region,
        addressing_style=access.addressing_style,
        credentials_file=access.credentials_file,
        ca_file=str(access.ca_file) if access.ca_file else "",
        proxy_url=access.proxy,
        bytes_per_second=access.max_mb_per_second * 1e6,
        thread_count=access.max_transfers,
        uses_object_lock=uses_object_lock,
    )


def settings_from_journal(details: ReplicaCreated, access: BucketAccess) -> BucketSettings:
    """Combine the details of a ``replica-init`` event with the configuration.

    A configured endpoint, region or addressing style takes precedence over the journalled one. Bucket, prefix and
    lock come from the journal alone, so that a changed configuration cannot redirect the replica.

    Raises UsageError as :func:`settings_from_url` does.
    """
    combined_access = BucketAccess(
        endpoint=access.endpoint or details.endpoint or "",
        region=access.region or details.region or "",
        addressing_style=access.addressing_style if access.addressing_style != "auto" else details.style or "auto",
        credentials_file=access.credentials_file,
        ca_file=access.ca_file,
        proxy=access.proxy,
        max_mb_per_second=access.max_mb_per_second,
        max_transfers=access.max_transfers,
    )
    return settings_from_url(details.url, combined_access, uses_object_lock=bool(details.lock))


def read_credentials(path: Path) -> dict[str, str]:
    """Read the access keys from the section ``[default]`` of a file in the form of ~/.aws/credentials.

    Returns keyword arguments for a boto3 session: the two access keys, and the session token if the file has one.

    Raises ConfigError if the file cannot be read, lacks a key, or has permissions for anybody but its owner. The
    message quotes nothing from the file.
    """
    problem = ConfigError(
        "Cannot use the credentials file {path}: it must be readable only by its owner (mode 0600) and contain "
        "aws_access_key_id and aws_secret_access_key under [default]. Nothing was changed.",
        path=path,
    )
    parser = configparser.RawConfigParser()
    try:
        if os.stat(path).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise problem
        parser.read_string(path.read_text(encoding="utf-8"))
        default_section = parser["default"]
        credentials = {name: default_section[name] for name in ("aws_access_key_id", "aws_secret_access_key")}
        if session_token := default_section.get("aws_session_token"):
            credentials["aws_session_token"] = session_token
    except (OSError, ValueError, KeyError, configparser.Error):
        raise problem from None
    return credentials
