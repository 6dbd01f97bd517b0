"""The settings of a replica's bucket: address, connection, and credentials."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from archiver.config.bucket_access import BucketAccess
from archiver.errors import ConfigError, UsageError

if TYPE_CHECKING:
    from archiver.config.settings import Config
    from archiver.store.archive import Archive
    from archiver.store.events.archive_events import ReplicaCreated

_URL = re.compile(r"s3://(?P<bucket_name>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<prefix>[^\s?#]*))?")
#: Mode bits of a file that anybody but its owner can access.
_ACCESS_BY_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_ACCESS_KEY_NAMES = ("aws_access_key_id", "aws_secret_access_key")


class BucketSettings(NamedTuple):
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
    #: None: credentials come from the usual AWS chain (environment, ~/.aws, instance role).
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
    """Parse the address ``s3://BUCKET/PREFIX``, and combine it with the configured access.

    Raises UsageError if ``url`` has another form, or if the endpoint contains a user name, a password or a query.
    Any of these may be a secret, but the endpoint is journalled and nothing can be removed from the journal.
    """
    url_match = _URL.fullmatch(url)
    if url_match is None:
        raise UsageError(
            "{url} is not an address such as s3://BUCKET/PREFIX. Nothing was changed. Correct --url.", url=url
        )
    if "@" in access.endpoint or "?" in access.endpoint:
        raise UsageError(
            "The endpoint contains a user name, a password, or a query, which the journal would keep "
            "permanently. Nothing was changed. Give the endpoint without them, and put the keys in a file with "
            "mode 0600."
        )
    prefix = (url_match["prefix"] or "").strip("/")
    return BucketSettings(
        bucket_name=url_match["bucket_name"],
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


def read_replica_settings(archive: Archive, config: Config) -> BucketSettings | None:
    """Return the settings of the replica, or None for an archive without a replica.

    Raises UsageError if the journalled address or the endpoint cannot be used.
    """
    journalled_replica = archive.index.current_replica()
    return None if journalled_replica is None else settings_from_journal(journalled_replica, config.replica)


def settings_from_journal(journalled_replica: ReplicaCreated, access: BucketAccess) -> BucketSettings:
    """Combine ``journalled_replica``, the details of a ``replica-init`` event, with the configured access.

    A configured endpoint, region or addressing style takes precedence over the journalled one. Bucket, prefix and
    lock come from the journal alone, so that a changed configuration cannot redirect the replica.

    Raises UsageError if the journalled URL has another form than ``s3://BUCKET/PREFIX``, or if the endpoint
    contains a user name, a password or a query.
    """
    is_style_configured = access.addressing_style != "auto"
    combined_access = BucketAccess(
        endpoint=access.endpoint or journalled_replica.endpoint or "",
        region=access.region or journalled_replica.region or "",
        addressing_style=access.addressing_style if is_style_configured else journalled_replica.style or "auto",
        credentials_file=access.credentials_file,
        ca_file=access.ca_file,
        proxy=access.proxy,
        max_mb_per_second=access.max_mb_per_second,
        max_transfers=access.max_transfers,
    )
    uses_object_lock = bool(journalled_replica.lock)
    return settings_from_url(journalled_replica.url, combined_access, uses_object_lock=uses_object_lock)


def read_credentials(path: Path) -> dict[str, str]:
    """Read the access keys from the section ``[default]`` of a file in the format of ~/.aws/credentials.

    Returns keyword arguments for a boto3 session: key id, secret key, and the session token if the file has one.

    Raises ConfigError if the file cannot be read, lacks one of the two keys, or gives access to anybody but its
    owner. The message quotes nothing from the file.
    """
    # Commands that only read import this module, and this import takes milliseconds.
    import configparser

    unusable_file_error = ConfigError(
        "Cannot use the credentials file {path}: it must be readable only by its owner (mode 0600) and contain "
        "aws_access_key_id and aws_secret_access_key under [default]. Nothing was changed.",
        path=path,
    )
    parser = configparser.RawConfigParser()
    try:
        if os.stat(path).st_mode & _ACCESS_BY_OTHERS:
            raise unusable_file_error
        parser.read_string(path.read_text(encoding="utf-8"))
        default_section = parser["default"]
        credentials = {key_name: default_section[key_name] for key_name in _ACCESS_KEY_NAMES}
        if session_token := default_section.get("aws_session_token"):
            credentials["aws_session_token"] = session_token
    except (OSError, ValueError, KeyError, configparser.Error):
        # The original error is dropped: a traceback could show a line of the file that the error quotes.
        raise unusable_file_error from None
    return credentials
